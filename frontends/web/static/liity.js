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
