"""Who may do what: every route of the application by every role, by token and by session.

A route that is not in the table fails the test: add it, with the role that you mean.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from responder.domain.actor import ROLES
from responder.domain.ids import new_id
from responder.web import create_app
from responder.web.api import SCOPES
from responder.web.tokens import TokenKeys
from tests.house import House
from tests.web.conftest import Tokens

#: `-` is for everybody. The webhooks have credentials of their own: test_reply_table.
MATRIX = """
-         GET     /healthz
-         GET     /readyz
-         GET     /openapi.json
-         GET     /docs
-         GET     /static/<path:filename>
-         POST    /v1/webhooks/<source>
-         PUT     /v1/webhooks/<source>
viewer    GET     /metrics
viewer    GET     /v1/deliveries
viewer    GET     /v1/deliveries/<uuid:delivery_id>
admin     GET     /v1/deliveries/<uuid:delivery_id>/body
operator  POST    /v1/deliveries/<uuid:delivery_id>/redrive
viewer    GET     /v1/incidents
viewer    GET     /v1/incidents/<uuid:incident_id>
viewer    GET     /v1/incidents/<uuid:incident_id>/events
operator  POST    /v1/incidents/<uuid:incident_id>/acknowledge
operator  POST    /v1/incidents/<uuid:incident_id>/resolve
operator  POST    /v1/incidents/<uuid:incident_id>/notes
operator  POST    /v1/incidents/<uuid:incident_id>/reset
operator  POST    /v1/incidents/<uuid:incident_id>/fixes
viewer    GET     /v1/fixes/<uuid:fix_id>
operator  POST    /v1/fixes/<uuid:fix_id>/undo
admin     GET     /v1/fixes/<uuid:fix_id>/images
viewer    GET     /v1/holds
admin     PUT     /v1/incidents/<uuid:incident_id>/hold
operator  POST    /v1/incidents/<uuid:incident_id>/review
viewer    GET     /v1/maintenance
viewer    GET     /v1/maintenance/<uuid:window_id>
viewer    GET     /v1/maintenance/coming
operator  POST    /v1/maintenance
operator  DELETE  /v1/maintenance/<uuid:window_id>
operator  PUT     /v1/maintenance/<uuid:window_id>/checklist/<int:position>
viewer    GET     /v1/audit
viewer    GET     /v1/audit/verify
viewer    GET     /v1/autofix
operator  PUT     /v1/autofix
viewer    GET     /v1/rules
viewer    GET     /v1/rules/<name>
viewer    POST    /v1/explain/<source_name>
-         GET     /console/login
-         POST    /console/login
-         GET     /console/login/provider
-         GET     /console/login/return
-         POST    /console/logout
viewer    GET     /console/
viewer    GET     /console/audit
operator  POST    /console/autofix/off
admin     POST    /console/autofix/on
viewer    GET     /console/audit
viewer    GET     /console/deliveries
viewer    GET     /console/deliveries/<uuid:delivery_id>
admin     GET     /console/deliveries/<uuid:delivery_id>/body
operator  POST    /console/deliveries/<uuid:delivery_id>/redrive
viewer    GET     /console/explain
viewer    POST    /console/explain
viewer    GET     /console/incidents/<uuid:incident_id>
operator  POST    /console/incidents/<uuid:incident_id>/acknowledge
viewer    POST    /console/incidents/<uuid:incident_id>/bundle
operator  POST    /console/incidents/<uuid:incident_id>/fixes
operator  POST    /console/incidents/<uuid:incident_id>/fixes/<uuid:fix_id>/undo
operator  POST    /console/incidents/<uuid:incident_id>/notes
operator  POST    /console/incidents/<uuid:incident_id>/reset
operator  POST    /console/incidents/<uuid:incident_id>/resolve
operator  POST    /console/incidents/<uuid:incident_id>/review
viewer    GET     /console/maintenance
operator  POST    /console/maintenance
viewer    GET     /console/maintenance/<uuid:window_id>
operator  POST    /console/maintenance/<uuid:window_id>/end
operator  POST    /console/maintenance/<uuid:window_id>/items/<int:position>
viewer    GET     /console/numbers
viewer    GET     /console/receivers/<name>
operator  POST    /console/receivers/<name>/redrive
operator  POST    /console/receivers/<name>/test
viewer    GET     /console/rules
viewer    GET     /console/rules/<name>
admin     POST    /console/rules/<name>/promotion
viewer    GET     /console/senders
viewer    GET     /console/sessions
viewer    POST    /console/sessions/end
"""
TABLE = {
    (method, rule): None if role == "-" else role
    for role, method, rule in (line.split() for line in MATRIX.strip().splitlines())
}
SAFE = ("GET", "HEAD", "OPTIONS")
Route = tuple[str, str]


@pytest.fixture
def app(house: House) -> Flask:
    return create_app(house.services)


def routes(app: Flask) -> Iterator[tuple[Route, str]]:
    """Each route with the subject that it belongs to."""
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            yield (method, rule.rule), rule.endpoint.partition(".")[0]


def test_every_route_is_declared(app: Flask) -> None:
    assert {route for route, _ in routes(app)} == TABLE.keys()


def place(route: Route) -> str:
    """A path of this route at which there is nothing."""
    parts = {"uuid": str(new_id()), "int": "1", "path": "nothing"}
    return re.sub(r"<(?:(\w+):)?\w+>", lambda part: parts.get(part[1], "nobody"), route[1])


def verdict(answer: TestResponse) -> str:
    """What a caller is told of who they are; what it is about does not matter here."""
    answer.close()
    if answer.status_code == 303 and answer.location.startswith("/console/login?next="):
        return "log in"
    return {401: "log in", 403: "no"}.get(answer.status_code, "yes")


def expected(role: str | None, caller: str | None) -> str:
    if role is None:
        return "yes"
    if caller is None:
        return "log in"
    return "yes" if ROLES.index(caller) >= ROLES.index(role) else "no"


def test_each_role_at_each_door_of_the_api(app: Flask, tokens: Tokens, house: House) -> None:
    client = app.test_client()
    asked = [
        (route, caller)
        for route in TABLE
        if not route[1].startswith(("/console", "/v1/webhooks"))
        for caller in (None, *ROLES)
    ]
    found = {
        (route, caller): verdict(
            client.open(place(route), method=route[0], headers=tokens[caller] if caller else {})
        )
        for route, caller in asked
    }
    assert found == {(route, caller): expected(TABLE[route], caller) for route, caller in asked}
    denied = house.sql(
        "SELECT actor, details->>'why' AS why FROM audit_event WHERE what = 'denied'"
    )
    assert {(row["actor"], row["why"]) for row in denied} == {
        ("unknown", "no_token"),
        ("viewer-ann", "role"),
        ("operator-ann", "role"),
    }


def test_a_scope_opens_its_subject_alone(app: Flask, house: House) -> None:
    client, keys = app.test_client(), TokenKeys(house.services.settings.token_keys)
    subjects = {route: subject for route, subject in routes(app) if TABLE[route] is not None}
    subjects[("GET", "/metrics")] = "metrics"
    doors = {route: subject for route, subject in subjects.items() if subject in SCOPES}
    assert set(doors.values()) == set(SCOPES)
    for scope in SCOPES:
        text = keys.issue("bot", "admin", datetime.now(UTC), timedelta(hours=1), new_id(), [scope])
        headers = {"Authorization": f"Bearer {text}"}
        opened = {
            route
            for route in doors
            if verdict(client.open(place(route), method=route[0], headers=headers)) == "yes"
        }
        assert opened == {route for route, subject in doors.items() if subject == scope}
        entered = client.post("/console/login", data={"token": text})
        assert entered.status_code == 403, "it is for the API alone"


# The console


def entered(app: Flask, tokens: Tokens, role: str | None) -> tuple[FlaskClient, str]:
    """A browser that is logged in, and what its forms carry."""
    client = app.test_client()
    if role is None:
        return client, ""
    token = tokens[role]["Authorization"].removeprefix("Bearer ")
    assert client.post("/console/login", data={"token": token}).status_code == 303
    page = client.get("/console/").text
    return client, page.split('name="csrf" value="')[1].split('"')[0]


PAGES = [route for route in TABLE if route[1].startswith("/console")]


def test_each_role_at_each_page_of_the_console(app: Flask, tokens: Tokens) -> None:
    found = {}
    for caller in (None, *ROLES):
        client, csrf = entered(app, tokens, caller)
        for route in sorted(PAGES, key=lambda route: route[1].endswith("/logout")):
            answer = client.open(place(route), method=route[0], data={"csrf": csrf})
            found[route, caller] = verdict(answer)
    # A wrong token at the door is told to log in.
    wanted = {(route, who): expected(TABLE[route], who) for route, who in found}
    wanted |= {(("POST", "/console/login"), who): "log in" for who in (None, *ROLES)}
    assert found == wanted


FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "nonsense"},
]


def test_no_other_site_makes_a_browser_do_anything(
    app: Flask, tokens: Tokens, house: House
) -> None:
    client, csrf = entered(app, tokens, "admin")
    began = house.trail()
    for route in PAGES:
        if route[0] in SAFE:
            continue
        for headers in FOREIGN:
            told = {"csrf": csrf, "token": tokens["admin"]["Authorization"][7:]}
            answer = client.open(place(route), method=route[0], headers=headers, data=told)
            assert answer.status_code == 403, (route, headers)
        for wrong in ("", "x", csrf[:-1], csrf.upper(), "\u00e9"):
            answer = client.open(place(route), method=route[0], data={"csrf": wrong})
            assert answer.status_code == 403, (route, wrong)
        assert client.open(place(route), method=route[0]).status_code == 403
    assert client.get("/console/").status_code == 200, "nobody was logged out"
    told = [each for each in house.trail() if each not in began]
    assert set(told) == {("denied", None)} and len(told) <= 2, "one event a minute says so"
