"""When a receiver does not take a page: fallback, last resort, dead letters."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.settings import Receiver, Route
from responder.pipeline.deliver import deliver
from responder.pipeline.document import document
from responder.pipeline.keep import Keep
from responder.pipeline.pages import deliver_pages
from responder.pipeline.people import close
from responder.pipeline.redrive import redrive_notifications
from responder.pipeline.triage import triage
from responder.receivers import Undelivered
from tests.house import House, alert
from tests.outside import Outside

PERSON = Actor(ActorKind.PERSON, "ann")
SECOND = timedelta(seconds=1)
FLAKY = Undelivered("it does not answer", permanent=False, maybe=True)
GONE = Undelivered("no such key", permanent=True)


def paged(house: House, name: str = "Odd") -> None:
    """One P0 more whose page is due."""
    triage(house.services, house.post(alert(name, severity="critical")).delivery)
    house.sql("DELETE FROM procrastinate_jobs")
    house.later(SECOND)


def with_fallback(house: House, **changes: Any) -> None:
    """`hook` is woken when `pager` does not take a page."""
    receivers = {
        "pager": Receiver("pager", "pagerduty", per_minute=100, fallback="hook"),
        "hook": Receiver("hook", "webhook", per_minute=100),
    }
    house.with_settings(receivers=receivers, routes=(Route(("pager",), page=True),), **changes)


def pages(house: House) -> dict[str, str]:
    """Status of the pages by receiver, of the newest where there are several."""
    rows = house.sql("SELECT receiver, status FROM notification WHERE page ORDER BY created_at, id")
    return {row["receiver"]: row["status"] for row in rows}


def fell_back(house: House) -> list[tuple[str, str, str]]:
    """The audit events, as (from, to, why)."""
    rows = house.sql("SELECT details FROM audit_event WHERE after = 'fallback' ORDER BY id")
    return [(each["receiver"], each["to"], each["error"]) for each in _details(rows)]


def _details(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row["details"] for row in rows]


def test_all_that_is_due_leaves_in_one_look(house: House) -> None:
    """However much it is: who waits for the next look waits for everybody before."""
    with_fallback(house)
    for number in range(20):
        paged(house, f"Odd{number}")
    deliver_pages(house.services)
    assert len(house.pager.got) == 20
    rows = house.sql("SELECT status FROM notification WHERE page")
    assert [row["status"] for row in rows] == ["sent"] * 20
    sent = house.sql("SELECT FROM audit_event WHERE what = 'notification' AND after = 'sent'")
    assert len(sent) == 20


# The fallback


@pytest.mark.parametrize("fault", ["hang", "503", "429", "reset", "redirect", "drip", "lost"])
@pytest.mark.parametrize("second", ["webhook", "slack", "email", "pagerduty"])
def test_a_page_reaches_the_fallback_in_the_same_round(
    fault: str, second: str, outside: Outside
) -> None:
    house = outside.house
    outside.use({"pager": "pagerduty", "second": second}, pager={"fallback": "second"})
    house.with_settings(routes=(Route(("pager",), page=True),))
    paged(house)
    outside.stand_in.fail("/v2/enqueue", fault)
    deliver(house.services, page=True)
    kept = outside.got(second)
    arrived = fault in ("lost", "drip")  # and so the first one has it too
    assert len(kept) == 1 + (arrived and second == "pagerduty")
    assert pages(house) == {"pager": "dead" if fault == "redirect" else "due", "second": "sent"}
    ((first, to, _),) = fell_back(house)
    assert (first, to) == ("pager", "second")


def test_both_hear_of_the_end(house: House) -> None:
    with_fallback(house)
    paged(house)
    house.pager.fails = FLAKY
    deliver(house.services, page=True)
    house.pager.fails = None
    house.later(SECOND)
    deliver(house.services, page=True)
    close(house.services, house.incident().id, PERSON)
    house.send()
    assert house.pager.happenings() == ["opened", "resolved"]
    assert house.hook.happenings() == ["opened", "resolved"]
    (again, _) = house.pager.got
    assert again.repeated, "nobody can say whether the first attempt arrived"
    assert not house.hook.got[0].repeated


def test_it_falls_back_once_and_goes_on_trying(house: House) -> None:
    with_fallback(house)
    paged(house)
    house.pager.fails = FLAKY
    for _ in range(8):
        house.later(timedelta(seconds=31))
        deliver(house.services, page=True)
    assert house.hook.happenings() == ["opened"]
    assert pages(house) == {"pager": "due", "hook": "sent"}
    assert fell_back(house) == [("pager", "hook", "it does not answer")]
    house.pager.fails = None
    house.later(timedelta(seconds=31))
    deliver(house.services, page=True)
    assert pages(house)["pager"] == "sent"


def test_a_fallback_that_fails_is_tried_again_and_falls_back_no_further(house: House) -> None:
    with_fallback(house)
    paged(house)
    house.pager.fails = house.hook.fails = FLAKY
    deliver(house.services, page=True)
    assert pages(house) == {"pager": "due", "hook": "due"}
    house.pager.fails = house.hook.fails = None
    house.later(SECOND)
    deliver(house.services, page=True)
    assert pages(house) == {"pager": "sent", "hook": "sent"}


def test_two_that_fall_back_on_each_other_end(house: House) -> None:
    receivers = {
        "pager": Receiver("pager", "pagerduty", fallback="hook"),
        "hook": Receiver("hook", "webhook", fallback="pager"),
    }
    house.with_settings(receivers=receivers, routes=(Route(("pager",), page=True),))
    paged(house)
    house.pager.fails = house.hook.fails = GONE
    deliver(house.services, page=True)
    rows = house.sql("SELECT receiver, status FROM notification ORDER BY created_at, id")
    assert [row["receiver"] for row in rows] == ["pager", "hook"], "it does not go round for ever"
    assert {row["status"] for row in rows} == {"dead"}


def test_an_end_that_is_not_taken_wakes_nobody_else(house: House) -> None:
    with_fallback(house)
    paged(house)
    deliver(house.services, page=True)
    close(house.services, house.incident().id, PERSON)
    house.pager.fails = FLAKY
    deliver(house.services, page=True)
    assert house.hook.got == []
    assert fell_back(house) == []


@pytest.mark.parametrize(
    ("error", "woken"), [(GONE, ["opened"]), (FLAKY, [])], ids=["for good", "for now"]
)
def test_without_a_fallback_the_last_resort_hears_what_nobody_will_take(
    error: Undelivered, woken: list[str], house: House
) -> None:
    house.with_settings(routes=(Route(("pager",), page=True),), last_resort=("hook", "pager"))
    paged(house)
    house.pager.fails = error
    deliver(house.services, page=True)
    assert house.hook.happenings() == woken
    assert len(fell_back(house)) == len(woken)


# Dead letters


def test_one_dead_letter_or_all_of_a_receiver_are_due_again(house: House) -> None:
    house.pager.fails = house.hook.fails = GONE
    for number in range(3):
        paged(house, f"Odd{number}")
    house.send()
    dead = house.sql("SELECT id, receiver FROM notification WHERE status = 'dead'")
    assert len(dead) == 6
    one = next(row["id"] for row in dead if row["receiver"] == "pager")
    house.pager.fails = house.hook.fails = None
    assert redrive_notifications(house.services, PERSON, one, None) == 1
    house.send()
    assert (len(house.pager.got), len(house.hook.got)) == (1, 0)
    assert house.pager.got[0].id == str(one)
    assert redrive_notifications(house.services, PERSON, None, "hook") == 3
    house.send()
    assert (len(house.pager.got), len(house.hook.got)) == (1, 3)
    assert redrive_notifications(house.services, PERSON, None, "nobody") == 0
    events = house.sql("SELECT actor FROM audit_event WHERE before = 'dead' AND after = 'due'")
    assert [event["actor"] for event in events] == ["ann"] * 4


def test_what_flaps_all_day_has_a_document_that_does_not_grow(house: House) -> None:
    """Each message carries it, and is kept with it: else the thousandth tells of all the others."""
    paged(house)
    house.sql(
        "INSERT INTO notification (id, incident_id, key, receiver, happening, page, status,"
        " document, created_at, due_at, attempts)"
        " SELECT gen_random_uuid(), incident_id, key, receiver, 'updated', false, 'sent', document,"
        " created_at, due_at, n FROM notification, generate_series(1, 60) n WHERE page"
    )
    incident = house.incident().id
    with house.services.store.transaction() as tx:
        told = document(house.services, tx, incident)
    assert told is not None
    latest = house.sql(
        "SELECT attempts FROM notification WHERE incident_id = %s ORDER BY id DESC LIMIT 50",
        incident,
    )
    assert [each["attempts"] for each in told["notifications"]] == [
        each["attempts"] for each in reversed(latest)
    ]


# A host whose own way out is broken


def test_who_did_not_reach_a_receiver_leaves_it_to_others_for_a_moment(house: House) -> None:
    """Its first attempt took a second of the three; a second one by the same host would be late."""
    cut_off, pager = replace(house.services, keep=Keep()), house.pager
    elsewhere = replace(house.services, keep=Keep())
    triage(house.services, house.post(alert("Odd", severity="critical")).delivery)
    house.later(SECOND)
    pager.fails = FLAKY
    assert deliver(cut_off, page=True) == 1
    house.later(timedelta(seconds=0.6))
    pager.fails = None
    assert deliver(cut_off, page=True) == 0
    assert deliver(elsewhere, page=True) == 1
    assert pages(house) == {"pager": "sent"}


def test_alone_it_tries_again_itself(house: House) -> None:
    triage(house.services, house.post(alert("Odd", severity="critical")).delivery)
    house.later(SECOND)
    house.pager.fails = FLAKY
    assert deliver(house.services, page=True) == 1
    house.later(SECOND)
    house.pager.fails = None
    assert deliver(house.services, page=True) == 1
    assert house.services.keep.unreached == set()
    assert pages(house) == {"pager": "sent"}
