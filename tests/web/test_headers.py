"""What every answer carries, whoever asks for what; and what no door takes or shows."""

from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from responder.web import create_app
from tests.house import House
from tests.web.conftest import Tokens
from tests.web.test_matrix import PAGES, TABLE, entered, place

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Cache-Control": "no-store",
}
POLICY = {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"}
KINDS = {"application/json", "application/problem+json"}
TEXTS = {"text/html; charset=utf-8", "text/plain; version=1.0.0; charset=utf-8"}


@pytest.fixture
def app(house: House) -> Flask:
    settings = replace(house.services.settings, public_url="https://responder.example.com")
    return create_app(replace(house.services, settings=settings))


def test_every_answer_has_its_headers(app: Flask, tokens: Tokens) -> None:
    client = app.test_client()
    asked = [*TABLE, ("GET", "/nowhere"), ("TRACE", "/healthz"), ("DELETE", "/docs")]
    for route in asked:
        for headers in ({}, tokens["admin"]):
            answer = client.open(place(route), method=route[0], headers=headers)
            answer.close()
            found = {name: answer.headers.get(name) for name in ALWAYS}
            if route[1] == "/docs" and answer.status_code == 200:  # a file that is the same for all
                found["Cache-Control"] = "no-store"
            assert found == ALWAYS, route
            assert set(answer.headers["Content-Security-Policy"].split("; ")) >= POLICY, route
            assert answer.headers["Content-Type"] in KINDS | TEXTS, route
            others = [name for name, _ in answer.headers if name.startswith("Access-Control")]
            assert others == [], "no other site's script reads it"


def test_a_page_is_kept_by_no_browser_and_leads_out(house: House, tokens: Tokens) -> None:
    client, _ = entered(create_app(house.services), tokens, "viewer")
    shown = 0
    for route in PAGES:
        if route[0] != "GET" or TABLE[route] is None:
            continue
        answer = client.get(place(route))
        assert answer.headers["Cache-Control"] == "no-store", route
        assert 'action="/console/logout"' in answer.text, route
        shown += answer.status_code == 200
    assert shown >= 8


def test_over_http_nobody_is_bound_to_https(client: FlaskClient) -> None:
    assert "Strict-Transport-Security" not in client.get("/healthz").headers


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "PATCH"])
def test_a_method_that_nobody_meant_is_refused(client: FlaskClient, method: str) -> None:
    for path in ("/healthz", "/v1/incidents", "/v1/webhooks/prometheus", "/console/"):
        headers = {"X-HTTP-Method-Override": "GET", "X-Secret": "echo"}
        answer = client.open(path, method=method, headers=headers)
        assert answer.status_code == 405
        assert "echo" not in answer.text


def test_a_token_opens_from_the_header_alone(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    """An address stands in logs and histories, a cookie is sent by other sites."""
    token = tokens["admin"]["Authorization"].removeprefix("Bearer ")
    for name in ("token", "access_token", "authorization", "Authorization", "api_key"):
        assert client.get("/v1/incidents", query_string={name: token}).status_code == 401
        assert client.get("/console/", query_string={name: token}).status_code == 303
        client.set_cookie(name, token)
        form = client.post("/v1/incidents/x/acknowledge", data={name: token})
        assert form.status_code in (401, 404)
        assert client.get("/v1/incidents").status_code == 401
    assert house.sql("SELECT FROM web_session") == []


@pytest.mark.parametrize(
    "path",
    [
        *("/static/", "/static", "/static/console/", "/static/console", "/static/vendor/"),
        *("/.git/config", "/static/.git/config", "/responder.toml", "/static/../guard.py"),
        *("/static/%2e%2e/guard.py", "/static/..%2fguard.py"),
        "/static/console/console.css%00.html",
    ],
)
def test_no_folder_is_listed_and_no_file_is_found_by_a_detour(
    client: FlaskClient, path: str
) -> None:
    answer = client.get(path)
    answer.close()
    assert answer.status_code == 404
