"""Sessions of the console: who has one, when it ends, and that a cookie alone is worth nothing."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import jwt
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from responder.domain.settings import Login
from responder.web import create_app
from responder.web.console.login import TRIES
from tests.house import House
from tests.web.conftest import Tokens

MINUTE = timedelta(minutes=1)


def text_of(tokens: Tokens, role: str) -> str:
    return tokens[role]["Authorization"].removeprefix("Bearer ")


def log_in(client: FlaskClient, tokens: Tokens, role: str = "operator") -> str:
    """The cookie."""
    told = {"token": text_of(tokens, role), "csrf": csrf(client) if opens(client) else ""}
    assert client.post("/console/login", data=told).status_code == 303
    cookie = client.get_cookie("responder")
    assert cookie is not None
    return cookie.value


def opens(client: FlaskClient, **headers: str) -> bool:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.get("/console/", headers=sent).status_code == 200


def denials(house: House) -> list[tuple[str, str]]:
    rows = house.sql("SELECT actor, details->>'why' AS why FROM audit_event WHERE what = 'denied'")
    return [(row["actor"], row["why"]) for row in rows]


def test_it_ends_when_nobody_uses_it(client: FlaskClient, tokens: Tokens, house: House) -> None:
    log_in(client, tokens)
    for _ in range(2):
        house.later(29 * MINUTE)
        assert opens(client)
    house.later(31 * MINUTE)
    assert not opens(client)
    assert denials(house) == [], "nobody tried anything"


def test_a_page_that_looks_for_news_is_no_use(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    log_in(client, tokens)
    house.later(20 * MINUTE)
    assert opens(client, Sec_Fetch_Mode="cors")
    house.later(11 * MINUTE)
    assert not opens(client)


def test_it_ends_after_so_long_in_any_case(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    house.with_settings(login=Login(longest=timedelta(minutes=50)))
    client = create_app(house.services).test_client()
    log_in(client, tokens)
    house.later(25 * MINUTE)
    assert opens(client)
    house.later(26 * MINUTE)
    assert not opens(client)


def test_it_ends_with_the_token_that_it_was_begun_with(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    log_in(client, tokens)
    for _ in range(2):
        house.later(29 * MINUTE)
        assert opens(client)
    house.later(3 * MINUTE)
    assert not opens(client), "the token was for an hour"


def test_a_stolen_cookie_is_worth_nothing_after_the_end(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    ends: dict[str, Callable[[FlaskClient, str], object]] = {
        "log out": lambda owner, role: owner.post("/console/logout", data={"csrf": csrf(owner)}),
        "a revoked token": lambda _, role: house.sql(
            "INSERT INTO token (id, name, role, issued_at, expires_at, revoked_at)"
            " VALUES (%s, '', 'viewer', now(), '9999-01-01', now())",
            jwt.decode(text_of(tokens, role), options={"verify_signature": False})["jti"],
        ),
        "a new login": lambda owner, role: log_in(owner, tokens, role),
        "a revoked person": lambda _, role: house.sql(
            "INSERT INTO person_revoked VALUES (%s, now(), 'kim')", f"{role}-ann"
        ),
    }
    roles = ("viewer", "operator", "admin", "admin")
    for (name, end), role in zip(ends.items(), roles, strict=True):
        owner, thief = client.application.test_client(), client.application.test_client()
        thief.set_cookie("responder", log_in(owner, tokens, role))
        assert opens(thief), name
        end(owner, role)
        assert not opens(thief), name
    assert {why for _, why in denials(house)} == {"not_logged_in"}
    assert {who for who, _ in denials(house)} == {"viewer-ann", "operator-ann", "admin-ann"}


def test_a_login_that_was_under_way_outlives_no_revocation(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    """It was let in just before, and its session was written just after."""
    log_in(client, tokens)
    house.sql(
        "INSERT INTO person_revoked SELECT person, begun_at - interval '1 second', 'kim'"
        " FROM web_session"
    )
    assert not opens(client)
    assert denials(house) == [("operator-ann", "not_logged_in")]


def csrf(client: FlaskClient) -> str:
    return client.get("/console/").text.split('name="csrf" value="')[1].split('"')[0]


def test_a_cookie_that_we_did_not_make_opens_nothing(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    good = log_in(client, tokens)
    (row,) = house.sql("SELECT id::text, encode(secret, 'hex') AS secret FROM web_session")
    guesses = [
        good[:-1],
        good + "A",
        good.swapcase(),
        row["id"],
        row["secret"],
        "' OR '1'='1",
        "%00",
        "\u00e9",
        "x" * 4000,
        text_of(tokens, "admin"),
    ]
    for guess in guesses:
        stranger = client.application.test_client()
        stranger.set_cookie("responder", guess)
        assert not opens(stranger), guess
        answer = stranger.post("/console/logout", data={})
        assert answer.status_code == 303, "there is nothing to end"
    assert opens(client)
    assert set(denials(house)) == {("unknown", "not_logged_in")}


def test_a_session_is_new_at_each_login(client: FlaskClient, tokens: Tokens, house: House) -> None:
    """Nobody can make somebody use a session that he knows (fixation)."""
    client.set_cookie("responder", "chosen-by-somebody-else")
    first = log_in(client, tokens)
    second = log_in(client, tokens)
    assert len({first, second, "chosen-by-somebody-else"}) == 3
    assert len(first) >= 43
    assert [
        row["over"]
        for row in house.sql("SELECT ended_at IS NOT NULL AS over FROM web_session ORDER BY id")
    ] == [True, False]


def test_one_sees_and_ends_ones_own_everywhere(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    here, lost, forgotten, other = (client.application.test_client() for _ in range(4))
    for browser, role in ((other, "admin"), (lost, "viewer"), (forgotten, "viewer")):
        log_in(browser, tokens, role)
    log_in(here, tokens, "viewer")
    page = here.get("/console/sessions").text
    assert page.count("this one") == 1
    ids = re.findall(r'<button[^>]* name="id" value="([^"]+)"', page)
    assert len(ids) == 2, "neither this one nor somebody else's"
    (foreign,) = house.sql("SELECT id::text FROM web_session WHERE person = 'admin-ann'")
    told = {"csrf": csrf(here), "id": [ids[0], foreign["id"]]}
    assert here.post("/console/sessions/end", data=told).location == "/console/sessions"
    assert [opens(browser) for browser in (lost, forgotten)].count(True) == 1
    assert opens(here) and opens(other), "of others nobody ends any"
    assert (
        here.post("/console/sessions/end", data={"csrf": csrf(here), "id": "x"}).status_code == 400
    )
    here.post("/console/sessions/end", data={"csrf": csrf(here), "id": ids})
    assert not opens(lost) and not opens(forgotten)
    ended = house.sql("SELECT actor FROM audit_event WHERE what = 'session' AND after = 'ended'")
    assert [row["actor"] for row in ended] == ["viewer-ann"] * 2


@pytest.mark.parametrize(
    ("public_url", "name", "secure"),
    [
        ("https://responder.example.com", "__Host-responder", True),
        ("http://127.0.0.1:8000", "responder", False),
    ],
)
def test_the_flags_of_the_cookie(
    house: House, tokens: Tokens, public_url: str, name: str, secure: bool
) -> None:
    services = replace(
        house.services, settings=replace(house.services.settings, public_url=public_url)
    )
    client = create_app(services).test_client()
    answer = client.post("/console/login", data={"token": text_of(tokens, "viewer")})
    (cookie,) = answer.headers.getlist("Set-Cookie")
    parts = cookie.split("; ")
    assert parts[0].startswith(f"{name}=")
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(parts)
    assert ("Secure" in parts) == secure
    assert not any(part.startswith("Domain=") for part in parts)


# Wrong attempts


def attempt(client: FlaskClient, token: str, address: str = "10.0.0.1") -> TestResponse:
    environ, browser = {"REMOTE_ADDR": address}, client.application.test_client()
    return browser.post("/console/login", data={"token": token}, environ_overrides=environ)


def test_who_tries_too_often_is_told_to_wait_and_nobody_is_locked_out(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    told = [attempt(client, "a.b.c").status_code for _ in range(TRIES + 2)]
    assert told == [401] * TRIES + [429] * 2
    waiting = attempt(client, "a.b.c")
    assert 0 < int(waiting.headers["Retry-After"]) <= 300
    assert "too many wrong attempts" in waiting.text
    assert attempt(client, "a.b.c", "10.0.0.2").status_code == 401, "another address"
    assert attempt(client, text_of(tokens, "viewer")).status_code == 303, "what is right opens"
    assert len(denials(house)) <= 4, "one a minute for each of both addresses"
    assert len(house.sql("SELECT FROM login_failure")) <= 3
    house.later(6 * MINUTE)
    assert attempt(client, "a.b.c").status_code == 401
    rows = house.sql("SELECT failures FROM login_failure")
    assert all(row["failures"] == 1 for row in rows), "the others are forgotten"


def test_a_name_that_is_tried_from_everywhere(client: FlaskClient, tokens: Tokens) -> None:
    head, body, _ = text_of(tokens, "admin").split(".")
    told = [
        attempt(client, f"{head}.{body}.AAAA", f"10.0.1.{last}").status_code
        for last in range(TRIES + 1)
    ]
    assert told == [401] * TRIES + [429]
    assert attempt(client, text_of(tokens, "admin"), "10.0.2.1").status_code == 303
