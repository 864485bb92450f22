"use strict";
// One-time links carry their token after the hash, which no server, log or referrer sees.
const entering = document.querySelector("[data-enter]");
if (entering && location.hash.length > 1) {
  entering.elements.token.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  entering.submit();
}

// The menu shows all its entries where the window is wide, and on a phone in a row to scroll; else it folds the last.
const folded = document.querySelector(".menu details");
if (folded) {
  const wide = matchMedia("(min-width: 80rem), (max-width: 40rem)");
  const fold = () => { folded.open = wide.matches; };
  wide.addEventListener("change", fold);
  fold();
}
document.querySelector(".menu [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });

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

// On a phone a wide table stands as a list (see the stylesheet): each cell names its column.
function label(part) {
  for (const row of part.querySelectorAll(".table > table > :not(thead) > tr")) {
    const heads = row.closest("table").tHead?.rows[0].cells ?? [];
    let column = 0;
    for (const cell of row.cells) {
      cell.dataset.label = heads[column]?.textContent.trim() ?? "";
      column += cell.colSpan;
    }
  }
}
label(document);
document.addEventListener("htmx:afterSwap", ({ detail }) => label(detail.target));

// A refusal names the fields that it concerns: each one is marked and says why.
function unmark(form) {
  for (const one of form.querySelectorAll(".wrong")) one.remove();
  for (const one of form.querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
}
document.addEventListener("htmx:afterSwap", ({ detail }) => {
  const form = detail.target.closest("form");
  if (!form) return;
  unmark(form);
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

// A refusal is of what was sent: it goes once the form is changed.
document.addEventListener("input", ({ target }) => {
  const refused = target.closest("form")?.querySelector("#refused");
  if (!refused?.firstChild) return;
  refused.replaceChildren();
  unmark(refused.closest("form"));
});

// Dragging over the heat map of a pool fills in the span of the form that lists its capacity, in whole days.
const DAY = 86400000;
const [PLOT_LEFT, PLOT_RIGHT] = [216, 1116];
for (const map of document.querySelectorAll("[data-pick]")) {
  const form = document.getElementById(map.dataset.pick);
  const svg = map.querySelector("svg");
  if (!form || !svg) continue;
  const [from, to] = [Date.parse(map.dataset.from), Date.parse(map.dataset.to)];
  const picked = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  picked.setAttribute("class", "pick");
  svg.append(picked);
  const place = (at) => PLOT_LEFT + ((Math.min(Math.max(at, from), to) - from) / (to - from)) * (PLOT_RIGHT - PLOT_LEFT);
  const draw = () => {
    const [start, end] = [form.elements.start, form.elements.end].map((one) => Date.parse(`${one.value}Z`));
    if (!(start < end)) return;
    picked.setAttribute("x", place(start));
    picked.setAttribute("width", Math.max(0, place(end) - place(start)));
    picked.setAttribute("y", 48);
    picked.setAttribute("height", svg.viewBox.baseVal.height - 50);
  };
  const find = (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return from + ((point.x - PLOT_LEFT) / (PLOT_RIGHT - PLOT_LEFT)) * (to - from);
  };
  const write = (name, at) => { form.elements[name].value = new Date(at).toISOString().slice(0, 16); };
  let begun = null;
  svg.addEventListener("pointerdown", (event) => {
    begun = find(event);
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    if (begun === null) return;
    const [first, last] = [begun, find(event)].sort((a, b) => a - b);
    write("start", Math.max(Math.floor(first / DAY), Math.ceil(from / DAY)) * DAY);
    write("end", Math.min(Math.ceil(last / DAY), Math.floor(to / DAY)) * DAY);
    draw();
  });
  svg.addEventListener("pointerup", () => {
    begun = null;
    form.elements.end.dispatchEvent(new Event("change", { bubbles: true }));
  });
  form.addEventListener("change", draw);
  draw();
}

// A page that shows moving state asks for itself again after each event that changes it. What stands stays the same
// element, so that focus, opened details and scrolled tables stay; a form that somebody has begun stays as it is.
const main = document.querySelector("[data-live], [data-seconds]");
for (const name of ["focusin", "input", "submit"]) {
  document.addEventListener(name, ({ target }) => {
    const form = target.closest("form");
    if (form) form.dataset.begun = "";
  });
}
document.addEventListener("htmx:afterSwap", ({ detail }) => { detail.target.dataset.begun = ""; });

function show(page) {
  label(page);
  const stays = (node) => node instanceof Element && node.matches("[data-begun], .pick");
  Idiomorph.morph(main, page.getElementById("main").innerHTML, {
    morphStyle: "innerHTML",
    callbacks: {
      beforeNodeMorphed: (old) => !stays(old),
      beforeNodeRemoved: (old) => !stays(old) && !(old instanceof Element && old.querySelector("[data-begun]")),
      beforeAttributeUpdated: (name, node) => !(name === "open" && node.tagName === "DETAILS"),
    },
  });
  htmx.process(main);
  count();
}

if (main) {
  const REST = 300;
  const BUSY = 4;
  let [source, seen, timer, due, asking] = [null, 0, null, 0, false];
  const ask = async () => {
    timer = null;
    const begun = performance.now();
    const told = seen;
    asking = true;
    try {
      for (const at of [told, 0]) {
        const answer = await fetch(location.href, { headers: { "marketplace-live": at } });
        if (answer.redirected) location.assign(answer.url);
        if (answer.ok) show(new DOMParser().parseFromString(await answer.text(), "text/html"));
        if (answer.ok || answer.redirected || !at) break;
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // the server is away; the next event asks again
    }
    asking = false;
    due = performance.now() + Math.max(REST, BUSY * (performance.now() - begun));
    if (seen > told) plan();
  };
  const plan = () => {
    if (!asking && timer === null && !document.hidden) timer = setTimeout(ask, Math.max(0, due - performance.now()));
  };
  const follow = () => {
    if (!main.dataset.live || source) return;
    const url = new URL(main.dataset.live, location);
    seen = Math.max(seen, Number(url.searchParams.get("after")));
    url.searchParams.set("after", seen);
    source = new EventSource(url);
    source.onmessage = ({ lastEventId }) => {
      seen = Math.max(seen, Number(lastEventId));
      plan();
    };
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) return;
      source = null;
      setTimeout(() => document.hidden || follow(), 5000);
    };
  };
  // A browser opens six connections to one server: a page that nobody looks at gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && source) source = source.close() ?? null;
    if (!document.hidden) {
      follow();
      plan();
    }
  });
  if (!document.hidden) follow();
  if (main.dataset.seconds) setInterval(plan, 1000 * main.dataset.seconds);
}
