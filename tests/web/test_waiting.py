"""Senders that wait for the answer: soon, not at all, and never in the way of others."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from werkzeug.test import TestResponse

from responder import __version__
from responder.domain.settings import Receiver, Source
from responder.embedded import LocalPostgres
from responder.store import Store
from responder.store.migrations import migrate
from responder.web import create_app
from responder.web.waiting import THREADS, patience
from tests.house import House
from tests.senders import ALERTMANAGER, PAGERDUTY, Sender, sources, told
from tests.site import eventually

RECEIVERS = {"pager": Receiver("pager", "slack"), "hook": Receiver("hook", "webhook")}
PLACES = THREADS // 4


@pytest.fixture
def house(make_house: Callable[..., House], tmp_path: Path) -> House:
    return make_house([], sources=sources(tmp_path), receivers=RECEIVERS)


class Door:
    """One web process; every request has a thread of its own."""

    def __init__(self, house: House) -> None:
        self.app = create_app(house.services)
        self._pool = ThreadPoolExecutor(16)

    def post(self, name: str, prefer: str = "", sender: Sender = ALERTMANAGER) -> TestResponse:
        body = told(sender.alerts(name))
        headers = {**sender.headers(body), **({"Prefer": prefer} if prefer else {})}
        url = f"/v1/webhooks/{sender.name}"
        return self.app.test_client().post(url, data=body, headers=headers)

    def waits(self, name: str, prefer: str = "wait=30") -> "Future[TestResponse]":
        return self._pool.submit(self.post, name, prefer)


@pytest.fixture
def door(house: House) -> Door:
    return Door(house)


@contextmanager
def working(house: House) -> Iterator[None]:
    """A worker, beside."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.02):
            house.run_jobs()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()


def is_answered(answer: TestResponse, title: str, wait: str = "30") -> None:
    assert answer.status_code == 200
    assert answer.headers["Preference-Applied"] == f"wait={wait}"
    said = answer.get_json()
    assert set(said) == {"delivery", "incidents"}
    (document,) = said["incidents"]
    assert title in document["incident"]["title"]
    assert document["decision"]["action"] == "hand_over"


def is_acknowledged(answer: TestResponse) -> None:
    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers
    assert answer.get_json()["alerts"] == 1


def test_the_incident_is_answered_when_it_rests(house: House, door: Door) -> None:
    with working(house):
        is_answered(door.post("Noise", "wait=30"), "Noise")
        is_answered(door.post("Other", "respond-async, wait=20"), "Other", "20")
        is_answered(door.post("Third", "wait=9999"), "Third", "30")
    assert house.gap() == (0, 0)


def test_what_is_not_ready_in_time_is_acknowledged(house: House, door: Door) -> None:
    is_acknowledged(door.post("Noise", "wait=1"))
    house.settle()
    assert house.outcomes() == ["opened"]


@pytest.mark.parametrize("prefer", ["", "wait=0", "wait=abc", "wait=-5", "wait", "respond-async"])
def test_without_a_preference_nobody_waits(house: House, door: Door, prefer: str) -> None:
    """No worker runs: waiting would not end."""
    is_acknowledged(door.post("Noise", prefer))


def test_nothing_to_wait_for_is_answered_at_once(house: House, door: Door) -> None:
    """A test message has no incidents, and no worker is needed to know that."""
    client = door.app.test_client()
    body = told({"alerts": []})
    headers = {**ALERTMANAGER.headers(body), "Prefer": "wait=30"}
    answer = client.post("/v1/webhooks/alertmanager", data=body, headers=headers)
    assert (answer.status_code, answer.get_json()["incidents"]) == (200, [])


def test_a_source_that_always_waits(house: House) -> None:
    known = house.services.settings.sources
    waits = {name: replace(each, wait=timedelta(seconds=25)) for name, each in known.items()}
    house.with_settings(sources=waits)
    door = Door(house)
    with working(house):
        is_answered(door.post("Noise"), "Noise", "25")
        is_answered(door.post("Other", "wait=20"), "Other", "20")
    is_acknowledged(door.post("Third", "wait=0"))


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=5", 5),
        ("WAIT = 5", 5),
        ('wait="5"', 5),
        ("respond-async, wait=5", 5),
        ("respond-async; x=1, wait=5; y", 5),
        ("wait=31", 30),
        ("wait=0", None),
        ("wait=1.5", 7),
        ("wait=99999", 30),
        ("wait=" + "9" * 5_000, 7),
        ("awaiting=5", 7),
        ("", 7),
    ],
)
def test_what_is_preferred(prefer: str, seconds: int | None) -> None:
    """Else what the source says, 7 s here."""
    found = patience(prefer, Source("any", "generic", wait=timedelta(seconds=7)))
    assert found == (timedelta(seconds=seconds) if seconds else None)


def test_a_quarter_of_the_threads_may_wait(house: House, door: Door) -> None:
    waiting = [door.waits(f"Waits{number}") for number in range(PLACES)]
    eventually(lambda: _deliveries(house) == PLACES)
    more = [door.waits(f"More{number}") for number in range(6)]
    everybody = [*waiting, *more]
    eventually(lambda: sum(each.done() for each in everybody) == len(more))
    waits = [each for each in everybody if not each.done()]
    for each in everybody:
        if each.done():
            is_acknowledged(each.result())
    with working(house):
        for each in waits:
            is_answered(each.result(), "")
        is_answered(door.post("Last", "wait=30"), "Last")


def test_a_duplicate_waits_for_what_came_first(house: House, door: Door) -> None:
    first = door.post("Noise", sender=PAGERDUTY).get_json()["delivery"]
    with working(house):
        answer = door.post("Noise", "wait=30", PAGERDUTY)
    is_answered(answer, "Noise")
    assert answer.get_json()["delivery"] == first
    assert len(house.incidents()) == 1


def test_our_database_goes_while_somebody_waits(house: House) -> None:
    """It is committed all the same, so it is acknowledged, not refused."""
    with LocalPostgres(durable=False) as server:
        migrate(server.url())
        store = Store(server.url(), 4, __version__)
        store.open()
        away = replace(house, services=replace(house.services, store=store))
        door = Door(away)
        waiting = door.waits("Noise")
        eventually(lambda: _deliveries(away))
        assert not waiting.done()
        server.stop(keep=True)
        is_acknowledged(waiting.result())
        server.start()
        assert eventually(lambda: _deliveries(away)) == 1
        store.close()


def _deliveries(house: House) -> int:
    """How many there are; none while our database is away."""
    try:
        return len(house.sql("SELECT FROM delivery"))
    except psycopg.OperationalError:
        return 0
