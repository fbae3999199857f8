"""Commit, then acknowledge: what is kept of a request, and what is not."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from responder.domain.alert import Malformed
from responder.pipeline.accept import PAGE_PATIENCE, UnknownSource, accept, parse_only, refuse
from responder.sources import Request, Unauthenticated, Unreadable
from responder.store import Refused
from tests.house import BEARER, House, alert

AUTHORIZED = {"authorization": f"Bearer {BEARER}", "content-type": "application/json"}


def request(payload: Any, **headers: str) -> Request:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Request({**AUTHORIZED, **headers}, body, datetime.now(UTC))


def deliveries(house: House) -> list[dict[str, Any]]:
    return house.sql("SELECT * FROM delivery ORDER BY id")


def events(house: House) -> list[dict[str, Any]]:
    return house.sql("SELECT * FROM audit_event ORDER BY at, id")


def align(house: House) -> None:
    """The minute has just begun, so that a test that counts minutes does not cross one."""
    with house.services.store.transaction() as tx:
        house.later(timedelta(seconds=60 - tx.now.second))


@pytest.mark.parametrize(
    "payload, outcome, told, kept, waits",
    [
        ({"alerts": [alert("A"), alert("B")]}, "accepted", (2, 0), 2, True),
        ({"alerts": [alert("A"), {"status": "firing"}]}, "accepted", (1, 1), 2, True),
        ({"alerts": ["nonsense"]}, "accepted", (0, 1), 1, True),
        ({"alerts": []}, "accepted", (0, 0), 0, False),
        ({"hello": "world"}, "quarantined", (0, 1), 0, False),
        ([1, 2], "quarantined", (0, 1), 0, False),
    ],
)
def test_what_becomes_of_a_delivery(
    house: House, payload: Any, outcome: str, told: tuple[int, int], kept: int, waits: bool
) -> None:
    sent = request(payload, **{"user-agent": "test/1", "x-secret": "hush"})
    accepted = accept(house.services, "prometheus", sent)

    (row,) = deliveries(house)
    assert (accepted.delivery, accepted.outcome) == (row["id"], outcome)
    assert (accepted.alerts, accepted.quarantined) == told
    assert row["outcome"] == outcome
    assert row["alert_count"] == len(row["notices"]) == kept
    assert house.body(row["id"]) == sent.body
    assert (row["triaged_at"] is None) == waits
    assert house.jobs() == [], "the row itself waits"
    assert bool(row["note"]) == (outcome == "quarantined")
    assert row["headers"] == {"content-type": "application/json", "user-agent": "test/1"}
    assert house.gap() == (0, 0)


def test_no_credential_is_kept(house: House) -> None:
    house.post(alert("A"))
    (row,) = deliveries(house)
    assert BEARER not in str(row)
    assert BEARER.encode() not in (house.body(row["id"]) or b"")


def test_the_same_body_twice_is_two_deliveries(house: House) -> None:
    """A monitor without timestamps says the same bytes for fire, resolve, fire."""
    said = request({"alerts": [alert("A")]})
    first = accept(house.services, "prometheus", said)
    second = accept(house.services, "prometheus", said)
    assert first.delivery != second.delivery
    assert [row["outcome"] for row in deliveries(house)] == ["accepted", "accepted"]


@pytest.mark.parametrize(
    "name, status, severity, pages",
    [
        ("ShopifyQueueStuck", "firing", "warning", False),
        ("ShopifyQueueStuck", "firing", "critical", True),
        ("ShopifyQueueStuck", "firing", "error", True),
        ("ShopifyQueueStuck", "resolved", "critical", False),
        ("ShopifyQueueStuck", "firing", "quite bad", True),
        ("DatabaseDown", "firing", "info", True),
        ("DatabaseDown", "resolved", "critical", False),
        ("NobodyAnswersThis", "firing", "critical", True),
        ("NobodyAnswersThis", "firing", "warning", False),
        ("NobodyAnswersThis", "firing", "", False),
    ],
)
def test_a_page_is_due_one_second_after_acceptance_for_what_may_be_p0_or_p1(
    house: House, name: str, status: str, severity: str, pages: bool
) -> None:
    house.post(alert("Harmless", severity="info"), alert(name, status, severity=severity))
    (row,) = deliveries(house)
    if pages:
        assert row["page_due_at"] - row["received_at"] == timedelta(seconds=1)
    else:
        assert row["page_due_at"] is None


@pytest.mark.parametrize(
    "severities, priority",
    [
        (["critical"], 0),
        (["info", "error", "warning"], 1),
        (["warning"], 2),
        (["info"], 3),
        (["info", "nobody knows"], 1),
    ],
)
def test_a_delivery_waits_for_its_turn_by_its_gravest_alert(
    house: House, severities: list[str], priority: int
) -> None:
    """It is one row, whatever it brings: no job stands beside it."""
    house.post(*(alert(f"A{n}", severity=each) for n, each in enumerate(severities)))
    (row,) = house.sql("SELECT priority, failures, triaged_at FROM delivery")
    assert row == {"priority": priority, "failures": 0, "triaged_at": None}
    assert house.jobs() == []


def test_a_transaction_that_fails_keeps_nothing(house: House) -> None:
    house.sql("ALTER TABLE raw_body ADD CONSTRAINT broken CHECK (false) NOT VALID")
    with pytest.raises(Refused):
        house.post(alert("A"))
    assert deliveries(house) == []
    assert events(house) == []


@pytest.mark.parametrize(
    "source, headers, body, error",
    [
        ("nobody", AUTHORIZED, b"{}", UnknownSource),
        ("prometheus", {}, b"{}", Unauthenticated),
        ("prometheus", {"authorization": "Bearer wrong"}, b"{}", Unauthenticated),
        ("prometheus", {"authorization": "Bearer wrong"}, b"not json", Unauthenticated),
        ("prometheus", AUTHORIZED, b"not json", Unreadable),
        ("prometheus", AUTHORIZED, b"\xff", Unreadable),
    ],
)
def test_what_is_refused_leaves_nothing_behind(
    house: House, source: str, headers: dict[str, str], body: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        accept(house.services, source, Request(headers, body, datetime.now(UTC)))
    assert deliveries(house) == []
    assert house.jobs() == []


def test_refusals_are_one_event_per_source_address_reason_and_minute(house: House) -> None:
    align(house)
    for _ in range(3):
        refuse(house.services, "prometheus", "10.0.0.1", "Unauthenticated")
    assert len(events(house)) == 1
    refuse(house.services, "prometheus", "10.0.0.2", "Unauthenticated")
    refuse(house.services, "prometheus", "10.0.0.1", "Unreadable")
    for stranger in ("other", "another", "x" * 5000, "a\0b", "\ud800"):
        refuse(house.services, stranger, "10.0.0.1", "UnknownSource")
    assert len(events(house)) == 4
    house.later(timedelta(minutes=1))
    refuse(house.services, "prometheus", "10.0.0.1", "Unauthenticated")

    rows = events(house)
    assert len(rows) == 5
    assert {row["what"] for row in rows} == {"refused"}
    assert {row["actor_kind"] for row in rows} == {"sender"}
    assert [row["actor"] for row in rows].count("unknown") == 1
    told = {"address": "10.0.0.1", "why": "Unauthenticated", "asked_for": "'prometheus'"}
    assert rows[0]["details"] == told


def test_parse_only_keeps_nothing(house: House) -> None:
    body = json.dumps({"alerts": [alert("A"), 7]}).encode()
    known, broken = parse_only(house.services, "prometheus", body, datetime.now(UTC))
    assert known.name == "A"  # type: ignore[union-attr]
    assert isinstance(broken, Malformed)
    assert deliveries(house) == []
    with pytest.raises(UnknownSource):
        parse_only(house.services, "nobody", body, datetime.now(UTC))


def test_a_delivery_that_is_a_transaction_by_itself_stands_at_the_time_of_our_database(
    house: House,
) -> None:
    house.later(timedelta(hours=5))
    accept(house.services, "prometheus", request({"alerts": [alert("A", severity="critical")]}))

    (row,) = deliveries(house)
    with house.services.store.transaction() as tx:
        assert timedelta() <= tx.now - row["received_at"] < timedelta(minutes=1)
    assert row["page_due_at"] == row["received_at"] + PAGE_PATIENCE
    assert row["triaged_at"] is None
