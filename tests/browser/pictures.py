"""Pictures of every page, by hand: PICTURES=FOLDER pytest tests/browser/pictures.py

Three widths, light and dark, into FOLDER, to be looked at. Without PICTURES those of KEPT are taken
anew, which stand in docs/pictures.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, ViewportSize

from responder.pipeline.by_hand import Asked, ask
from tests.browser.conftest import Console
from tests.browser.worlds import ANN

WIDTHS = (375, 900, 1440)
SCHEMES = ("light", "dark")
#: By the name of the file: the picture, and how much of it at most.
KEPT = {
    "now": ("now-1280-light", 900),
    "now-dark": ("now-1280-dark", 900),
    "now-phone": ("now-375-dark", 1400),
    "incident": ("incident-shopify_sync_failed-1280-light", 1250),
    "incident-dark": ("incident-shopify_sync_failed-1280-dark", 1250),
    "incident-fixed": ("incident-shopify_queue_stuck-1280-light", 1500),
    "incident-phone": ("incident-shopify_sync_failed-375-light", 1600),
    "audit": ("audit-1280-light", 1000),
    "rules": ("rules-1280-light", 1000),
    "numbers": ("numbers-1280-dark", 1000),
    "maintenance": ("maintenance-1280-light", 1000),
    "senders": ("senders-1280-dark", 1000),
}
DOCS = Path(__file__).parents[2] / "docs/pictures"


@pytest.fixture(scope="module")
def tried(console: Console) -> Console:
    """The house, in which somebody has tried a fix."""
    incident = next(
        each for each in console.house.incidents() if each.rule == "shopify_sync_failed"
    )
    asked = Asked(incident.id, "requeue_all", incident.decision_id, dry_run=True)
    ask(console.house.services, asked, ANN, "operator")
    console.house.settle()
    return console


def pages(console: Console) -> dict[str, str]:
    """Addresses by the name of the page."""
    whole = {
        view.removeprefix("console."): path
        for view, path in console.views.items()
        if "<" not in path
    }
    incidents = {
        f"incident-{each.rule or 'no_rule'}": f"/console/incidents/{each.id}"
        for each in console.house.incidents()
    }
    return whole | incidents


def wanted(name: str, width: int, scheme: str) -> Iterator[tuple[Path, int]]:
    """The files of one picture, and how high they are at most."""
    picture = f"{name}-{width}-{scheme}"
    if folder := os.environ.get("PICTURES"):
        yield Path(folder) / f"{picture}.png", 5000
    else:
        yield from (
            (DOCS / f"{file}.png", most) for file, (kept, most) in KEPT.items() if kept == picture
        )


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", (*WIDTHS, 1280))
def test_take_pictures(tried: Console, width: int, scheme: str) -> None:
    with tried.page(color_scheme=scheme) as page:
        tried.log_in(page)
        for name, path in pages(tried).items():
            for file, most in wanted(name, width, scheme):
                take(page, path, width, file, most)


def take(page: Page, path: str, width: int, file: Path, most: int) -> None:
    page.set_viewport_size(ViewportSize(width=width, height=800))
    page.goto(path)
    height = min(most, page.evaluate("document.documentElement.scrollHeight"))
    page.set_viewport_size(ViewportSize(width=width, height=height))  # what sticks reaches down
    file.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=file)
