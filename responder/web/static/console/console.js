// What the pages do better with JavaScript; each of them works without.
"use strict";

const main = document.getElementById("main");
const said = document.getElementById("said");
const keys = document.getElementById("keys");
const inField = (element) => Boolean(element?.closest("input:not([type=checkbox]):not([type=radio]), select, textarea"));

const say = (text) => {
  if (!said) return;
  said.textContent = text;
  setTimeout(() => { if (said.textContent === text) said.textContent = ""; }, 4000);
};

// What only works with JavaScript is shown only with it.
const dress = () => document.querySelectorAll("button[hidden]").forEach((each) => { each.hidden = false; });
dress();

// Times go on: the words of a time are told anew, as the server tells them.
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const words = (seconds) => {
  let left = Math.floor(seconds);
  const told = [];
  for (const [size, unit] of UNITS) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count && !(unit === "s" && told.length)) told.push(`${count} ${unit}`);
    if (told.length && seconds >= 7 * 86400) break;
  }
  return told.slice(0, 2).join(" ") || "0 s";
};
let ahead = 0; // of this browser's clock: how much the server's is
const tell = () => {
  if (document.hidden) return;
  document.querySelectorAll("time[data-when]").forEach((each) => {
    const seconds = (Date.now() + ahead - Date.parse(each.dateTime)) / 1000;
    const text = Math.abs(seconds) < 5 ? "just now" : seconds > 0 ? `${words(seconds)} ago` : `in ${words(-seconds)}`;
    if (each.textContent !== text) each.textContent = text;
  });
};
setInterval(tell, 5000);

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "yes";
  form.querySelectorAll("button:not([type=button])").forEach((each) => each.setAttribute("aria-disabled", "true"));
});
addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => {
  delete form.dataset.sent;
  form.querySelectorAll("[aria-disabled]").forEach((each) => each.removeAttribute("aria-disabled"));
}));

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy], button[data-dialog]");
  if (!button) return;
  if (button.dataset.dialog) { document.getElementById(button.dataset.dialog)?.showModal(); return; }
  try {
    await navigator.clipboard.writeText(button.parentElement.querySelector("pre").textContent);
    say("Copied.");
  } catch { say("Your browser did not allow that: select the text and copy it."); }
});

// Keys press what is on the page: links by data-go after g, everything else by data-key.
let goes = 0;
const rows = () => [...document.querySelectorAll("a.row-link, tbody th > a, tbody td:first-child > a")];
const step = (by) => {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(document.activeElement);
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
};
const press = (element) => {
  const fold = element.closest("details:not([open])");
  if (fold) fold.open = true;
  element.focus();
  element.scrollIntoView({ block: "nearest" });
  if (!("confirm" in element.dataset) && !inField(element)) element.click();
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || inField(event.target) || keys?.open) return;
  const gone = Date.now() - goes < 1500;
  goes = 0;
  const wanted = gone ? `[data-go="${CSS.escape(event.key)}"]` : `[data-key="${CSS.escape(event.key)}"]`;
  if (event.key === "?") keys?.showModal();
  else if (!gone && event.key === "g") { goes = Date.now(); return; }
  else if (!gone && event.key === "j") step(1);
  else if (!gone && event.key === "k") step(-1);
  else {
    const found = document.querySelector(wanted);
    if (!found) return;
    press(found);
  }
  event.preventDefault();
});

// A page with data-live asks for itself every so many seconds, and shows what has changed: not
// while somebody types or reads the keys, and with what they opened, chose and scrolled to as it was.
const nameOf = (element) => element?.id ? `#${CSS.escape(element.id)}` : element?.getAttribute?.("href") ? `a[href="${CSS.escape(element.getAttribute("href"))}"]` : null;
const typing = () => inField(document.activeElement) || document.querySelector("dialog[open]") ||
  [...main.querySelectorAll("input:not([type=hidden]), textarea")].some((each) => each.value !== each.defaultValue || each.checked !== each.defaultChecked) ||
  (getSelection()?.toString() && main.contains(getSelection().anchorNode));
const showNew = (page) => {
  const opened = new Map([...main.querySelectorAll("details[id]")].map((each) => [each.id, each.open]));
  const held = main.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  const scrolled = [...main.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
  const fresh = page.getElementById("main");
  const news = plain(main) !== plain(fresh);
  main.replaceChildren(...fresh.childNodes);
  main.dataset.live = fresh.dataset.live ?? "";
  opened.forEach((open, id) => { const fold = document.getElementById(id); if (fold) fold.open = open; });
  main.querySelectorAll(".scroll").forEach((each, place) => { each.scrollLeft = scrolled[place] ?? 0; });
  dress();
  tell();
  if (held) main.querySelector(held)?.focus({ preventScroll: true });
  if (document.title !== page.title) document.title = page.title;
  if (news) say("This page was brought up to date.");
};
// Times and keys of forms differ in each answer; they are no news.
const plain = (element) => {
  const copy = element.cloneNode(true);
  copy.querySelectorAll("time[data-when]").forEach((each) => each.remove());
  return copy.textContent;
};
// A page that is old says so, since when, until it is new again.
const late = (yes) => {
  const told = document.getElementById("late");
  if (!yes) told.textContent = "";
  else if (!told.textContent) told.textContent = `Not up to date since ${new Date().toISOString().slice(11, 19)} UTC: the responder does not answer. It is asked again.`;
};
let etag = "";
const look = async () => {
  if (!document.hidden && !typing()) {
    try {
      const answer = await fetch(location.href, { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store" });
      ahead = Date.parse(answer.headers.get("Date")) - Date.now() || 0;
      if (answer.redirected) { location.reload(); return; }
      late(!answer.ok && answer.status !== 304);
      if (answer.ok) {
        etag = answer.headers.get("ETag") ?? "";
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (!typing()) showNew(page);
      }
    } catch { late(true); }
  }
  if (main.dataset.live) setTimeout(look, Number(main.dataset.live) * 1000);
};
if (main?.dataset.live) setTimeout(look, Number(main.dataset.live) * 1000);
