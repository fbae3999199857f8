"""Each event is sealed exactly once, whoever commits late, stops in the middle or dies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Barrier, Event, Thread
from typing import Any

import psycopg
import pytest

from responder import __version__
from responder.domain.actor import RESPONDER
from responder.domain.seal import seal_from_json
from responder.domain.secret import Secret
from responder.domain.settings import SealSettings
from responder.pipeline.audit import sealing
from responder.pipeline.audit.copies import copy_seals
from responder.pipeline.audit.keys import SigningKeys
from responder.pipeline.audit.sealing import seal_events
from responder.store import Store
from tests.audit.conftest import Scene, make_settings, scene_of, seal_now
from tests.house import House, alert

#: A process that records an event and stops in the middle of its transaction.
STOPS = """
import sys, time
from responder.store import Store
from responder.domain.actor import RESPONDER
store = Store(sys.argv[1], 1, "test")
store.open()
with store.transaction() as tx:
    tx.record("test", RESPONDER, "stopped")
    print("here", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def quiet(make_house: Callable[..., House], tmp_path: Path) -> House:
    """A house in which nothing happens but what a test does."""
    return make_house([], seal=make_settings(tmp_path))


@contextmanager
def listening() -> Iterator[tuple[int, list[bytes]]]:
    """Somebody outside who takes what is posted: the port, and the bodies."""
    bodies: list[bytes] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *said: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Taker) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, bodies
        server.shutdown()


def record(house: House, subject: str, wait: Callable[[], object] = lambda: None) -> None:
    with house.services.store.transaction() as tx:
        tx.record("test", RESPONDER, subject)
        wait()


def seals(house: House) -> list[dict[str, Any]]:
    return house.sql("SELECT number, events, at, ids FROM seal ORDER BY number")


def test_writers_that_commit_late_are_all_sealed_once(quiet: House) -> None:
    """Two sealers and six writers at once; each writer holds its transactions open at random."""
    over = Event()

    def write(seed: int) -> None:
        random = Random(seed)
        for number in range(25):
            pause = random.choice((0, 0, 0.005, 0.03))
            record(quiet, f"{seed}/{number}", partial(time.sleep, pause))
            if random.random() < 0.1:
                with pytest.raises(ZeroDivisionError):
                    record(quiet, "rolled back", lambda: 1 / 0)

    def seal(_: int) -> None:
        while not over.is_set():
            seal_now(quiet)

    with ThreadPoolExecutor(8) as pool:
        sealers = [pool.submit(seal, number) for number in range(2)]
        for writer in [pool.submit(write, seed) for seed in range(6)]:
            writer.result()
        over.set()
        for sealer in sealers:
            sealer.result()
    seal_now(quiet)
    sealed = [each for seal in seals(quiet) for each in seal["ids"]]
    assert len(sealed) == len(set(sealed)) == 150
    assert len(seals(quiet)) > 3, "they went on meanwhile"
    report = scene_of(quiet).verify()
    assert report.ok and report.unsealed == 0, [each.sentence for each in report.troubles]


def test_a_process_that_stops_in_the_middle_holds_nobody_up(quiet: House) -> None:
    url = quiet.services.store.url
    with subprocess.Popen(
        [sys.executable, "-c", STOPS, url], stdout=subprocess.PIPE, text=True
    ) as stopped:
        try:
            assert stopped.stdout is not None and stopped.stdout.readline() == "here\n"
            stopped.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            record(quiet, "another")
            quiet.post(alert("Anything"))
            quiet.settle()
            seal_now(quiet)
            assert time.monotonic() - began < 5, "nobody waits for it, not even the sealing"
            report = scene_of(quiet).verify()
            assert report.ok and report.unsealed == 0 and report.events > 1
            (row,) = quiet.sql("SELECT count(*) AS own FROM audit_event WHERE subject = 'stopped'")
            assert row["own"] == 0
        finally:
            os.kill(stopped.pid, signal.SIGKILL)


def test_what_it_wrote_before_it_stopped_is_sealed_when_it_goes_on(quiet: House) -> None:
    """Its events have older ids and lower numbers of transactions than what is sealed by then."""
    together, goes_on = Barrier(2), Event()

    def late() -> None:
        record(quiet, "late", lambda: (together.wait(5), goes_on.wait(5)))

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(late)
        together.wait(5)
        record(quiet, "early")
        seal_now(quiet)
        goes_on.set()
        writing.result()
    assert [seal["events"] for seal in seals(quiet)] == [1]
    seal_now(quiet)
    assert [seal["events"] for seal in seals(quiet)] == [1, 1]
    assert scene_of(quiet).verify().ok


def test_a_seal_every_so_often_and_in_portions(
    quiet: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "PORTION", 4)
    monkeypatch.setattr(sealing, "TURN", 3)
    for number in range(14):
        record(quiet, str(number))
    seal_events(quiet.services)
    assert [seal["events"] for seal in seals(quiet)] == [4, 4, 4], "one turn"
    seal_events(quiet.services)
    assert len(seals(quiet)) == 3, "the last one is not 10 s old"
    quiet.later(timedelta(seconds=11))
    seal_events(quiet.services)
    assert [seal["events"] for seal in seals(quiet)] == [4, 4, 4, 2]
    quiet.later(timedelta(seconds=11))
    seal_events(quiet.services)
    assert len(seals(quiet)) == 4, "nothing happened, so nothing is sealed"


def test_events_from_before_there_were_seals_are_sealed_too(
    quiet: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "PORTION", 3)
    with psycopg.connect(quiet.services.store.url) as connection:
        connection.execute("SET search_path = responder")
        connection.execute("ALTER TABLE audit_event ALTER queued SET DEFAULT false")
        connection.execute("ALTER TABLE audit_event DISABLE TRIGGER audit_event_await_seal")
        connection.execute("UPDATE seal_backlog SET done = false")
    for number in range(7):
        record(quiet, f"old {number}")
    with psycopg.connect(quiet.services.store.url) as connection:
        connection.execute("SET search_path = responder")
        connection.execute("ALTER TABLE audit_event ALTER queued SET DEFAULT true")
        connection.execute("ALTER TABLE audit_event ENABLE TRIGGER audit_event_await_seal")
    report = scene_of(quiet).verify()
    assert report.ok and report.backlog == 7
    record(quiet, "new")
    for _ in range(3):
        seal_now(quiet)
    report = scene_of(quiet).verify()
    assert report.ok and (report.events, report.backlog, report.unsealed) == (8, 0, 0)
    (row,) = quiet.sql("SELECT done FROM seal_backlog")
    assert row["done"]


def test_keys_are_changed_without_a_gap(quiet: House, tmp_path: Path) -> None:
    """The newest signs, all verify; without the old one its seals are not ours any more."""
    record(quiet, "one")
    seal_now(quiet)
    old = scene_of(quiet).settings
    (tmp_path / "next").mkdir()
    new = make_settings(tmp_path / "next")
    both = Secret((*new.key.references, *old.key.references))
    quiet.with_settings(seal=replace(old, key=both))
    record(quiet, "two")
    seal_now(quiet)
    assert len({seal["kid"] for seal in quiet.sql("SELECT kid FROM seal")}) == 2
    assert scene_of(quiet).verify().ok
    (trouble,) = Scene(quiet.services.store.url, replace(new, copy_to=())).verify().troubles
    assert trouble.sentence.startswith("altered: seal 1: it is signed with")


@pytest.mark.parametrize("key", ["missing.json", "empty.json", "none.json"])
def test_a_key_that_cannot_be_used_holds_nothing_up(quiet: House, tmp_path: Path, key: str) -> None:
    (tmp_path / "empty.json").write_text('{"keys": []}')
    (tmp_path / "none.json").write_text("no JSON")
    quiet.with_settings(seal=SealSettings(Secret((f"file:{tmp_path / key}",))))
    record(quiet, "one")
    seal_now(quiet)
    assert seals(quiet) == []
    assert quiet.sql("SELECT count(*) AS waiting FROM unsealed") == [{"waiting": 1}]


def test_a_copy_that_cannot_be_written_is_caught_up_later(quiet: House, tmp_path: Path) -> None:
    place = tmp_path / "away" / "seals.jsonl"
    quiet.with_settings(seal=replace(scene_of(quiet).settings, copy_to=(str(place),)))
    record(quiet, "one")
    seal_now(quiet)
    (state,) = quiet.sql("SELECT number, failures, error FROM seal_copy")
    assert (state["number"], state["failures"]) == (0, 1)
    assert state["error"] == "No such file or directory"
    place.parent.mkdir()
    place.write_text('{"number": 7')  # the end of what a host wrote that died
    record(quiet, "two")
    seal_now(quiet)
    assert len(seals(quiet)) == 2 and place.read_text() == '{"number": 7', "not at once again"
    quiet.later(timedelta(seconds=11))
    copy_seals(quiet.services)
    copy_seals(quiet.services)
    assert len(place.read_text().splitlines()) == 3
    report = scene_of(quiet).verify()
    assert report.ok and report.copies == {str(place): 2}
    assert report.notes == [f"{place}: 1 lines are no seals"]


def test_a_copy_that_was_cut_short_is_said_to_be(quiet: House) -> None:
    """No alarm: each host has a file of its own."""
    for subject in "one", "two":
        record(quiet, subject)
        seal_now(quiet)
    copy = scene_of(quiet).copy
    copy.write_text(copy.read_text().splitlines(keepends=True)[0])
    report = scene_of(quiet).verify()
    assert report.ok and any("it ends before that" in note for note in report.notes)


def test_a_url_gets_each_seal_as_it_is_signed(quiet: House) -> None:
    """Its path may be a secret: nobody reads it but the receiver."""
    with listening() as (port, bodies):
        url = f"http://127.0.0.1:{port}/seals/s3cret"
        quiet.with_settings(seal=replace(scene_of(quiet).settings, copy_to=(url,)))
        for subject in ("one", "two"):
            record(quiet, subject)
            seal_now(quiet)
        got = [json.loads(body) for body in bodies]
    keys = SigningKeys(scene_of(quiet).settings.key).public()
    seals_there = [seal_from_json(each) for each in got]
    assert [seal.number for seal in seals_there] == [1, 2]
    assert all(keys.verifies(seal.kid, seal.signature, seal.text) for seal in seals_there)
    assert seals_there[1].previous == seals_there[0].digest
    (state,) = quiet.sql("SELECT place, number, failures FROM seal_copy")
    assert (state["number"], state["failures"]) == (2, 0)
    (note,) = scene_of(quiet).verify().notes
    assert "s3cret" not in state["place"] + note and "not compared" in note


def test_the_end_is_missed_by_a_copy_alone(quiet: House) -> None:
    """Without one nobody can say that the last seals and their events were ever there."""
    for subject in ("one", "two"):
        record(quiet, subject)
        seal_now(quiet)
    scene = scene_of(quiet)
    scene.superuser(
        "DELETE FROM audit_event WHERE id IN (SELECT unnest(ids) FROM seal WHERE number = 2)",
        "DELETE FROM seal WHERE number = 2",
    )
    assert Scene(scene.url, replace(scene.settings, copy_to=())).verify().ok
    assert [each.subject for each in scene.verify().troubles] == ["seal 2"]
    record(quiet, "three")
    seal_now(quiet)
    (trouble,) = scene.verify().troubles
    assert trouble.subject == "seal 2" and "has another one" in trouble.says, "for ever"


def test_retention_that_recorded_itself_is_no_alarm(quiet: House) -> None:
    """A month is dropped with an event that says so; its seals stay, and their chain holds."""
    with psycopg.connect(quiet.services.store.url) as connection:
        connection.execute("SET search_path = responder")
        connection.execute(
            "SELECT make_partition('audit_event', 'audit_event_202001',"
            " '2020-01-01Z', '2020-02-01Z')"
        )
    with quiet.services.store.transaction() as tx:
        for subject in ("one", "two"):
            tx.record("test", RESPONDER, subject, filed_at=tx.now.replace(2020, 1, 7))
        tx.record("test", RESPONDER, "three")
    seal_now(quiet)
    quiet.sql("DROP TABLE audit_event_202001")
    said = [each.sentence for each in scene_of(quiet).verify().troubles]
    assert len(said) == 2 and all("is gone" in each for each in said), "nobody has said so"
    with quiet.services.store.transaction() as tx:
        told = {"events": 2, "begins": "2020-01-01T00:00:00Z", "ends": "2020-02-01T00:00:00Z"}
        tx.record("retention", RESPONDER, "audit_event_202001", **told)
    seal_now(quiet)
    report = scene_of(quiet).verify()
    assert report.ok, [each.sentence for each in report.troubles]
    assert "audit_event_202001: 2 events dropped by retention" in report.notes


def test_only_from_a_time_on(quiet: House) -> None:
    record(quiet, "one")
    seal_now(quiet)
    with closing(Store(quiet.services.store.url, 1, __version__)) as store:
        store.open()
        with store.transaction() as tx:
            since = tx.now
    record(quiet, "two")
    seal_now(quiet)
    scene = scene_of(quiet)
    assert (scene.verify(since=since).seals, scene.verify(since=since).events) == (1, 1)
    scene.superuser("UPDATE audit_event SET actor = 'bob' WHERE subject = 'one'")
    assert scene.verify(since=since).ok and not scene.verify().ok
    scene.superuser("UPDATE audit_event SET actor = 'bob' WHERE subject = 'two'")
    assert not scene.verify(since=since).ok
