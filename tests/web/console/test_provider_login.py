"""Logging in to the console at an OpenID provider, and every way in which that can go wrong."""

import base64
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urljoin, urlsplit

import pytest
import requests
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from responder.domain.secret import Secret
from responder.domain.settings import Issuer, Login
from responder.web import create_app
from responder.web.sessions import RECHECK
from tests.house import House
from tests.provider import AUDIENCE, CLIENT, SECRET, Provider

ROLES = {"operator": ["sre"], "admin": ["admins"]}
RETURN = "/console/login/return"
CONSOLE = "http://localhost/console/"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(redirect_uris=[f"http://localhost{RETURN}"]) as running:
        running.signed_in = "ann"
        yield running


@pytest.fixture
def house(
    make_house: Callable[..., House], key_file: Path, tmp_path: Path, provider: Provider
) -> House:
    (tmp_path / "client").write_text(SECRET)
    company = Issuer("company", "oidc", provider.url, AUDIENCE, "/groups", ROLES, "/email")
    return make_house(
        (),
        token_keys=Secret((f"file:{key_file}",)),
        public_url="http://localhost",
        issuers={"company": company},
        login=Login("company", CLIENT, Secret((f"file:{tmp_path}/client",))),
    )


def begin(client: FlaskClient, wanted: str = "/console/") -> str:
    """The address at the provider to which the browser is sent."""
    answer = client.get("/console/login/provider", query_string={"next": wanted})
    assert answer.status_code == 303, answer.text
    return answer.location


def at_provider(address: str) -> str:
    """What the provider sends the browser back to, as a path of ours."""
    answer = requests.get(address, allow_redirects=False, timeout=10)
    assert answer.status_code == 302, answer.text
    parts = urlsplit(answer.headers["Location"])
    return f"{parts.path}?{parts.query}"


def log_in(client: FlaskClient, wanted: str = "/console/") -> TestResponse:
    return client.get(at_provider(begin(client, wanted)))


def inside(client: FlaskClient) -> bool:
    return client.get("/console/").status_code == 200


def whys(house: House) -> list[str]:
    rows = house.sql("SELECT details FROM audit_event WHERE what = 'denied' ORDER BY at")
    return [row["details"]["why"] for row in rows]


def test_the_whole_way(client: FlaskClient, house: House, provider: Provider) -> None:
    assert "Log in at company" in client.get("/console/login").text
    answer = log_in(client, "/console/?q=1")
    assert (answer.status_code, answer.location) == (303, "/console/?q=1")
    page = client.get("/console/").text
    assert "company:ann@example.com" in page and "admin" in page
    (event,) = house.sql("SELECT actor, after, details FROM audit_event WHERE what = 'session'")
    assert event == {
        "actor": "company:ann@example.com",
        "after": "begun",
        "details": {"role": "admin", "address": "127.0.0.1"},
    }
    kept = json.dumps(house.sql("SELECT row_to_json(s)::text AS row FROM web_session s"))
    cookie = client.get_cookie("responder")
    assert cookie is not None and cookie.value not in kept
    assert client.get_cookie("responder-login") is None, "it has done its part"


def test_what_is_asked_of_the_provider(client: FlaskClient) -> None:
    first, second = (parse_qs(urlsplit(begin(client)).query) for _ in range(2))
    assert first["code_challenge_method"] == ["S256"]
    assert len(first["code_challenge"][0]) == 43
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name], "each login has its own"
    assert first["redirect_uri"] == [f"http://localhost{RETURN}"]
    kept = client.get_cookie("responder-login")
    assert kept is not None and kept.http_only and kept.same_site == "Lax"
    assert not {*first["state"], *first["nonce"]} & set(kept.value.split("."))


Spoil = Callable[[FlaskClient, str, Provider], str]


def changed(**changes: str | None) -> Spoil:
    """The return with other parameters; None leaves one out."""

    def spoil(_: FlaskClient, back: str, provider: Provider) -> str:
        path, _, query = back.partition("?")
        told = {name: values[0] for name, values in parse_qs(query).items()} | changes
        return f"{path}?{urlencode({name: value for name, value in told.items() if value})}"

    return spoil


def lying(**claims: Any) -> Spoil:
    def spoil(_: FlaskClient, back: str, provider: Provider) -> str:
        provider.lies = claims
        return back

    return spoil


def troubled(status: int, body: bytes) -> Spoil:
    def spoil(_: FlaskClient, back: str, provider: Provider) -> str:
        provider.trouble["/token"] = (status, {}, body)
        return back

    return spoil


def stolen_code(client: FlaskClient, back: str, provider: Provider) -> str:
    """Somebody else's code and state, in a browser that began a login of its own."""
    return at_provider(begin(client.application.test_client()))


def no_seed(client: FlaskClient, back: str, provider: Provider) -> str:
    """A state that everybody can work out, for whom nobody has sent away."""
    state = base64.urlsafe_b64encode(hmac.digest(b"", b"state", "sha256")).rstrip(b"=").decode()
    return changed(state=state)(client, back, provider)


def used_twice(client: FlaskClient, back: str, provider: Provider) -> str:
    """Somebody else was faster with the code."""
    provider.codes.clear()
    return back


def other_verifier(client: FlaskClient, back: str, provider: Provider) -> str:
    for asked in provider.codes.values():
        asked["code_challenge"] = "x" * 43
    return back


def other_secret(client: FlaskClient, back: str, provider: Provider) -> str:
    secret = client.application.extensions["responder"].settings.login.client_secret
    Path(secret.references[0].removeprefix("file:")).write_text("wrong")
    return back


RETURNS: list[tuple[Spoil, str]] = [
    (changed(state="x"), "wrong_return"),
    (changed(state="\u00e9"), "wrong_return"),
    (changed(state=None), "wrong_return"),
    (changed(code=None), "wrong_return"),
    (changed(code=None, error="access_denied"), "wrong_return"),
    (changed(code="x"), "wrong_return"),
    (changed(iss="https://evil.example"), "wrong_return"),
    (stolen_code, "wrong_return"),
    (no_seed, "wrong_return"),
    (used_twice, "wrong_return"),
    (other_verifier, "wrong_return"),
    (other_secret, "wrong_return"),
    (troubled(200, b"nonsense"), "wrong_return"),
    (troubled(200, b"{}"), "wrong_return"),
    (troubled(200, b'{"id_token": 7}'), "wrong_return"),
    (troubled(200, b'{"id_token": "a.b.c"}'), "not_a_token"),
    (troubled(302, b""), "wrong_return"),
    (lying(nonce="x"), "wrong_return"),
    (lying(nonce=None), "wrong_return"),
    (lying(nonce="\ud800"), "wrong_return"),
    (lying(iss="https://evil.example"), "unknown_issuer"),
    (lying(audience=AUDIENCE), "wrong_audience"),
    (lying(aud=["another"]), "wrong_audience"),
    (lying(azp="another"), "wrong_audience"),
    (lying(exp=1), "expired"),
    (lying(groups=[]), "no_role"),
    (lying(email_verified=False), "wrong_claims"),
]


def test_a_return_that_is_not_right_opens_nothing(
    client: FlaskClient, house: House, provider: Provider
) -> None:
    secret = house.services.settings.login.client_secret
    assert secret is not None
    for number, (spoil, why) in enumerate(RETURNS):
        provider.lies.clear()
        provider.trouble.clear()
        Path(secret.references[0].removeprefix("file:")).write_text(SECRET)
        browser = client.application.test_client()
        back = spoil(browser, at_provider(begin(browser)), provider)
        # Each from an address of its own, so that none has tried too often.
        answer = browser.get(back, environ_overrides={"REMOTE_ADDR": f"10.0.0.{number}"})
        assert answer.status_code == (403 if why == "no_role" else 401), (number, answer.text)
        assert 'role="alert"' in answer.text
        assert not inside(browser)
    assert whys(house) == [why for _, why in RETURNS]
    assert house.sql("SELECT FROM web_session") == []


def test_each_of_several_pages_comes_back_to_where_it_was(
    client: FlaskClient, house: House
) -> None:
    """A browser that opens all its pages anew goes to the provider with each of them."""
    wanted = [f"/console/?q={number}" for number in range(3)]
    backs = [at_provider(begin(client, each)) for each in wanted]
    assert [client.get(back).location for back in backs] == wanted
    assert inside(client) and whys(house) == []
    assert client.get_cookie("responder-login") is None
    long = [begin(client, "/console/?q=" + "x" * 3000) for _ in range(9)]
    kept = client.get_cookie("responder-login")
    assert kept is not None and len(kept.value) < 4000, "no browser keeps more"
    assert client.get(at_provider(long[-1])).status_code == 303


def test_a_link_from_elsewhere_ends_no_login_that_is_under_way(client: FlaskClient) -> None:
    address = begin(client)
    assert client.get(f"{RETURN}?code=x&state=x").status_code == 401
    assert client.get(at_provider(address)).location == "/console/"
    assert inside(client)


def test_no_cookie_no_login(client: FlaskClient, provider: Provider, house: House) -> None:
    """Nobody is logged in under another name by a link (login CSRF)."""
    back = at_provider(begin(client))
    victim = create_app(house.services).test_client()
    assert victim.get(back).location == "/console/login"
    assert not inside(victim)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_elsewhere_begins_no_session(
    client: FlaskClient, provider: Provider, site: str
) -> None:
    begun = "/console/login/provider?next=/console/rules"
    answer = client.get(begun, headers={"Sec-Fetch-Site": site})
    assert answer.location == "/console/login?next=/console/rules"
    assert client.get_cookie("responder-login") is None
    log_in(client)
    again = client.get(begun, headers={"Sec-Fetch-Site": site})
    assert again.location.startswith(provider.url), "who is in goes by the provider unasked"


def test_a_provider_that_is_away_locks_out_no_token(
    client: FlaskClient, house: House, provider: Provider, tokens: Any
) -> None:
    provider.trouble["/jwks"] = (500, {}, b"")
    answer = client.get("/console/login/provider")
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    token = tokens["viewer"]["Authorization"].removeprefix("Bearer ")
    assert client.post("/console/login", data={"token": token}).status_code == 303


WANTED = [
    "https://evil.example/",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https:evil.example",
    "/%2f/evil.example",
    "/console\\..//evil.example",
    "/console/\t//evil.example",
    "/console/\\\\evil.example",
    "/console//evil.example/../..",
    "console/",
    "/consolevil",
    "/console/../other/",
    "/console/%2e%2E//evil.example/",
    "/console/.%2e/other/?q=1",
    "javascript:alert(1)",
    "/console/\r\nSet-Cookie: a=b",
    "/console/\u2025",
    "@evil.example",
    "",
]


def test_one_returns_to_the_console_alone(client: FlaskClient, provider: Provider) -> None:
    for wanted in WANTED:
        answer = log_in(client, wanted)
        own = urlsplit(answer.location)
        assert (answer.status_code, own.scheme, own.netloc) == (303, "", ""), wanted
        assert urljoin("http://localhost/", unquote(answer.location)).startswith(CONSOLE), wanted
        assert "\\" not in answer.location
        assert answer.location == "/console/" or wanted.startswith("/console/")
        assert "Set-Cookie: a=b" not in str(answer.headers)


def test_a_role_that_was_lowered_holds_after_the_recheck(
    client: FlaskClient, house: House, provider: Provider
) -> None:
    log_in(client)
    (begun,) = house.sql("SELECT ends_at FROM web_session")
    provider.people["ann"]["groups"] = ["sre"]
    assert "admin" in client.get("/console/").text
    for _ in range(3):  # in use, so that it is not idle
        house.later(RECHECK / 3 + timedelta(seconds=1))
        client.get("/console/login")
    answer = client.get("/console/?q=1")
    assert answer.location == "/console/login?next=/console/?q%3D1"
    looking = client.get(answer.location, headers={"Sec-Fetch-Mode": "cors"})
    assert looking.status_code == 200, "a script is not sent to another site"
    onward = client.get(answer.location)
    assert client.post("/console/logout", data={}).status_code == 403
    back = client.get(at_provider(client.get(onward.location).location))
    assert (back.status_code, back.location) == (303, "/console/?q=1")
    page = client.get("/console/").text
    assert "company:ann@example.com" in page and "operator" in page
    rows = house.sql("SELECT ends_at, ended_at FROM web_session ORDER BY id")
    assert rows[0]["ended_at"] is not None and rows[1]["ended_at"] is None
    assert rows[1]["ends_at"] == begun["ends_at"], "a re-check makes the day no longer"


def test_a_role_that_was_taken_away_ends_at_the_recheck(
    client: FlaskClient, house: House, provider: Provider
) -> None:
    log_in(client)
    provider.people["ann"]["groups"] = []
    for _ in range(3):
        house.later(RECHECK / 3 + timedelta(seconds=1))
        client.get("/console/login")
    assert log_in(client).status_code == 403
    assert not inside(client)
