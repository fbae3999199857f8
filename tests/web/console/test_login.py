"""Logging in to the console with a token, and out."""

from flask.testing import FlaskClient

from tests.house import House

Tokens = dict[str, dict[str, str]]


def log_in(client: FlaskClient, tokens: Tokens, role: str = "operator", next: str = ""):  # type: ignore[no-untyped-def]
    token = tokens[role]["Authorization"].removeprefix("Bearer ")
    return client.post("/console/login", data={"token": token, "next": next})


def test_a_token_opens_the_page_that_was_asked_for(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    asked = client.get("/console/")
    assert (asked.status_code, asked.location) == (303, "/console/login?next=/console/")
    entered = log_in(client, tokens)
    assert (entered.status_code, entered.location) == (303, "/console/")
    page = client.get("/console/")
    assert page.status_code == 200
    assert "operator-ann" in page.text
    assert house.trail()[-1] == ("session", "begun")


def test_a_page_that_was_not_changed_is_not_sent_again(client: FlaskClient, tokens: Tokens) -> None:
    log_in(client, tokens)
    page = client.get("/console/")
    again = client.get("/console/", headers={"If-None-Match": page.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_who_logs_out_is_out(client: FlaskClient, tokens: Tokens, house: House) -> None:
    log_in(client, tokens)
    csrf = client.get("/console/").text.split('name="csrf" value="')[1].split('"')[0]
    stolen = client.get_cookie("responder")
    assert stolen is not None
    assert client.post("/console/logout", data={"csrf": csrf}).location == "/console/login"
    client.set_cookie("responder", stolen.value)
    assert client.get("/console/").status_code == 303
    assert {("session", "ended"), ("denied", None)} <= set(house.trail())


def test_another_sites_page_changes_nothing(client: FlaskClient, tokens: Tokens) -> None:
    log_in(client, tokens)
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}):
        assert client.post("/console/logout", headers=headers).status_code == 403
    assert client.get("/console/").status_code == 200
