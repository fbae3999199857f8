"""Every receiver on its bad days: nothing is lost, and what may be doubled says so."""

from datetime import timedelta
from typing import Any

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.settings import Route
from responder.pipeline.deliver import deliver
from responder.pipeline.people import close
from responder.pipeline.redrive import redrive_notifications
from responder.pipeline.triage import triage
from tests.house import alert
from tests.outside import PATHS, Outside, is_marked, key_of

PERSON = Actor(ActorKind.PERSON, "ann")
HTTP = ("pagerduty", "webhook", "slack", "pagerduty_notes")
#: Those that know a repeated message by its key.
WITH_KEY = ("pagerduty", "webhook")


def due_page(outside: Outside, kind: str) -> dict[str, Any]:
    """A page that a receiver of this type is about to get; a note is about the end."""
    house = outside.house
    names = ("first", "pager") if kind == "pagerduty_notes" else ("pager",)
    types = {"first": "pagerduty", "pager": kind}
    outside.use({name: types[name] for name in names})
    house.with_settings(routes=(Route(names, page=True),))
    triage(house.services, house.post(alert("Odd", severity="critical")).delivery)
    house.later(timedelta(seconds=1))
    if kind == "pagerduty_notes":
        while deliver(house.services, page=True):
            pass
        close(house.services, house.incident().id, PERSON)
    return row(outside)


def row(outside: Outside) -> dict[str, Any]:
    """The newest page to the receiver in question."""
    return outside.house.sql(
        "SELECT * FROM notification WHERE receiver = 'pager' ORDER BY created_at DESC, id DESC"
    )[0]


def try_again(outside: Outside) -> None:
    """Until nothing of this incident waits for anybody."""
    for _ in range(5):
        outside.house.later(timedelta(seconds=31))
        while deliver(outside.house.services, page=True):
            pass


def trail(outside: Outside) -> list[str]:
    events = outside.house.sql(
        "SELECT after FROM audit_event WHERE what = 'notification'"
        " AND details ->> 'receiver' = 'pager' AND details ->> 'happening' = %s ORDER BY id",
        row(outside)["happening"],
    )
    return [event["after"] for event in events]


CASES = [
    *((kind, fault) for kind in HTTP for fault in ("429", "503", "reset", "hang", "lost", "drip")),
    *(("email", fault) for fault in ("450", "reset", "hang", "lost", "drip")),
]
#: What leaves nobody in doubt whether the message has arrived.
CERTAIN = {("email", "450"), ("email", "reset"), ("email", "hang"), ("email", "drip")}
ARRIVES = {(kind, fault) for kind in PATHS for fault in ("lost", "drip")} - CERTAIN


@pytest.mark.parametrize(("kind", "fault"), CASES)
def test_a_bad_day(kind: str, fault: str, outside: Outside) -> None:
    """Tried again; doubled only where it had arrived, and then keyed or marked."""
    due_page(outside, kind)
    outside.stand_in.fail(PATHS[kind][0], fault)
    deliver(outside.house.services, page=True)
    failed = row(outside)
    doubtful = fault != "429" and (kind, fault) not in CERTAIN
    assert (failed["status"], failed["attempts"], failed["repeated"]) == ("due", 1, doubtful)
    before = len(outside.got(kind))
    assert before == ((kind, fault) in ARRIVES)
    if fault == "429":
        asked_for = failed["due_at"] - outside.house.sql("SELECT now() AS at")[0]["at"]
        assert asked_for <= timedelta(seconds=1) + outside.house.services.store.offset

    try_again(outside)
    assert row(outside)["status"] == "sent"
    got = outside.got(kind)
    assert len(got) == before + 1
    if kind in WITH_KEY:
        assert len({key_of(kind, message) for message in got}) == 1
    else:
        assert [is_marked(kind, message) for message in got] == [False] * before + [doubtful]
    assert trail(outside) == ["due", "sent"]
    assert not outside.stand_in.received()["refused"]


REFUSALS = [*((kind, "redirect") for kind in HTTP), ("slack", "200-error"), ("email", "550")]


@pytest.mark.parametrize(("kind", "fault"), REFUSALS)
def test_what_is_refused_for_good_is_dead_until_a_person_tries_it_again(
    kind: str, fault: str, outside: Outside
) -> None:
    house = outside.house
    due_page(outside, kind)
    outside.stand_in.fail(PATHS[kind][0], fault)
    deliver(house.services, page=True)
    assert row(outside)["status"] == "dead"
    try_again(outside)
    assert (row(outside)["attempts"], outside.got(kind)) == (1, [])
    assert not outside.stand_in.received()["redirected"]

    assert redrive_notifications(house.services, PERSON, None, "pager") == 1
    try_again(outside)
    (message,) = outside.got(kind)
    assert not is_marked(kind, message)
    assert (row(outside)["status"], row(outside)["error"]) == ("sent", "")
    assert trail(outside) == ["dead", "due", "sent"]
    assert redrive_notifications(house.services, PERSON, None, "pager") == 0
