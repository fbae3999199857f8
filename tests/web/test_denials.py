"""Whoever is not let in leaves a trail, which they cannot make long."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from responder.domain.actor import Actor, ActorKind
from responder.domain.ids import new_id
from responder.pipeline.refusals import MOST, OTHERS, record_refusal
from responder.web import create_app
from responder.web.tokens import TokenKeys
from tests.house import House
from tests.web.conftest import Tokens


def denied(house: House) -> list[dict[str, Any]]:
    return house.sql(
        "SELECT actor_kind, actor, subject, details FROM audit_event WHERE what = 'denied'"
        " ORDER BY id"
    )


def test_who_tried_what_from_where_and_why(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    client.get("/v1/rules?password=hunter2")
    client.get("/v1/rules", headers={"Authorization": "Bearer a.b.c"})
    client.post(f"/v1/incidents/{new_id()}/resolve", headers=tokens["viewer"])
    client.put(
        "/v1/autofix", json={"enabled": True, "reason": "x"}, headers=tokens["operator"]
    )  # the view itself says no
    client.get("/v1/incidents/\u00e9\r\n" + "x" * 500, headers=tokens["viewer"])
    told = sorted(
        (row["actor"], row["subject"], row["details"]["why"], row["details"]["asked_for"])
        for row in denied(house)
    )
    assert [each[:3] for each in told] == [
        ("operator-ann", "door autofix", "role"),
        ("unknown", "door rules", "no_token"),
        ("unknown", "door rules", "not_a_token"),
        ("viewer-ann", "door incidents", "role"),
    ]
    assert {each[3] for each in told if each[1] == "door rules"} == {"'GET /v1/rules'"}
    assert {row["actor_kind"] for row in denied(house)} == {"person"}
    assert {row["details"]["address"] for row in denied(house)} == {"127.0.0.1"}


def test_knocking_often_makes_one_event_a_minute_and_exact_counts(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    began = counted(client, tokens)
    for _ in range(50):
        client.get(f"/v1/fixes/{new_id()}")
    assert len(denied(house)) <= 2, "a minute may have ended meanwhile"
    assert counted(client, tokens) == began + 50
    house.later(timedelta(minutes=1))
    client.get(f"/v1/fixes/{new_id()}")
    assert 2 <= len(denied(house)) <= 3


def counted(client: FlaskClient, tokens: Tokens) -> float:
    told = client.get("/metrics", headers=tokens["viewer"]).text
    name = 'responder_denied_total{door="fixes",reason="no_token"} '
    return sum(float(line.removeprefix(name)) for line in told.splitlines() if name in line)


@pytest.mark.parametrize(
    ("addresses", "events"),
    [
        ([f"10.0.0.{last}" for last in range(5)], 5),
        ([f"2001:db8::{last}" for last in range(5)], 1),
        ([f"2001:db8:0:{net}::1" for net in range(5)], 5),
        (["", "unix:"], 2),
    ],
)
def test_an_address_of_ipv6_is_one_of_its_network(
    house: House, addresses: list[str], events: int
) -> None:
    somebody = Actor(ActorKind.PERSON, "unknown")
    for address in addresses:
        record_refusal(house.services, "denied", somebody, "door x", address, "role")
    assert len(denied(house)) == events


def test_nobody_fills_the_audit_by_changing_addresses(house: House) -> None:
    house.sql(
        "INSERT INTO audit_event"
        " (filed_at, id, at, actor_kind, actor, what, subject, details, code_version)"
        " SELECT date_trunc('minute', now()) + ahead * interval '1 minute', gen_random_uuid(),"
        " now(), 'sender', 'unknown', 'refused', 'source unknown', '{}', 'x'"
        " FROM generate_series(0, 1) ahead, generate_series(1, %s)",
        MOST - 1,
    )
    somebody = Actor(ActorKind.PERSON, "unknown")
    for net in range(20):
        address = f"2001:db8:0:{net}::1"
        record_refusal(house.services, "denied", somebody, "door x", address, "no_token")
    record_refusal(house.services, "denied", somebody, "door x", "10.0.0.1", "revoked")
    told = [(row["details"]["address"], row["details"]["why"]) for row in denied(house)]
    first = ("2001:db8::/64", "no_token")
    rest = {(OTHERS, "no_token"), (OTHERS, "revoked")}
    assert {first, *rest} <= set(told), "each reason is still told"
    assert len(told) <= 5, "a minute may have ended meanwhile"


@pytest.mark.parametrize(("proxies", "told"), [(0, "127.0.0.1"), (1, "10.0.0.3"), (2, "10.0.0.2")])
def test_the_address_is_that_before_the_proxies(house: House, proxies: int, told: str) -> None:
    house.with_settings(proxies=proxies)
    headers = {"X-Forwarded-For": "6.6.6.6, 10.0.0.2, 10.0.0.3"}
    create_app(house.services).test_client().get("/v1/rules", headers=headers)
    assert [row["details"]["address"] for row in denied(house)] == [told]


def test_a_token_that_has_expired_says_so(client: FlaskClient, house: House) -> None:
    keys = TokenKeys(house.services.settings.token_keys)
    issue: Callable[..., str] = keys.issue
    past = datetime.now(UTC) - timedelta(hours=2)
    text = issue("ann", "admin", past, timedelta(hours=1), new_id())
    answer = client.get("/v1/rules", headers={"Authorization": f"Bearer {text}"})
    assert (answer.status_code, "expired" in answer.get_json()["detail"]) == (401, True)
    assert [row["details"]["why"] for row in denied(house)] == ["expired"]
    assert text not in str(denied(house))


def test_a_denial_that_cannot_be_recorded_is_a_denial(
    client: FlaskClient, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    house.services.store.close()
    assert client.get("/v1/rules").status_code == 401
