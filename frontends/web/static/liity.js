// Helps where it can; every task works without it.
"use strict";

const summary = document.getElementById("error-summary");
if (summary) summary.focus();

for (const form of document.forms) {
  form.addEventListener("submit", () => {
    // A second click within the answer's time sends nothing: the request ID would make it harmless anyway.
    setTimeout(() => form.querySelectorAll("button[type=submit]").forEach((b) => { b.disabled = true; }), 0);
    setTimeout(() => form.querySelectorAll("button[type=submit]").forEach((b) => { b.disabled = false; }), 5000);
  });
}

for (const button of document.querySelectorAll(".show-password")) {
  const input = document.getElementById(button.getAttribute("aria-controls"));
  button.hidden = false;
  button.addEventListener("click", () => {
    const shows = input.type === "text";
    input.type = shows ? "password" : "text";
    button.setAttribute("aria-pressed", String(!shows));
  });
}

// Links of earlier releases hold the token in the fragment.
if (document.querySelector("input[name=pasted]") && location.hash.length > 20) {
  location.replace(location.pathname.split("/").slice(0, 2).join("/") + "/" + location.hash.slice(1));
}

// A page that changes by itself is brought up to date, and its status line is read out. For half an hour at
// most, and only where it is seen: nobody stays logged in by a page that was forgotten.
const changing = document.querySelector("[data-refresh]");
let rounds = 120;

async function bringUpToDate() {
  if (document.visibilityState === "visible") {
    rounds -= 1;
    const answer = await fetch(location.href).catch(() => null);
    if (answer && (!answer.ok || answer.redirected)) return;
    if (answer) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const id of ["how-far", "progress", "state", "counts"]) {
        const now = page.getElementById(id);
        const shown = document.getElementById(id);
        if (shown && !now) shown.remove();
        else if (shown && shown.innerHTML !== now.innerHTML) shown.replaceChildren(...now.childNodes);
      }
      if (!page.querySelector("[data-refresh]")) return;
    }
  }
  if (rounds > 0) setTimeout(bringUpToDate, changing.dataset.refresh * 1000);
}

if (changing) setTimeout(bringUpToDate, changing.dataset.refresh * 1000);
