"""The dead man is pinged when all is well, once in each interval, and not when it is not."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from responder.domain.secret import Secret
from responder.domain.settings import DeadMan
from responder.pipeline.dead_man import OVERDUE, ping, troubles
from responder.pipeline.triage import triage
from responder.receivers import Undelivered
from responder.store.jobs import DEAD_AFTER
from tests.house import House, alert
from tests.outside import Outside

WELL = {"lost": 0, "untriaged": 0, "pages": 0, "workers": 1}


def with_dead_man(outside: Outside) -> House:
    """A worker is alive, and the stand-in counts the pings."""
    url = Path(outside.folder, "dead_man")
    url.write_text(f"{outside.stand_in.url}/ping/our-check")
    outside.house.with_settings(dead_man=DeadMan(Secret((f"file:{url}",))))
    outside.house.sql(
        "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() + interval '1 day')"
    )
    return outside.house


def pings(outside: Outside) -> int:
    """How often it was pinged by now, asked for once more."""
    outside.house.later(timedelta(minutes=1))
    ping(outside.house.services)
    return len(outside.stand_in.received()["pings"])


def health(house: House) -> dict[str, Any]:
    with house.services.store.transaction() as tx:
        return tx.one("health", overdue=OVERDUE, dead_after=DEAD_AFTER)


def test_it_is_pinged_once_in_each_interval_over_all_processes(outside: Outside) -> None:
    house = with_dead_man(outside)
    for _ in range(3):
        ping(house.services)
    assert len(outside.stand_in.received()["pings"]) == 1
    assert outside.stand_in.received()["pings"][0]["path"] == "/ping/our-check"
    house.later(timedelta(seconds=59))
    ping(house.services)
    assert len(outside.stand_in.received()["pings"]) == 1
    assert pings(outside) == 2


def test_without_one_nothing_is_asked(outside: Outside) -> None:
    ping(outside.house.services)
    assert outside.stand_in.received()["pings"] == []


def test_it_is_pinged_while_incidents_are_open_and_pages_are_under_way(outside: Outside) -> None:
    house = with_dead_man(outside)
    house.post(alert("Odd", severity="critical"))
    house.post(alert("Odd", severity="warning", instance="2"))
    house.settle()
    house.post(alert("Odder", severity="critical"))
    house.run_triage()
    assert list(troubles(health(house))) == []
    ping(house.services)
    assert len(outside.stand_in.received()["pings"]) == 1


def test_not_when_no_worker_is_alive(outside: Outside) -> None:
    house = with_dead_man(outside)
    house.sql("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 minute'")
    assert pings(outside) == 0
    house.sql("UPDATE procrastinate_workers SET last_heartbeat = now()")
    assert pings(outside) == 1


def test_not_while_a_delivery_waits_for_triage(outside: Outside) -> None:
    house = with_dead_man(outside)
    accepted = house.post(alert("Odd", severity="info"))
    house.later(OVERDUE + timedelta(seconds=1))
    assert pings(outside) == 0
    triage(house.services, accepted.delivery)
    assert pings(outside) == 1


def test_not_while_an_incident_has_no_next_step(outside: Outside) -> None:
    house = with_dead_man(outside)
    house.post(alert("Odd", severity="critical"))
    house.run_triage()
    assert list(troubles(health(house))) == []
    house.sql("DELETE FROM procrastinate_jobs")
    assert pings(outside) == 0


def test_not_while_a_page_is_overdue(outside: Outside) -> None:
    house = with_dead_man(outside)
    house.pager.fails = Undelivered("it does not answer", permanent=False)
    house.post(alert("Odd", severity="critical"))
    house.settle()
    assert pings(outside) == 1, "it is tried again"
    house.later(OVERDUE + timedelta(minutes=1))
    assert pings(outside) == 1
    house.pager.fails = None
    house.send()
    assert pings(outside) == 2


@pytest.mark.parametrize("fallback", [True, False])
def test_a_page_that_nobody_took_is_not_well_unless_another_one_did(
    fallback: bool, outside: Outside
) -> None:
    house = with_dead_man(outside)
    house.with_settings(last_resort=("hook",) if fallback else ())
    house.pager.fails = Undelivered("no such key", permanent=True)
    house.post(alert("Odd", severity="critical"))
    house.settle()
    assert house.hook.happenings().count("opened") == 1 + fallback
    assert pings(outside) == fallback


def test_messages_that_wake_nobody_may_wait(outside: Outside) -> None:
    house = with_dead_man(outside)
    house.hook.fails = Undelivered("it does not answer", permanent=False)
    house.post(alert("Odd", severity="info"))
    house.settle()
    house.later(timedelta(minutes=10))
    assert pings(outside) == 1


@pytest.mark.parametrize("fault", ["503", "reset", "redirect"])
def test_a_ping_that_fails_stops_nothing_and_is_not_followed(fault: str, outside: Outside) -> None:
    house = with_dead_man(outside)
    outside.stand_in.fail("/ping", fault)
    ping(house.services)
    assert outside.stand_in.received()["pings"] == []
    assert outside.stand_in.received()["redirected"] == []
    assert pings(outside) == 1


def test_a_url_that_is_missing_is_said_and_stops_nothing(outside: Outside) -> None:
    with_dead_man(outside)
    Path(outside.folder, "dead_man").unlink()
    assert pings(outside) == 0


@pytest.mark.parametrize(
    ("health", "said"),
    [
        ({}, []),
        ({"lost": 2}, ["2 alerts or incidents have no outcome and no next step"]),
        ({"untriaged": 3}, ["3 deliveries have waited for triage for more than a minute"]),
        (
            {"pages": 1, "workers": 0},
            ["1 pages are overdue or were given up", "no worker is alive"],
        ),
    ],
)
def test_what_is_not_well_is_said(health: dict[str, int], said: list[str]) -> None:
    assert list(troubles({**WELL, **health})) == said


def test_when_it_was_told_is_when_it_heard(outside: Outside) -> None:
    house = with_dead_man(outside)

    def heard() -> object:
        with house.services.store.transaction() as tx:
            return tx.one("dead_man_pinged")["pinged_at"]

    url = Path(outside.folder, "dead_man")
    known = url.read_text()
    url.write_text("http://127.0.0.1:1/nobody")
    ping(house.services)
    assert heard() is None, "nobody listens there"
    url.write_text(known)
    pings(outside)
    first = heard()
    assert first is not None
    house.sql("DELETE FROM procrastinate_workers")
    pings(outside)
    assert heard() == first, "it is not told while no worker lives"
