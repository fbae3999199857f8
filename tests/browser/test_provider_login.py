"""Logging in at a provider in a real browser: with JavaScript and without, and by keys alone."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Thread

import pytest
from flask import Flask
from werkzeug.serving import make_server

from responder.domain.secret import Secret
from responder.domain.settings import Issuer, Login
from responder.web import create_app
from tests.browser.conftest import Console
from tests.provider import AUDIENCE, CLIENT, SECRET, Provider

ROLES = {"operator": ["sre"], "admin": ["admins"]}


@pytest.fixture(scope="module")
def provided(
    make_console: Callable[..., Console], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Console]:
    """A console at which one logs in at a provider."""
    made = make_console()
    secret = tmp_path_factory.mktemp("client") / "secret"
    secret.write_text(SECRET)
    server = make_server("127.0.0.1", 0, Flask("not yet"), threaded=True)
    url = f"http://127.0.0.1:{server.server_port}"
    with Provider(redirect_uris=[f"{url}/console/login/return"]) as provider:
        company = Issuer("company", "oidc", provider.url, AUDIENCE, "/groups", ROLES, "/email")
        login = Login("company", CLIENT, Secret((f"file:{secret}",)))
        made.house.with_settings(public_url=url, issuers={"company": company}, login=login)
        server.app = create_app(made.house.services)
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield replace(made, url=url)
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_one_logs_in_at_the_provider_and_comes_back(provided: Console, scripts: bool) -> None:
    with provided.page(java_script_enabled=scripts) as page:
        page.goto("/console/rules")
        page.get_by_role("link", name="Log in at company").click()
        page.get_by_role("link", name="bob").click()
        page.wait_for_url("**/console/rules")
        assert page.get_by_text("company:bob@example.com").is_visible()
        (cookie,) = page.context.cookies()
        assert (cookie["name"], cookie["httpOnly"]) == ("responder", True)
        assert cookie["sameSite"] == "Lax"
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/console/login")
        page.goto("/console/rules")
        assert page.get_by_label("Your token").is_visible()


def test_who_has_no_role_is_told_so(provided: Console) -> None:
    # The browser itself says that the page is a 403.
    with pytest.raises(AssertionError, match="status of 403"), provided.page() as page:
        page.goto("/console/")
        page.get_by_role("link", name="Log in at company").press("Enter")
        page.get_by_role("link", name="eve").press("Enter")
        alert = page.get_by_role("alert")
        alert.wait_for()
        assert "has no role here" in alert.inner_text()
