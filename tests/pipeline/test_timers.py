"""Timers are rows: one that fails holds up nobody, and one that was taken back is silent."""

import time
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.incident import Stage
from responder.pipeline import walk
from responder.pipeline.pages import Watch, watches
from responder.pipeline.people import close
from responder.pipeline.timers import LEASE, fire_timers
from tests.house import House, alert
from tests.walks import fixes, meanwhile, refusing, timers, until, walk_to

PERSON = Actor(ActorKind.PERSON, "ann")


def proposed(house: House, *names: str) -> None:
    """Incidents that nobody takes, and whose time is over."""
    house.post(*(alert(name, severity="warning") for name in names))
    house.settle()
    house.later(timedelta(hours=1, seconds=1))


def paged(house: House) -> set[str]:
    rows = house.sql(
        "SELECT i.title FROM incident i JOIN notification n ON n.incident_id = i.id AND n.page"
    )
    return {row["title"].partition(" ")[0] for row in rows}


def test_a_timer_whose_effect_fails_holds_up_no_other(house: House) -> None:
    proposed(house, "Ant", "Bee", "Cow")
    house.sql("UPDATE timer SET due_at = now() WHERE what = 'escalate'")
    watch = Watch(house.services, fire_timers, every=0.01)
    house.sql("UPDATE incident SET key = 'ant' WHERE title LIKE 'Ant%'")
    with refusing(house, "notification", "NEW.page AND NEW.key = 'ant'"):
        watch.start()
        until(lambda: paged(house) == {"Bee", "Cow"})
    house.later(LEASE)
    until(lambda: paged(house) == {"Ant", "Bee", "Cow"})
    watch.stop()
    assert "escalate" not in timers(house)


@pytest.mark.parametrize(
    ("change", "left"),
    [
        pytest.param("DELETE FROM timer", [], id="dropped"),
        pytest.param(
            "UPDATE timer SET due_at = due_at + interval '2 hours'", ["escalate"], id="set anew"
        ),
    ],
)
def test_a_timer_that_is_taken_back_in_the_last_moment_is_silent(
    house: House, change: str, left: list[str]
) -> None:
    """A walk that holds the incident drops the timer while somebody has it in hand already."""
    proposed(house, "Ant")
    house.sql("DELETE FROM timer WHERE what <> 'escalate'")
    (before,) = house.sql("SELECT due_at FROM timer")
    with psycopg.connect(house.services.store.url) as other:
        other.execute("SET search_path = responder")
        other.execute("SELECT FROM incident FOR UPDATE")
        with meanwhile(lambda: fire_timers(house.services)):
            until(lambda: house.sql("SELECT due_at FROM timer") != [before])
            other.execute(change)
            other.commit()
    assert paged(house) == set()
    assert timers(house) == left


def test_what_a_person_closed_during_verification_is_taken_up_when_it_still_fires(
    start: Callable[..., House],
) -> None:
    house = start()
    incident = walk_to(house, Stage.VERIFY)
    close(house.services, incident.id, PERSON)
    house.post(alert("Thing"))
    house.run_triage()
    assert house.outcomes()[-1] == "suppressed"
    walk(house.services, incident.id, 0)
    assert [fix["verification"] for fix in fixes(house)] == ["held"]
    assert (house.incident().stage, timers(house)) == (Stage.DONE, ["reopen"])
    house.later(timedelta(minutes=31))
    house.settle()
    assert house.incident().status == "open"
    assert house.incident().stage == Stage.WATCH
    assert ("status", "open") in house.trail()


def test_timers_and_pages_have_watches_of_their_own(house: House) -> None:
    """A page does not wait for a timer that waits for a lock."""
    proposed(house, "Ant")
    house.post(alert("DatabaseDown", severity="critical"))
    house.later(timedelta(seconds=1))
    with psycopg.connect(house.services.store.url) as other:
        other.execute("SELECT FROM responder.incident FOR UPDATE")
        running = watches(house.services)
        for watch in running:
            watch.start()
        began = time.monotonic()
        until(lambda: house.pager.got)
        assert time.monotonic() - began < 3
        assert house.pager.got[0].document["incident"]["rule"] == "database_down"
    for watch in running:
        watch.stop()
