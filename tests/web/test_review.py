"""Reviews through the API and the command line: who may, what waits, what is said back."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.house import House, alert
from tests.web.test_by_people import EXHAUSTED, NOBODY, STUCK, is_problem

Tokens = Mapping[str, Mapping[str, str]]


@pytest.fixture
def over(house: House) -> House:
    """Something was fixed, and is over; something else was not fixed, and is over, too."""
    house.shop.run(EXHAUSTED)
    house.post(alert(STUCK), alert("Nobody"))
    house.settle()
    house.post(alert(STUCK, "resolved"), alert("Nobody", "resolved"))
    house.settle()
    return house


def ids(client: FlaskClient, tokens: Tokens, query: str) -> list[str]:
    answer = client.get(f"/v1/incidents?{query}", headers=tokens["viewer"])
    assert answer.status_code == 200
    return [each["id"] for each in answer.get_json()["items"]]


def test_what_waits_is_listed_judged_and_gone(
    client: FlaskClient, tokens: Tokens, over: House
) -> None:
    (fixed,) = [str(each.id) for each in over.incidents() if each.rule is not None]
    assert ids(client, tokens, "review=waiting") == [fixed]
    assert ids(client, tokens, "review=waiting&severity=P0") == []
    assert ids(client, tokens, "review=overdue") == []
    over.later(timedelta(hours=73))
    assert ids(client, tokens, "review=overdue&status=resolved&q=stuck&limit=1") == [fixed]
    metrics = client.get("/metrics", headers=tokens["viewer"]).get_data(as_text=True)
    assert "responder_reviews_waiting 1.0\nresponder_reviews_overdue" not in metrics
    assert "\nresponder_reviews_overdue 1.0\n" in metrics
    body = {"verdict": "harmful", "note": "twice the stock"}
    place = f"/v1/incidents/{fixed}/review"
    answer = client.post(place, json=body, headers=tokens["operator"])
    told: dict[str, Any] = answer.get_json()["review"]
    assert (answer.status_code, told["verdict"], told["note"]) == (200, *body.values())
    assert (told["actor"], told["took_back"], told["waiting"]) == ("operator-ann", True, False)
    assert ids(client, tokens, "review=waiting") == []
    metrics = client.get("/metrics", headers=tokens["viewer"]).get_data(as_text=True)
    assert 'verdicts{rule="shopify_queue_stuck",verdict="harmful"} 1.0' in metrics
    rule = client.get("/v1/rules/shopify_queue_stuck", headers=tokens["viewer"]).get_json()
    assert rule["agreement"]["this_version"]["harmful"] == 1
    assert rule["agreement"]["against"][0]["incident"] == fixed


REFUSED: list[tuple[dict[str, str], str, int, str]] = [
    ({"verdict": "useful"}, "viewer", 403, "forbidden"),
    ({"verdict": "fine"}, "operator", 400, "wrong_parameters"),
    ({}, "operator", 400, "wrong_parameters"),
    ({"verdict": "wrong", "note": "x" * 10_001}, "operator", 400, "wrong_parameters"),
    ({"verdict": "wrong", "as": "bea"}, "operator", 400, "wrong_parameters"),
]


def test_what_is_refused_leaves_nothing(client: FlaskClient, tokens: Tokens, over: House) -> None:
    place = f"/v1/incidents/{over.incidents()[0].id}/review"
    for body, role, status, reason in REFUSED:
        is_problem(client.post(place, json=body, headers=tokens[role]), status, reason)
    nowhere = client.post(
        f"/v1/incidents/{NOBODY}/review", json={"verdict": "useful"}, headers=tokens["operator"]
    )
    is_problem(nowhere, 404, "not_found")
    assert over.sql("SELECT FROM audit_event WHERE what = 'review'") == []
