"""How endpoints are declared: what is read is checked, whatever is wrong is one of our problems."""

from typing import Any

import pytest
from flask import Flask, Response, jsonify
from flask.testing import FlaskClient
from marshmallow import Schema, fields

from responder.web import create_app
from responder.web.api.endpoints import Endpoints
from responder.web.api.schemas import STORABLE, Answer
from tests.house import House

endpoints = Endpoints("things", "For these tests.")


class ThingWanted(Schema):
    colour = fields.String(required=True, validate=STORABLE)
    size = fields.Integer()


class ThingNote(Schema):
    text = fields.String()


class ThingOnce(Schema):
    key = fields.String(data_key="Idempotency-Key")


class ThingDeep(Schema):
    deep = fields.Boolean(load_default=False)


class Thing(Answer):
    colour = fields.String(required=True)


@endpoints.post(
    "/things/<int:number>",
    role=None,
    query=ThingDeep,
    body=ThingWanted,
    headers=ThingOnce,
    answers={201: Thing},
    problems=["conflict"],
    also={"responses": {201: {"headers": {"Location": {"schema": {"type": "string"}}}}}},
)
def make(
    asked: dict[str, Any], wanted: dict[str, Any], once: dict[str, Any], number: int
) -> tuple[Response, int]:
    """Make a thing.

    It is blue.
    """
    return jsonify({"colour": "blue", "hidden": [asked, wanted, once, number]}), 201


@endpoints.post("/things/<int:number>/notes", role=None, body=ThingNote, answers={200: Thing})
def note(said: dict[str, Any], number: int) -> Response:
    """Say something."""
    return jsonify({"said": said})


@endpoints.put("/broken", role=None, answers={200: Thing})
def broken() -> Response:
    """Has a mistake of ours in it."""
    raise RuntimeError("the password is 5ecret")


@pytest.fixture
def app(house: House) -> Flask:
    app = create_app(house.services)
    app.extensions["flask-smorest"]["apis"][""]["ext_obj"].register_blueprint(endpoints)
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def test_query_body_and_headers_come_before_the_parts_of_the_path(client: FlaskClient) -> None:
    headers = {"Idempotency-Key": "k", "X-Else": "ignored"}
    answer = client.post("/v1/things/7?deep=yes", json={"colour": "red"}, headers=headers)
    assert answer.status_code == 201
    assert answer.get_json()["hidden"] == [
        {"deep": True},
        {"colour": "red"},
        {"key": "k"},
        7,
    ], "and an answer is not filtered by its schema"


JSON = "application/json"


@pytest.mark.parametrize(
    ("body", "media_type", "status", "reason", "wrong"),
    [
        (b"", JSON, 400, "wrong_parameters", ["colour"]),
        (b"", "", 400, "wrong_parameters", ["colour"]),
        (b"{}", JSON, 400, "wrong_parameters", ["colour"]),
        (b'{"colour": 5}', JSON, 400, "wrong_parameters", ["colour"]),
        (b'{"colour": "red", "size": "big"}', JSON, 400, "wrong_parameters", ["size"]),
        (b'{"colour": "red", "seize": 1}', JSON, 400, "wrong_parameters", ["seize"]),
        (b"[]", JSON, 400, "wrong_parameters", ["_schema"]),
        (b"null", JSON, 400, "wrong_parameters", ["_schema"]),
        (b"{", JSON, 400, "not_json", None),
        (b'"\xff"', JSON, 400, "not_json", None),
        (b"[" * 50_000, JSON, 400, "not_json", None),
        (b"colour=red", "application/x-www-form-urlencoded", 415, "wrong_media_type", None),
        (b'{"colour": "red"}', "text/plain", 415, "wrong_media_type", None),
        (b'{"colour": "red"}', "application/vnd.thing+json; charset=utf-8", 201, "", None),
    ],
)
def test_what_is_wrong_with_a_body(
    client: FlaskClient,
    body: bytes,
    media_type: str,
    status: int,
    reason: str,
    wrong: list[str] | None,
) -> None:
    answer = client.post("/v1/things/7", data=body, content_type=media_type)
    assert answer.status_code == status
    if reason:
        assert answer.mimetype == "application/problem+json"
        assert answer.get_json()["type"] == f"urn:responder:{reason}"
        assert list(answer.get_json().get("errors", {})) == (wrong or [])


def test_a_body_of_which_nothing_is_required_may_be_absent(client: FlaskClient) -> None:
    assert client.post("/v1/things/7/notes").get_json() == {"said": {}}


def test_a_body_that_is_too_large(house: House, app: Flask) -> None:
    long = b'{"colour": "' + b"x" * house.services.settings.max_body + b'"}'
    answer = app.test_client().post("/v1/things/7", data=long, content_type=JSON)
    assert (answer.status_code, answer.get_json()["type"]) == (413, "urn:responder:too_large")


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/v1/things/7/nothing", 404, "not_found"),
        ("GET", "/v1/things/seven", 404, "not_found"),
        ("DELETE", "/v1/things/7", 405, "http"),
        ("BREW", "/healthz", 405, "http"),
        ("PUT", "/v1/broken", 500, "http"),
    ],
)
def test_every_error_has_one_shape(
    client: FlaskClient, method: str, path: str, status: int, reason: str
) -> None:
    answer = client.open(path, method=method)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    told = answer.get_json()
    assert told.keys() == {"type", "title", "status", "detail"}
    assert (told["type"], told["status"]) == (f"urn:responder:{reason}", status)
    assert "5ecret" not in answer.get_data(as_text=True)


def test_a_wrong_method_hears_which_ones_are_right(client: FlaskClient) -> None:
    allowed = client.delete("/v1/things/7").headers["Allow"]
    assert set(allowed.split(", ")) == {"POST", "OPTIONS"}


def test_what_is_declared_is_documented(client: FlaskClient) -> None:
    paths = client.get("/openapi.json").get_json()["paths"]
    made = paths["/v1/things/{number}"]["post"]
    assert made["summary"] == "Make a thing."
    assert made["description"] == "It is blue.\n\nOpen to everybody."
    assert set(made["responses"]) == {"201", "400", "404", "409", "413", "415", "503"}
    assert set(made["responses"]["201"]) == {"description", "content", "headers"}
    reasons = made["responses"]["400"]["content"]["application/problem+json"]["schema"]["allOf"][1]
    assert set(reasons["properties"]["type"]["enum"]) == {
        "urn:responder:wrong_parameters",
        "urn:responder:not_json",
    }
    assert made["requestBody"]["required"] is True
    assert paths["/v1/things/{number}/notes"]["post"]["requestBody"]["required"] is False
    named = {(each["in"], each["name"]) for each in made["parameters"]}
    assert named == {("query", "deep"), ("header", "Idempotency-Key")}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/v1/incidents", 401),
        ("GET", "/nowhere", 404),
        ("DELETE", "/healthz", 405),
        ("POST", "/v1/webhooks/prometheus", 401),
        ("PUT", "/v1/broken", 500),
    ],
)
def test_a_browser_may_do_nothing_with_an_answer(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method)
    assert answer.status_code == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"] == (
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
