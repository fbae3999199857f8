"""Pictures of every page, by hand: pytest tests/browser/pictures.py

Three widths, light and dark, into the folder that PICTURES names, else docs/pictures.
"""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Console

FOLDER = Path(os.environ.get("PICTURES", Path(__file__).parents[2] / "docs/pictures"))
WIDTHS = (375, 900, 1440)
SCHEMES = ("light", "dark")


def pages(console: Console) -> dict[str, str]:
    """Addresses by the name of the picture."""
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


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_take_pictures(console: Console, width: int, scheme: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    size = {"width": width, "height": 900 if width > 500 else 812}
    with console.page(viewport=size, color_scheme=scheme, device_scale_factor=1) as page:
        console.log_in(page)
        for name, path in pages(console).items():
            take(page, path, FOLDER / f"{name}-{width}-{scheme}.png")


def take(page: Page, path: str, file: Path) -> None:
    page.goto(path)
    size = page.viewport_size
    assert size is not None
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": height})  # what sticks reaches down
    page.screenshot(path=file)
    page.set_viewport_size(size)
