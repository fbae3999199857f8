"""A plain webhook is answered before Flask is asked, and nobody can tell by the answer."""

import json
from typing import Any

import pytest
from flask import request_started
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.house import BEARER, House, alert

DOOR = "/v1/webhooks/prometheus"


def post(client: FlaskClient, payload: Any, bearer: str = BEARER, **headers: str) -> TestResponse:
    told = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json", **headers}
    return client.post(DOOR, data=json.dumps(payload), headers=told)


@pytest.fixture
def asked(client: FlaskClient) -> list[object]:
    """What Flask was asked."""
    seen: list[object] = []

    def note(sender: object, **_: object) -> None:
        seen.append(sender)

    request_started.connect(note, client.application, weak=False)
    return seen


@pytest.mark.parametrize(
    "payload",
    [{"alerts": [alert("A")]}, {"alerts": [alert("A", severity="critical"), 7]}, {"hello": 1}],
    ids=["accepted", "one malformed", "quarantined"],
)
def test_both_ways_answer_the_same(
    client: FlaskClient, house: House, asked: list[object], payload: Any
) -> None:
    plain = post(client, payload)
    assert not asked
    by_flask = post(client, payload, Prefer="wait=0")
    assert len(asked) == 1

    assert plain.status == by_flask.status
    assert dict(plain.headers).keys() == dict(by_flask.headers).keys()
    unlike = {"Content-Length"}
    for name in set(plain.headers.keys()) - unlike:
        assert plain.headers.getlist(name) == by_flask.headers.getlist(name), name
    first, second = plain.get_json(), by_flask.get_json()
    ids = [told.pop("delivery") for told in (first, second)]
    links = [told.pop("links") for told in (first, second)]
    assert first == second
    assert [link["self"].rpartition("/")[2] for link in links] == ids
    rows = house.sql("SELECT id, headers, outcome, alert_count FROM delivery ORDER BY received_at")
    assert [str(row.pop("id")) for row in rows] == ids
    assert rows[0] == rows[1]


def test_what_is_refused_leaves_as_a_problem_and_is_counted_once(
    client: FlaskClient, house: House, asked: list[object]
) -> None:
    answer = post(client, {"alerts": [alert("A")]}, bearer="wrong")
    assert len(asked) == 1
    assert answer.status_code == 401
    assert answer.get_json()["type"] == "urn:responder:unauthenticated"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert not house.sql("SELECT FROM delivery")
    assert len(house.sql("SELECT FROM audit_event WHERE what = 'refused'")) == 1
