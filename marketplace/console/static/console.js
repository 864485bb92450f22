"use strict";
// One-time links carry their token after the hash, which no server, log or referrer sees.
const entering = document.querySelector("[data-enter]");
if (entering && location.hash.length > 1) {
  entering.elements.token.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  entering.submit();
}

// Countdowns: <time data-until="…"> shows what is left.
function count() {
  for (const one of document.querySelectorAll("[data-until]")) {
    const seconds = Math.max(0, Math.round((Date.parse(one.dataset.until) - Date.now() - clockOffset) / 1000));
    const [d, h, m, s] = [seconds / 86400, (seconds % 86400) / 3600, (seconds % 3600) / 60, seconds % 60].map(Math.floor);
    one.textContent = d ? `${d} d ${h} h` : h ? `${h} h ${m} min` : m ? `${m} min ${s} s` : `${s} s`;
  }
}
// The market's clock may differ from the browser's: the page states it when it was rendered.
const stated = document.querySelector("[data-now]");
const clockOffset = stated ? Date.parse(stated.dataset.now) - Date.now() : 0;
count();
setInterval(count, 1000);

// A refusal names the fields that it concerns: each one is marked and says why.
document.addEventListener("htmx:afterSwap", ({ detail }) => {
  const form = detail.target.closest("form");
  if (!form) return;
  for (const one of form.querySelectorAll(".wrong")) one.remove();
  for (const one of form.querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
  for (const one of detail.target.querySelectorAll("[data-field]")) {
    const field = form.elements[one.dataset.field];
    if (!(field instanceof Element) || field.type === "hidden") continue;
    const text = document.createElement("span");
    text.className = "wrong";
    text.textContent = one.textContent;
    field.setAttribute("aria-invalid", "true");
    field.after(text);
  }
  const first = form.querySelector("[aria-invalid]");
  if (first) first.focus();
});
