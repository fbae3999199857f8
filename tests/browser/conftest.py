"""One browser and one house a module: Debian's chromium, and our application behind a real server.

A test's page fails it when the browser saw an error: of a script, of the policy, of a resource.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import RequestRedirect
from werkzeug.serving import make_server

from responder.domain.ids import new_id
from responder.domain.secret import Secret
from responder.embedded import LocalPostgres
from responder.runbook.loader import LoadedRule
from responder.web import create_app
from responder.web.tokens import TokenKeys, new_keys
from tests.audit.conftest import make_settings
from tests.browser.worlds import build, fill
from tests.conftest import fresh_database
from tests.house import House, building
from tests.shop import fresh_shop

CHROMIUM = shutil.which("chromium") or ""
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
#: On the way to another site and back: they show no page.
STEPS = ("console.go_to_provider", "console.come_from_provider")
#: Milliseconds; it ends as soon as the thing happens.
PATIENCE = 15_000


@dataclass
class Console:
    """A house, the application over it and its address, and tokens by role."""

    house: House
    app: Flask
    url: str
    tokens: Mapping[str, str]
    browser: Browser

    @property
    def views(self) -> dict[str, str]:
        """The paths of the console's pages, as they are declared, by the name of the view."""
        return {
            rule.endpoint: rule.rule
            for rule in self.app.url_map.iter_rules()
            if rule.endpoint.startswith("console.")
            and "GET" in (rule.methods or ())
            and rule.endpoint not in STEPS
        }

    def view_of(self, path: str) -> str | None:
        """The name of the view behind a path of the console; None when there is none."""
        try:
            found, _ = self.app.url_map.bind("").match(urlsplit(path).path, "GET")
        except (NotFound, MethodNotAllowed, RequestRedirect):
            return None
        return str(found)

    @contextmanager
    def page(self, **options: Any) -> Iterator[Page]:
        """A browser's window of its own; what goes wrong in it fails the test."""
        wrong: list[str] = []
        context = self.browser.new_context(base_url=self.url, **options)
        context.set_default_timeout(PATIENCE)
        context.add_init_script(
            "addEventListener('securitypolicyviolation',"
            " (each) => console.error('policy: ' + each.violatedDirective + each.blockedURI))"
        )
        page = context.new_page()
        page.on("dialog", lambda each: wrong.append(f"dialog: {each.message}") or each.dismiss())
        page.on("pageerror", lambda each: wrong.append(f"error: {each}"))
        page.on("console", lambda each: self._is_wrong(each) and wrong.append(each.text))
        try:
            yield page
        finally:
            context.close()
        assert not wrong, wrong

    def _is_wrong(self, message: ConsoleMessage) -> bool:
        """What another site's page lacks is not our fault."""
        place = message.location["url"]
        return message.type == "error" and (not place or place.startswith(self.url))

    def log_in(self, page: Page, role: str = "operator", to: str = "/console/") -> None:
        """By the door, with a token."""
        page.goto(f"/console/login?next={to}")
        page.get_by_label("Your token").fill(self.tokens[role])
        page.get_by_label("Your token").press("Enter")
        page.wait_for_url(f"**{to}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("there is no chromium to look at the console with")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def make_console(
    browser: Browser,
    cluster: LocalPostgres,
    template: str,
    shop_template: str,
    rules: Mapping[str, LoadedRule],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Console]]:
    """A house with nothing in it yet, over these rules or the shipped ones, and its console."""
    folder = tmp_path_factory.mktemp("console")
    keys = folder / "keys.json"
    keys.write_text(new_keys(new_id()))
    with ExitStack() as stack:
        database = stack.enter_context(fresh_database(cluster, template))
        shop = stack.enter_context(fresh_shop(cluster, shop_template))
        make_house = stack.enter_context(building(database, shop, rules))
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("TEST_AWAY", "postgresql://nobody@127.0.0.1:1/shop?connect_timeout=1")

        def make(*loaded: LoadedRule) -> Console:
            ours = loaded or tuple(rules.values())
            settings = {"token_keys": Secret((f"file:{keys}",)), "seal": make_settings(folder)}
            house = build(make_house, ours, **settings)
            app = create_app(house.services)
            url = stack.enter_context(_served(app))
            return Console(house, app, url, _tokens(keys), browser)

        yield make


@pytest.fixture(scope="module")
def console(make_console: Callable[..., Console]) -> Console:
    """A house with a bad day behind it."""
    made = make_console()
    fill(made.house)
    return made


@contextmanager
def _served(app: Flask) -> Iterator[str]:
    """Where it listens, with a thread for each request."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _tokens(keys: Path) -> Mapping[str, str]:
    signing = TokenKeys(Secret((f"file:{keys}",)))
    names = {"viewer": "vera", "operator": "ann", "admin": "olga"}
    now = datetime.now(UTC)
    return {
        role: signing.issue(name, role, now, timedelta(hours=1), new_id())
        for role, name in names.items()
    }
