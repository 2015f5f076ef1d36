// What no rule of axe sees. Each function tells what is wrong with the open page, at most a few things.
"use strict";

window.walkers = (() => {
  const most = 8;
  const name = (one) => one.outerHTML.slice(0, 100);
  // For those who hear the page alone, or drawn by no text.
  const isHidden = (one) => one.closest(".hidden, .skip-link, option, svg") !== null
    || (one.closest("thead") !== null && getComputedStyle(one.closest("thead")).position === "absolute");

  const texts = () => {
    const found = [];
    const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = nodes.nextNode(); node; node = nodes.nextNode()) {
      const owner = node.parentElement;
      if (node.data.trim() && owner.checkVisibility() && !owner.closest("script")) found.push([node, owner]);
    }
    return found;
  };

  // 1.4.4, 1.4.10, 1.4.12: what is cut off, and texts and fields that lie on one another.
  const cut = () => {
    const wrong = [], boxes = [];
    for (const one of document.querySelectorAll("body *")) {
      if (isHidden(one) || getComputedStyle(one).overflow === "visible") continue;
      if (one.matches("textarea, input, select")) continue;
      if (one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1)
        wrong.push(`cuts ${name(one)}`);
    }
    for (const [node, owner] of texts()) {
      if (isHidden(owner)) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const box of range.getClientRects()) boxes.push([owner, box]);
    }
    for (const one of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
      boxes.push([one, one.getBoundingClientRect()]);
    const lieOnOneAnother = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 3
      && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > Math.min(a.height, b.height) / 3;
    boxes.forEach(([one, box], place) => {
      for (const [other, beside] of boxes.slice(place + 1))
        if (!one.contains(other) && !other.contains(one) && lieOnOneAnother(box, beside))
          wrong.push(`${name(one)} lies on ${name(other)}`);
    });
    return wrong.slice(0, most);
  };

  // 2.4.11: what cannot be seen when it has the focus.
  const obscured = () => {
    const wrong = [];
    for (const one of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea")) {
      if (one.tabIndex < 0 || one.disabled || !one.checkVisibility()) continue;
      one.focus();
      // Of a link on two lines, the first.
      const [box] = one.getClientRects();
      const at = document.elementFromPoint(
        box.left + Math.min(box.width / 2, 10), box.top + Math.min(box.height / 2, 10));
      if (!at || !(one.contains(at) || at.contains(one))) wrong.push(`obscured: ${name(one)}`);
    }
    return wrong.slice(0, most);
  };

  // Names of any script kept apart from the text around them; no word of the code; languages as they are.
  const words = () => {
    const wrong = [];
    const rightToLeft = /[\u0590-\u08ff]/;
    const raw = /\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b|\bundefined\b|^\s*None\s*$|\{\{|%\(|\b(?:units|accounts)\/[a-z0-9]+|Field required/;
    for (const [node, owner] of texts()) {
      if (rightToLeft.test(node.data) && !owner.closest("bdi, [dir=auto]"))
        wrong.push(`a name that is not kept apart: ${name(owner)}`);
      if (raw.test(node.data)) wrong.push(`no word of people: ${node.data.match(raw)[0]}`);
    }
    for (const one of document.querySelectorAll("input[type=text], textarea"))
      if (one.dir !== "auto") wrong.push(`a field of one direction: ${name(one)}`);
    const codes = {Suomi: "fi", Svenska: "sv", English: "en"};
    for (const one of document.querySelectorAll(".languages .language"))
      if (one.lang !== codes[one.textContent.trim()]) wrong.push(`said in another language: ${name(one)}`);
    if (document.querySelector("meta[http-equiv=refresh i]")) wrong.push("goes away by itself");
    return wrong.slice(0, most);
  };

  // Password fields can be seen, pasted into and filled; files are chosen by speech; pictures have figures.
  const parts = () => {
    const wrong = [];
    for (const one of document.querySelectorAll("input[type=password]")) {
      const button = document.querySelector(`button[aria-controls="${one.id}"]`);
      if (!["current-password", "new-password"].includes(one.autocomplete)) wrong.push(`no manager fills ${name(one)}`);
      if (one.autocomplete === "new-password" && !document.getElementById(`${one.id}-hint`))
        wrong.push(`tells no rule: ${name(one)}`);
      const pasted = new DataTransfer();
      pasted.setData("text/plain", "three words enough");
      const event = new ClipboardEvent("paste", {clipboardData: pasted, bubbles: true, cancelable: true});
      if (!one.dispatchEvent(event) || one.maxLength > -1) wrong.push(`takes no long paste: ${name(one)}`);
      for (const shows of [true, false]) {
        if (button === null || !button.checkVisibility()) { wrong.push(`no button shows ${name(one)}`); break; }
        button.click();
        if ((one.type === "text") !== shows || button.getAttribute("aria-pressed") !== String(shows))
          wrong.push(`is not ${shows ? "shown" : "hidden"}: ${name(one)}`);
      }
    }
    for (const one of document.querySelectorAll("input[type=file]")) {
      const label = one.labels[0];
      if (!label || !label.checkVisibility() || !label.textContent.trim() || !one.checkVisibility({opacityProperty: true}))
        wrong.push(`has no label to say: ${name(one)}`);
    }
    for (const one of document.querySelectorAll("main :is(svg, img, canvas)")) {
      const table = one.closest("table"), cell = one.closest("td");
      if (!table || !table.caption || !cell || !/\d/.test(cell.textContent) || one.ariaHidden !== "true")
        wrong.push(`a picture without its figures: ${name(one)}`);
    }
    return wrong.slice(0, most);
  };

  // 3.2.6 help in the same place, 1.3.2 headings in the order they are read, 2.5.8 targets, and the weight.
  const frame = () => {
    const wrong = [];
    const links = [...document.querySelectorAll("footer a")].map((one) => one.getAttribute("href"));
    const last = links.splice(2).join(" ");
    if (!links[0].startsWith("mailto:") || !links[1].startsWith("http")
        || last !== "/help /reading /accessibility /privacy") wrong.push(`help is elsewhere: ${links} ${last}`);
    const tops = [...document.querySelectorAll("main :is(h1, h2, h3)")]
      .filter((one) => !isHidden(one)).map((one) => one.getBoundingClientRect().top);
    if (tops.some((top, place) => place && top < tops[place - 1])) wrong.push("headings are not in their order");
    const targets = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea")]
      .filter((one) => !isHidden(one) && one.checkVisibility());
    for (const one of targets) {
      const box = one.getBoundingClientRect();
      const block = one.closest("p, li, dd, td, th, h1, h2, h3");
      const isInText = block !== null && block.textContent.trim() !== one.textContent.trim();
      if (isInText || (box.height >= 24 && box.width >= 24)) continue;
      const x = box.left + box.width / 2, y = box.top + box.height / 2;
      const isNear = targets.some((other) => {
        const beside = other.getBoundingClientRect();
        return other !== one && Math.hypot(
          Math.max(beside.left - x, 0, x - beside.right), Math.max(beside.top - y, 0, y - beside.bottom)) < 12;
      });
      if (isNear) wrong.push(`small, and near another target: ${name(one)}`);
    }
    let bytes = 0;
    for (const kind of ["navigation", "resource"])
      for (const one of performance.getEntriesByType(kind)) {
        if (!one.name.startsWith(`${location.origin}/`)) wrong.push(`from outside: ${one.name}`);
        bytes += one.encodedBodySize;
      }
    if (bytes > 50000) wrong.push(`${bytes} bytes`);
    return wrong.slice(0, most);
  };

  const withoutStyle = () => {
    const told = () => document.body.innerText.toLowerCase().replace(/\s+/g, "");
    const styled = told();
    for (const sheet of document.styleSheets) sheet.disabled = true;
    const plain = told();
    for (const sheet of document.styleSheets) sheet.disabled = false;
    return styled === plain ? [] : ["tells something else without style"];
  };

  // On paper: black on white, nothing to press, and the addresses of links.
  const printed = () => {
    const wrong = [];
    const luminance = (colour) => {
      const [r, g, b] = colour.match(/[\d.]+/g).map((each) => each / 255)
        .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    for (const [, owner] of texts()) {
      if (isHidden(owner)) continue;
      if (1.05 / (luminance(getComputedStyle(owner).color) + 0.05) < 7) wrong.push(`pale: ${name(owner)}`);
      for (let one = owner; one; one = one.parentElement) {
        const ground = getComputedStyle(one).backgroundColor;
        if (!ground.endsWith(", 0)") && luminance(ground) < 0.9) wrong.push(`dark: ${name(one)}`);
      }
    }
    for (const one of document.querySelectorAll("header nav, footer, button"))
      if (one.checkVisibility()) wrong.push(`of no use: ${name(one)}`);
    for (const one of document.querySelectorAll("main a[href]")) {
      const told = getComputedStyle(one, "::after").content;
      const address = one.getAttribute("href");
      if (one.checkVisibility() && !address.startsWith("#") && !told.includes(address))
        wrong.push(`its address is not shown: ${name(one)}`);
    }
    return wrong.slice(0, most);
  };

  const enlarge = (size) => { document.documentElement.style.fontSize = size; };

  const space = (isSpaced) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(`* { line-height: 1.5 !important; letter-spacing: .12em !important;
      word-spacing: .16em !important; } p { margin-bottom: 2em !important; }`);
    document.adoptedStyleSheets = isSpaced ? [sheet] : [];
  };

  return {cut, obscured, words, parts, frame, withoutStyle, printed, enlarge, space};
})();
