"""A delivery of thousands of alerts: every one gets its outcome, in portions, whatever happens."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from responder.pipeline.accept import MAX_ALERTS, Accepted, accept
from responder.pipeline.triage import PORTION, give_up_triage, triage
from responder.sources import Request
from responder.store import Refused
from tests.house import BEARER, House, alert

MANY = 2 * PORTION + 7


def many(count: int = MANY) -> list[dict[str, Any]]:
    return [alert("Noise", severity="warning", number=str(number)) for number in range(count)]


def posted(house: House, payload: Any) -> Accepted:
    body = json.dumps(payload, separators=(",", ":")).encode()
    headers = {"authorization": f"Bearer {BEARER}"}
    return accept(house.services, "prometheus", Request(headers, body, datetime.now(UTC)))


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    return make_house([])


def told(house: House) -> list[str]:
    """Fingerprints of the alerts that have an outcome."""
    return [row["fingerprint"] for row in house.sql("SELECT fingerprint FROM alert")]


def test_a_large_group_is_triaged_whole(house: House) -> None:
    posted(house, {"alerts": [*many(), 7, *many()]})
    house.run_triage()
    assert Counter(house.outcomes()) == {"opened": MANY, "quarantined": 1, "joined": MANY}
    assert len(house.incidents()) == MANY
    assert house.gap() == (0, 0)
    (row,) = house.sql("SELECT outcome, triaged_at FROM delivery")
    assert (row["outcome"], bool(row["triaged_at"])) == ("accepted", True)


def test_what_wakes_people_is_triaged_first(house: House) -> None:
    grave = [alert("Grave", severity="critical", number=str(number)) for number in range(3)]
    delivery = house.post(*many(), *grave[:2], *many(), grave[2]).delivery
    assert triage(house.services, delivery, hurry=True)
    assert len(told(house)) == PORTION
    rows = house.sql("SELECT labels ->> 'number' AS number FROM incident WHERE severity = 'P0'")
    assert sorted(row["number"] for row in rows) == ["0", "1", "2"]


def test_a_crash_between_two_portions_doubles_and_loses_nothing(house: House) -> None:
    delivery = house.post(*many()).delivery
    assert triage(house.services, delivery, hurry=True)
    assert len(told(house)) == PORTION
    ledger = house.sql("SELECT FROM delivery WHERE triaged_at IS NULL")
    assert len(ledger) == 1
    assert house.gap() == (0, 0)
    assert triage(house.services, delivery)
    assert len(set(told(house))) == len(told(house)) == MANY
    assert triage(house.services, delivery) is False


def test_giving_up_in_the_middle_quarantines_the_rest(house: House) -> None:
    delivery = house.post(*many()).delivery
    triage(house.services, delivery, hurry=True)
    house.sql(
        "ALTER TABLE incident ADD CONSTRAINT broken CHECK (labels ->> 'number' <> '150') NOT VALID"
    )
    with pytest.raises(Refused):
        triage(house.services, delivery)
    give_up_triage(house.services, delivery, "it failed three times")
    assert Counter(house.outcomes()) == {"opened": PORTION, "quarantined": MANY - PORTION}
    (row,) = house.sql("SELECT outcome, note FROM delivery")
    assert row == {"outcome": "quarantined", "note": "it failed three times"}
    assert house.gap() == (0, 0)


def test_more_than_a_batch_may_hold_is_quarantined(house: House) -> None:
    accepted = posted(house, {"alerts": [0] * (MAX_ALERTS + 1)})
    assert (accepted.outcome, accepted.quarantined) == ("quarantined", 1)
    accepted = posted(house, {"alerts": [0] * MAX_ALERTS})
    assert (accepted.outcome, accepted.quarantined) == ("accepted", MAX_ALERTS)
    house.run_triage()
    assert house.outcomes() == ["quarantined"] * MAX_ALERTS
    assert house.gap() == (0, 0)


@pytest.mark.parametrize("common", ["commonLabels", "groupLabels", "commonAnnotations"])
def test_what_a_group_says_for_all_is_not_multiplied_without_end(house: House, common: str) -> None:
    """Less than a megabyte would become gigabytes."""
    alerts = [{"labels": {"alertname": str(number)}} for number in range(5_000)]
    said = {f"a{number}": "x" * 9_000 for number in range(80)}
    accepted = posted(house, {"alerts": alerts, common: said})
    assert accepted.outcome == "quarantined"
    (row,) = house.sql("SELECT note FROM delivery")
    assert "too much" in row["note"]
    ordinary = posted(house, {"alerts": alerts, common: {"env": "production", "team": "shop"}})
    assert (ordinary.outcome, ordinary.alerts) == ("accepted", 5_000)
