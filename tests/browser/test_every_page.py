"""Every page, found from the application's own paths: for everybody, in every light and width."""

from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, ViewportSize

from tests.browser.conftest import Console

#: Each page is seen at each width and in both lights.
SEEN = ((320, "dark"), (900, "light"), (1440, "dark"))
#: What reaches beyond the window, unless it stands in something that scrolls.
TOO_WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
    ["it is wider than the window", ...[...document.querySelectorAll("main *")]
        .filter((each) => each.getBoundingClientRect().right > innerWidth)
        .filter((each) => !each.closest(".scroll"))
        .map((each) => `too wide: ${each.outerHTML.slice(0, 200)}`)]"""


#: So many pages of one view are looked at; of incidents one of each severity, and a fixed one.
MOST, INCIDENTS = 2, 7


def linked(page: Page) -> list[str]:
    """Where the page leads to, in its order."""
    found = page.eval_on_selector_all("a[href]", "all => all.map((a) => a.getAttribute('href'))")
    paths = [urlsplit(each).path for each in found if each.startswith("/console")]
    return list(dict.fromkeys(paths))


def complaints(page: Page, axe: Axe) -> list[str]:
    found = axe.run(page).response["violations"]
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
    ]


def look(page: Page, axe: Axe) -> Iterator[str]:
    """What is wrong with the page in hand."""
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    for width, scheme in SEEN:
        page.set_viewport_size(ViewportSize(width=width, height=900))
        page.emulate_media(color_scheme=scheme)
        for told in (*complaints(page, axe), *page.evaluate(TOO_WIDE)):
            yield f"{page.url} at {width}, {scheme}: {told}"


def test_axe_finds_nothing(console: Console) -> None:
    axe, seen = Axe(), Counter[str | None]()
    wrong: list[str] = []
    ahead = [path for path in console.views.values() if "<" not in path]
    known = set(ahead)
    with console.page() as page:
        page.goto("/console/login")
        wrong += look(page, axe)
        console.log_in(page, "admin")
        while ahead:
            path = ahead.pop(0)
            view = console.view_of(path)
            most = INCIDENTS if view == "console.incident" else MOST
            if seen[view] == most or view is None:
                continue
            seen[view] += 1
            page.goto(path)
            wrong += look(page, axe)
            ahead += [each for each in linked(page) if each not in known]
            known.update(ahead)
    assert wrong == []
    assert set(seen) == set(console.views), "no page leads to the others"
