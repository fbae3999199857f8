"""A breaker through the API and in the numbers: who may close it, and what they are answered."""

from collections.abc import Mapping

import pytest
from flask.testing import FlaskClient

from tests.house import House, alert

Tokens = Mapping[str, Mapping[str, str]]
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def broken(house: House) -> House:
    """Nobody knows what became of the last fix of an incident."""
    house.post(alert("ShopifyQueueStuck", severity="warning"))
    house.settle()
    house.sql(
        "INSERT INTO fix (id, incident_id, key, rule, rule_checksum, option, target, parameters,"
        " actor_kind, actor, severity, status, attempt, started_at, ended_at)"
        " SELECT gen_random_uuid(), id, key, rule, '', 'retry_failed', 'shop_eu', '{}',"
        " 'responder', 'responder', 'P2', 'unknown', 1, now(), now() FROM incident"
    )
    return house


def open_breakers(client: FlaskClient, tokens: Tokens) -> str:
    told = client.get("/metrics", headers=tokens["viewer"]).get_data(as_text=True)
    (line,) = [each for each in told.splitlines() if each.startswith("responder_breakers_open ")]
    return line.rsplit(" ", 1)[1]


def test_an_operator_closes_it(client: FlaskClient, tokens: Tokens, broken: House) -> None:
    place = f"/v1/incidents/{broken.incident().id}"
    told = client.get(place, headers=tokens["viewer"]).get_json()["breaker"]
    assert (told["open"], told["failed_fixes"], told["unknown_fixes"]) == (True, 0, 1)
    assert f"responder fixes reset {broken.incident().id} --reason WHY" in told["sentence"]
    assert open_breakers(client, tokens) == "1.0"
    body = {"reason": "it was made, as the provider's log says"}
    answer = client.post(f"{place}/reset", json=body, headers=tokens["operator"])
    assert answer.status_code == 200
    assert answer.get_json()["breaker"] == {
        "open": False,
        "failed_fixes": 0,
        "unknown_fixes": 0,
        "undone_fixes": 0,
        "sentence": "",
    }
    assert answer.get_json()["incident"]["stage"] == "diagnose"
    assert open_breakers(client, tokens) == "0.0"
    (event,) = broken.sql("SELECT * FROM audit_event WHERE what = 'breaker'")
    assert (event["actor"], event["details"]["why"]) == ("operator-ann", body["reason"])
    again = client.post(f"{place}/reset", json=body, headers=tokens["operator"])
    assert (again.status_code, again.get_json()["type"]) == (409, "urn:responder:conflict")


@pytest.mark.parametrize(
    ("role", "body", "status"),
    [
        ("viewer", {"reason": "x"}, 403),
        ("operator", {}, 400),
        ("operator", {"reason": " "}, 400),
        ("operator", {"reason": "x", "key": "all"}, 400),
    ],
)
def test_who_may_not_and_what_is_no_reason(
    client: FlaskClient,
    tokens: Tokens,
    broken: House,
    role: str,
    body: Mapping[str, str],
    status: int,
) -> None:
    place = f"/v1/incidents/{broken.incident().id}"
    refused = client.post(f"{place}/reset", json=body, headers=tokens[role])
    assert refused.status_code == status
    assert client.get(place, headers=tokens["viewer"]).get_json()["breaker"]["open"] is True


def test_there_is_no_such_incident(client: FlaskClient, tokens: Tokens, broken: House) -> None:
    place = f"/v1/incidents/{NOBODY}/reset"
    assert client.post(place, json={"reason": "x"}, headers=tokens["admin"]).status_code == 404
