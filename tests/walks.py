"""Walks that are cut off where a test wants it, and what they leave in our database."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread
from typing import Any
from uuid import UUID

import psycopg
import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.incident import Incident, Stage
from responder.domain.settings import Item
from responder.pipeline import STAGES
from responder.pipeline.checklist import tick
from responder.pipeline.maintenance import Window, open_window
from responder.store.incidents import incident_from_row
from tests.house import House, alert

BAD = "SELECT id FROM thing WHERE state = 'bad' ORDER BY id"
#: A fix that takes so long that something can happen in the middle of it.
SLOWLY = "SELECT id FROM thing WHERE state = 'bad' AND (SELECT pg_sleep(1)) IS NOT NULL FOR UPDATE"


def walk_to(house: House, stage: Stage) -> Incident:
    """A new incident whose walk was cut off before this stage."""
    house.post(alert("Thing"))
    house.run_triage()
    house.sql("DELETE FROM procrastinate_jobs")
    with house.services.store.transaction() as tx:
        incident = incident_from_row(tx.one("take_walk", id=house.incident().id))
    while incident.stage != stage:
        incident = STAGES[incident.stage](incident, house.services)
    return incident


def fixes(house: House) -> list[dict[str, Any]]:
    return house.sql("SELECT * FROM fix ORDER BY started_at, id")


def on_fire(house: House) -> None:
    """A P1 is open on the same target."""
    house.sql(
        "INSERT INTO incident (id, key, title, source, target, parameters, labels, status, stage,"
        " severity, severity_unreadable, opened_at, seen_at) SELECT gen_random_uuid(), 'other',"
        " 'x', 'x', 'shop_eu', '{}', '{}', 'open', 'watch', 'P1', false, now(), now()"
    )


def reasons(house: House) -> list[str]:
    """Of all decisions, in order."""
    return [row["reason"] for row in house.sql("SELECT reason FROM decision ORDER BY at, id")]


def timers(house: House) -> list[str]:
    return [row["what"] for row in house.sql("SELECT what FROM timer ORDER BY what")]


def allow_work(house: House) -> UUID:
    """A window in force in which people may do what belongs into a maintenance."""
    bea = Actor(ActorKind.PERSON, "bea")
    before = (Item("Take database snapshot"),)
    window = Window("Sunday", ('env="production"',), duration=timedelta(hours=2), before=before)
    window_id = open_window(house.services, window, bea)
    assert tick(house.services, window_id, 1, bea, True)
    return window_id


@contextmanager
def refusing(house: House, table: str, condition: str) -> Iterator[None]:
    """Our database refuses the rows of this table that meet the condition, as if it died there."""
    house.sql(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'the lights went out'; END $$"
    )
    house.sql(
        f"CREATE TRIGGER die BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW"
        f" WHEN ({condition}) EXECUTE FUNCTION die()"
    )
    yield
    house.sql("DROP FUNCTION die CASCADE")


def dies(work: Callable[[], object]) -> None:
    """It ends in the middle, by what `refusing` does."""
    with pytest.raises(psycopg.errors.RaiseException, match="the lights went out"):
        work()


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """Run the block while `work` runs in another thread; its error is raised here."""
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=guarded)
    thread.start()
    yield
    thread.join(timeout=30)
    assert not errors, errors


def until(condition: Callable[[], object]) -> None:
    """Wait for something that another thread does."""
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it never happened")
