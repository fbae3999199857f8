"""Requests wait for long: who wakes nobody is sent away, who has to wake somebody is let in."""

import json
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from responder.web import create_app
from responder.web.problems import RETRY_AFTER
from responder.web.reading import Reading
from responder.web.shedding import FEW, LONG
from tests.house import BEARER, House, alert


class Door:
    """The application behind threads that requests have waited for."""

    def __init__(self, house: House) -> None:
        self._app: Flask = create_app(house.services)
        self._reading = Reading()
        self._app.extensions["responder.reading"] = self._reading

    def post(self, severity: str, waited: float = LONG, name: str = "Flood") -> TestResponse:
        """One alert from a sender that we know."""
        body = json.dumps({"alerts": [alert(name, severity=severity)]}).encode()
        return self.send(body, waited=waited)

    def send(
        self, body: bytes, path: str = "/v1/webhooks/prometheus", waited: float = LONG
    ) -> TestResponse:
        ours, theirs = socket.socketpair()
        with ours, theirs, self._reading.of(ours, waited):
            environ = {"gunicorn.socket": ours}
            headers = {"Authorization": f"Bearer {BEARER}", "Content-Type": "application/json"}
            client = self._app.test_client()
            return client.post(path, data=body, headers=headers, environ_base=environ)


@pytest.fixture
def door(house: House) -> Door:
    return Door(house)


@contextmanager
def places_taken(house: House, door: Door) -> Iterator[list["Future[TestResponse]"]]:
    """Ordinary deliveries in hand, as many as have a place, which wait for our database."""
    url = house.services.store.url
    with ThreadPoolExecutor(FEW) as pool, psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE responder.delivery IN SHARE ROW EXCLUSIVE MODE")
        some = [pool.submit(door.post, "info", name=f"In{each}") for each in range(FEW)]
        wait_for(house, FEW)
        yield some
        holder.rollback()


def wait_for(house: House, deliveries: int) -> None:
    """So many wait: the first for a lock, the others to be committed together after it."""
    deadline = time.monotonic() + 30
    count = "SELECT count(*) AS waiting FROM pg_locks WHERE NOT granted AND relation IS NOT NULL"
    together = house.services.store._together
    while house.sql(count)[0]["waiting"] + len(together._waiting) < deliveries:
        assert time.monotonic() < deadline, "they do not wait"
        time.sleep(0.01)


def refused(house: House) -> list[Mapping[str, Any]]:
    return [
        row["details"]
        for row in house.sql("SELECT details FROM audit_event WHERE what = 'refused' ORDER BY id")
    ]


def test_without_a_place_it_is_asked_to_come_again(house: House, door: Door) -> None:
    with places_taken(house, door) as inside:
        for _ in range(3):
            away = door.post("info")
            assert (away.status_code, away.mimetype) == (503, "application/problem+json")
            assert away.get_json()["type"] == "urn:responder:busy"
            assert int(away.headers["Retry-After"]) in RETRY_AFTER
        assert not any(each.done() for each in inside)
    assert [each.result().status_code for each in inside] == [202] * FEW
    assert len(house.sql("SELECT FROM delivery")) == FEW
    told = refused(house)
    assert 1 <= len(told) <= 2, "a minute may have ended meanwhile"
    assert told[0] == {"address": "127.0.0.1", "why": "busy", "asked_for": "'prometheus'"}
    assert door.post("info").status_code == 202


def test_who_has_to_wake_somebody_is_let_in(house: House, door: Door) -> None:
    with ThreadPoolExecutor(1) as pool:
        with places_taken(house, door):
            grave = pool.submit(door.post, "critical", name="Grave")
            wait_for(house, FEW + 1)
        assert grave.result().status_code == 202


def test_what_nobody_can_read_wakes_nobody(house: House, door: Door) -> None:
    with places_taken(house, door):
        for body in (b"", b"{", b"[]", b'"critical"', b"x" * 2_000_000):
            assert door.send(body).status_code == 503


def test_who_is_no_sender_is_told_so(house: House, door: Door) -> None:
    with places_taken(house, door):
        assert door.send(b"{}", "/v1/webhooks/nobody").status_code == 404
        assert door.send(b"{}", "/v1/explain/prometheus").status_code == 401


@pytest.mark.parametrize("waited", [0.0, LONG * 0.9])
def test_while_nobody_waits_all_are_let_in(house: House, door: Door, waited: float) -> None:
    assert door.post("info", waited).status_code == 202
