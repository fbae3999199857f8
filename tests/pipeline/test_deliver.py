"""When a receiver does not take a page: its fallback, its circuit, the last resort, dead letters."""

from datetime import timedelta
from typing import Any

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.settings import Receiver, Route
from responder.pipeline.deliver import CIRCUIT_FAILURES, CIRCUIT_OPEN, deliver
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
CIRCUIT_IS_OPEN = "its circuit is open"


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


def circuit(house: House, name: str = "pager") -> dict[str, Any]:
    (row,) = house.sql("SELECT * FROM receiver WHERE name = %s", name)
    return row


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


# The circuit


def test_five_failures_in_a_row_open_the_circuit_and_one_success_closes_it(house: House) -> None:
    house.with_settings(receivers={"hook": Receiver("hook", "webhook", per_minute=100)})
    house.hook.fails = FLAKY
    for number in range(CIRCUIT_FAILURES + 3):
        paged(house, f"Odd{number}")
    while deliver(house.services, page=False):
        pass
    opened = circuit(house, "hook")
    assert opened["failures"] >= CIRCUIT_FAILURES
    assert opened["open_until"] is not None

    house.later(timedelta(seconds=10))
    assert deliver(house.services, page=False) == 0, "it is left alone"
    house.later(CIRCUIT_OPEN)
    assert deliver(house.services, page=False) == 1, "tried with one message"
    assert deliver(house.services, page=False) == 0, "and left alone again"
    house.hook.fails = None
    house.later(CIRCUIT_OPEN + SECOND)
    assert deliver(house.services, page=False) == 1
    assert (circuit(house, "hook")["failures"], circuit(house, "hook")["open_until"]) == (0, None)
    house.later(timedelta(minutes=2))
    house.send()
    assert len(house.hook.got) == CIRCUIT_FAILURES + 3


def test_behind_an_open_circuit_a_page_goes_to_the_fallback_at_once(house: House) -> None:
    with_fallback(house)
    house.pager.fails = FLAKY
    for number in range(CIRCUIT_FAILURES):
        paged(house, f"Odd{number}")
        deliver(house.services, page=True)
    assert circuit(house)["open_until"] is not None
    failed = circuit(house)["failed"]
    before = len(house.hook.got)
    paged(house, "Last")
    deliver(house.services, page=True)
    assert [message.document["incident"]["title"] for message in house.hook.got[before:]] == [
        "Last in the shop"
    ]
    assert fell_back(house)[-1] == ("pager", "hook", CIRCUIT_IS_OPEN)
    (waits,) = house.sql(
        "SELECT n.* FROM notification n JOIN incident i ON i.id = n.incident_id"
        " WHERE n.receiver = 'pager' AND i.title LIKE 'Last%%'"
    )
    assert (waits["status"], waits["attempts"]) == ("due", 0)

    house.pager.fails = None
    house.later(timedelta(seconds=61))
    house.send()
    assert circuit(house)["failures"] == 0
    assert circuit(house)["failed"] >= failed
    assert {message.document["incident"]["title"] for message in house.pager.got} == {
        message.document["incident"]["title"] for message in house.hook.got
    }, "who could not be reached hears it too"
    assert pages(house) == {"pager": "sent", "hook": "sent"}


def test_a_page_without_a_fallback_is_tried_though_the_circuit_is_open(house: House) -> None:
    house.with_settings(routes=(Route(("pager",), page=True),))
    paged(house)
    house.pager.fails = FLAKY
    for _ in range(CIRCUIT_FAILURES):
        house.later(timedelta(seconds=31))
        deliver(house.services, page=True)
    assert circuit(house)["open_until"] is not None
    house.pager.fails = None
    paged(house, "Another")
    deliver(house.services, page=True)
    assert "Another in the shop" in [
        message.document["incident"]["title"] for message in house.pager.got
    ]


def test_a_refusal_for_good_is_the_messages_fault_and_opens_no_circuit(house: House) -> None:
    house.pager.fails = GONE
    for number in range(CIRCUIT_FAILURES + 1):
        paged(house, f"Odd{number}")
        deliver(house.services, page=True)
    assert house.sql("SELECT FROM receiver WHERE failures > 0") == []


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
