"""Once more: a quarantined delivery after its parser learnt, and a try of a receiver."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.ids import new_id
from responder.domain.settings import Source
from responder.pipeline.accept import Accepted, accept
from responder.pipeline.redrive import NotRedriven, redrive_delivery, try_receiver
from responder.receivers import RECEIVERS, Undelivered
from responder.sources import Request
from tests.house import BEARER, House, alert
from tests.outside import PATHS, Outside

PERSON = Actor(ActorKind.PERSON, "ann")


def posted(house: House, body: Any, source: str = "prometheus") -> Accepted:
    headers = {"authorization": f"Bearer {BEARER}", "content-type": "application/json"}
    return accept(
        house.services, source, Request(headers, json.dumps(body).encode(), datetime.now(UTC))
    )


def learns(house: House, type: str) -> None:
    """The source is read by another parser from now on."""
    source = replace(house.services.settings.sources["prometheus"], type=type)
    house.with_settings(sources={"prometheus": source})


def alertmanager(*alerts: Any) -> dict[str, Any]:
    return {"version": "4", "groupKey": "{}", "status": "firing", "alerts": list(alerts)}


def refusal(house: House, delivery: Any) -> str:
    with pytest.raises(NotRedriven) as refused:
        redrive_delivery(house.services, delivery, PERSON)
    return str(refused.value)


def quarantined(house: House) -> Accepted:
    """Version 9 of a payload that nobody knows."""
    accepted = posted(house, {"version": "9", "status": "firing", "alerts": 7})
    assert accepted.outcome == "quarantined"
    return accepted


def misread(house: House) -> Accepted:
    """A good body, taken while its parser did not know what it knows now."""
    learns(house, "grafana")
    accepted = posted(house, {"version": "4", "alerts": 7})
    learns(house, "alertmanager")
    assert accepted.outcome == "quarantined"
    good = json.dumps(alertmanager(alert("Odd", severity="critical")))
    house.sql("TRUNCATE raw_body")  # as an earlier release kept it
    house.sql("UPDATE delivery SET body = convert_to(%s, 'UTF8')", good)
    return accepted


def test_what_is_still_not_understood_stays_as_it_is(house: House) -> None:
    accepted = quarantined(house)
    assert "still not understood" in refusal(house, accepted.delivery)
    assert house.sql("SELECT count(*) FROM delivery") == [{"count": 1}]
    assert house.incidents() == []


def test_what_is_understood_now_is_a_delivery_of_its_own(house: House) -> None:
    first = misread(house)
    second = redrive_delivery(house.services, first.delivery, PERSON)
    assert (second.outcome, second.alerts) == ("accepted", 1)
    assert second.delivery != first.delivery
    house.settle()
    assert house.incident().severity == "P0"
    assert house.pager.happenings() == ["opened"]
    old, new = house.sql("SELECT id, outcome, note FROM delivery ORDER BY id")
    assert (old["outcome"], old["note"]) == ("quarantined", f"redriven as {second.delivery}")
    assert (new["outcome"], house.body(new["id"])) == ("accepted", house.body(old["id"]))
    (event,) = house.sql("SELECT * FROM audit_event WHERE after = 'redriven'")
    assert (event["actor"], event["subject"]) == ("ann", f"delivery {first.delivery}")
    assert "redriven before" in refusal(house, first.delivery)
    assert house.gap() == (0, 0)


def test_of_a_batch_only_what_was_not_understood_is_taken(house: House) -> None:
    first = posted(house, alertmanager(alert("Good", severity="info"), {"labels": 7}))
    assert (first.alerts, first.quarantined) == (1, 1)
    house.settle()
    assert house.outcomes() == ["opened", "quarantined"]
    assert "nothing in it is understood" in refusal(house, first.delivery)
    mended = json.dumps(
        alertmanager(alert("Good", severity="info"), alert("Mended", severity="info"))
    )
    house.sql("TRUNCATE raw_body")  # as an earlier release kept it
    house.sql("UPDATE delivery SET body = convert_to(%s, 'UTF8')", mended)
    second = redrive_delivery(house.services, first.delivery, PERSON)
    assert second.alerts == 1
    house.settle()
    assert [incident.title for incident in house.incidents()] == [
        "Good in the shop",
        "Mended in the shop",
    ]
    assert house.gap() == (0, 0)


def test_what_was_understood_is_known_again_wherever_it_stands_now(house: House) -> None:
    """A delivery is kept with what wakes people first, not in the order of its payload."""
    grave, odd = alert("Grave", severity="critical"), alert("Odd", severity="info")
    first = posted(house, alertmanager({"labels": 7}, odd, grave))
    assert (first.alerts, first.quarantined) == (2, 1)
    house.settle()
    mended = json.dumps(alertmanager(alert("Mended", severity="info"), odd, grave))
    house.sql("TRUNCATE raw_body")  # as an earlier release kept it
    house.sql("UPDATE delivery SET body = convert_to(%s, 'UTF8')", mended)
    second = redrive_delivery(house.services, first.delivery, PERSON)
    assert second.alerts == 1
    house.settle()
    assert {incident.title.partition(" ")[0] for incident in house.incidents()} == {
        *("Grave", "Odd", "Mended"),
    }
    assert sorted(house.outcomes()) == ["opened", "opened", "opened", "quarantined"]
    assert house.gap() == (0, 0)


def test_what_is_not_quarantined_is_not_redriven(house: House) -> None:
    accepted = house.post(alert("Odd"))
    assert "there is no delivery of this id" in refusal(house, accepted.delivery)
    assert "there is no delivery of this id" in refusal(house, new_id())


def test_a_source_that_is_gone_is_said(house: House) -> None:
    accepted = quarantined(house)
    house.with_settings(sources={"other": Source("other", "alertmanager")})
    assert refusal(house, accepted.delivery) == "the source prometheus is not configured any more"


# A try of a receiver


@pytest.mark.parametrize("kind", [kind for kind in RECEIVERS if kind != "pagerduty_notes"])
def test_a_try_says_that_it_is_one_and_ends_itself(kind: str, outside: Outside) -> None:
    outside.use({"one": kind})
    try_receiver(outside.house.services, "one", PERSON)
    began, ended = outside.got(kind)
    assert "nothing is wrong" in str(began).replace("=20", " ")
    assert "ann" in str(began)
    if kind == "pagerduty":
        assert (began["event_action"], ended["event_action"]) == ("trigger", "resolve")
        assert began["dedup_key"] == ended["dedup_key"]
        assert began["payload"]["severity"] == "info"
    assert outside.house.sql("SELECT count(*) FROM notification") == [{"count": 0}]
    assert not outside.stand_in.received()["refused"]


def test_a_try_says_what_is_wrong(outside: Outside) -> None:
    outside.use({"one": "webhook"})
    outside.stand_in.fail(PATHS["webhook"][0], "503")
    with pytest.raises(Undelivered, match="answered 503"):
        try_receiver(outside.house.services, "one", PERSON)
