// What the pages do better with JavaScript; each of them works without.
"use strict";

// A page with data-live asks for itself every so many seconds, and shows what has changed.
const live = document.querySelector("main[data-live]");
if (live) {
  let etag = "";
  const look = async () => {
    const busy = document.hidden || live.querySelector("form:focus-within, dialog[open]");
    if (!busy) {
      try {
        const answer = await fetch(location.href, { headers: etag ? { "If-None-Match": etag } : {} });
        if (answer.redirected) location.reload();
        if (answer.ok) {
          etag = answer.headers.get("ETag") || "";
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          const opened = [...live.querySelectorAll("details[open][id]")].map((each) => each.id);
          live.replaceChildren(...page.querySelector("main").childNodes);
          for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
        }
      } catch { /* away for a moment: the page stays as it is */ }
    }
    setTimeout(look, Number(live.dataset.live) * 1000);
  };
  setTimeout(look, Number(live.dataset.live) * 1000);
}
