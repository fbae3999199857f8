"""Our own PostgreSQL is away: the bare page leaves in time, once, and what follows joins it."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from responder.cli.demo.world import World
from responder.web.problems import RETRY_AFTER
from tests.house import alert
from tests.site import Site, eventually

#: Seconds from the POST to the page.
PROMISED = 3.0


@contextmanager
def stopped(world: World) -> Iterator[None]:
    """Shut down in order, and started again."""
    world.ours.stop(keep=True)
    try:
        yield
    finally:
        world.ours.start()


@contextmanager
def killed(world: World) -> Iterator[None]:
    """The postmaster is killed; the server recovers from its log afterwards."""
    world.ours.kill()
    try:
        yield
    finally:
        world.ours.start()


@contextmanager
def frozen(world: World) -> Iterator[None]:
    """Every process of the server stands still: connections stay open, and nothing answers."""
    processes = [world.ours.pid, *_children(world.ours.pid)]
    for process in processes:
        _signal(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(processes):
            _signal(process, signal.SIGCONT)


def _signal(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:  # a session that ended by itself
        return


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


AWAY = [pytest.param(each, id=each.__name__) for each in (stopped, killed, frozen)]
Away = Callable[[World], Any]


def settled(site: Site, name: str) -> bool:
    """Its incident is there, and no page of it is still to leave."""
    rows = site.sql(
        "SELECT (SELECT count(*) FROM notification n WHERE n.key = i.key AND n.page"
        " AND n.status IN ('due', 'sending')) AS waiting"
        " FROM incident i WHERE title LIKE %s",
        f"{name}%",
    )
    return bool(rows) and rows[0]["waiting"] == 0


def back(site: Site) -> bool:
    try:
        return requests.get(f"{site.world.url}/readyz", timeout=5).ok
    except requests.RequestException:
        return False


def events(site: Site, dedup_key: str) -> list[str]:
    """What the pager was told under a key."""
    return [
        event["event_action"]
        for event in site.world.pager.received()["pagerduty"]
        if event["dedup_key"] == dedup_key
    ]


def page_rows(site: Site, name: str) -> list[tuple[str, str]]:
    """Pages of the incident in our database, as (receiver, status)."""
    rows = site.sql(
        "SELECT n.receiver, n.status FROM notification n JOIN incident i ON i.id = n.incident_id"
        " WHERE i.title LIKE %s AND n.page AND n.happening = 'opened' AND n.status = 'sent'",
        f"{name}%",
    )
    return [(row["receiver"], row["status"]) for row in rows]


def took(page: dict[str, Any], posted: float) -> float:
    """Seconds from the POST until the pager had it."""
    seconds = datetime.fromisoformat(page["at"]).timestamp() - posted
    print(f"paged after {seconds:.2f} s")
    return seconds


def ends(site: Site, name: str, dedup_key: str) -> None:
    """The sender says that it is over, and the pager hears it under the same key."""
    assert site.post(alert(name, "resolved", severity="critical")).status_code == 202
    eventually(lambda: "resolve" in events(site, dedup_key))
    assert events(site, dedup_key) == ["trigger", "resolve"]
    # A walk that our database left in the middle is found again by the sweeper.
    eventually(lambda: site.gap() == (0, 0))


@pytest.mark.parametrize("away", AWAY)
def test_away_before_the_post(site: Site, away: Away) -> None:
    name = f"Before{away.__name__.title()}"
    with away(site.world):
        posted = time.time()
        answer = site.post(alert(name, severity="critical"))
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) in RETRY_AFTER
        eventually(lambda: site.pages(name))
        (page,) = site.pages(name)
        assert took(page, posted) < PROMISED
    eventually(lambda: back(site))
    assert site.post(alert(name, severity="critical")).status_code == 202
    eventually(lambda: settled(site, name))
    assert [event["dedup_key"] for event in site.pages(name)] == [page["dedup_key"]]
    assert page_rows(site, name) == [("pagerduty", "sent")]
    ends(site, name, page["dedup_key"])


@pytest.mark.parametrize("away", AWAY)
def test_away_right_after_the_202(site: Site, away: Away) -> None:
    name = f"After{away.__name__.title()}"
    posted = time.time()
    assert site.post(alert(name, severity="critical")).status_code == 202
    with away(site.world):
        eventually(lambda: site.pages(name))
        (page,) = site.pages(name)
        assert took(page, posted) < PROMISED
    eventually(lambda: back(site))
    eventually(lambda: settled(site, name))
    assert [event["dedup_key"] for event in site.pages(name)] == [page["dedup_key"]]
    assert page_rows(site, name) == [("pagerduty", "sent")]
    ends(site, name, page["dedup_key"])


def test_the_sender_says_that_it_is_over_before_our_database_knew_of_it(site: Site) -> None:
    with stopped(site.world):
        assert site.post(alert("OverBefore", severity="critical")).status_code == 503
        eventually(lambda: site.pages("OverBefore"))
        (page,) = site.pages("OverBefore")
    eventually(lambda: back(site))
    ends(site, "OverBefore", page["dedup_key"])
    assert not site.sql("SELECT FROM incident WHERE title LIKE 'OverBefore%%'")


def test_nobody_is_woken_barely_for_what_is_no_page(site: Site) -> None:
    before = len(site.world.pager.received()["pagerduty"])
    with stopped(site.world):
        assert site.post(alert("OnlyAWarning", severity="warning")).status_code == 503
        assert site.post(alert("Woken", severity="critical")).status_code == 503
        eventually(lambda: site.pages("Woken"))
    assert len(site.world.pager.received()["pagerduty"]) == before + 1
    eventually(lambda: back(site))
