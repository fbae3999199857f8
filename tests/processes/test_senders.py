"""Senders that follow their own rules of trying again, while we fail: nothing of theirs is lost.

Their pauses are shortened, since none of it is about how long something takes.
"""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import requests

from tests.senders import GENERIC, SENDERS, TIMESTAMP_HEADER, Sender
from tests.simulated import Simulated
from tests.site import Site, eventually, kill, restart

#: The longest pause of a simulated sender, in seconds of ours, and the one between two alerts:
#: without it they would tell as fast as we take it in, and faster than it can be worked off.
LONGEST = 0.2
BETWEEN = 0.02

SOURCES = """
[sources.sim_alertmanager]
type = "alertmanager"
bearer = "file:{folder}/sim_alertmanager"

[sources.sim_grafana]
type = "grafana"
bearer = "file:{folder}/sim_grafana"

[sources.sim_grafana_signed]
type = "grafana"
secret = "file:{folder}/sim_grafana_signed"
timestamp_header = "{stamp}"

[sources.sim_pagerduty]
type = "pagerduty"
secret = "file:{folder}/sim_pagerduty"

[sources.sim_generic]
type = "generic"
secret = "file:{folder}/sim_generic"

[sources.sim_generic.fields]
alerts = "/items"
name = "/what"
status = "/state"
severity = "/how_bad"

[sources.rotated]
type = "generic"
secret = ["file:{folder}/rotated_new", "file:{folder}/rotated_old"]

[sources.rotated.fields]
alerts = "/items"
name = "/what"

[sources.one_file]
type = "generic"
secret = "file:{folder}/one_file"

[sources.one_file.fields]
alerts = "/items"
name = "/what"
"""
SIMULATED = [replace(sender, name=f"sim_{sender.name}") for sender in SENDERS]
_names = count(1)


@pytest.fixture(scope="module", autouse=True)
def known(site: Site) -> None:
    """The site knows these senders."""
    folder = site.world.folder
    for sender in SIMULATED:
        (folder / sender.name).write_text(sender.secret)
    for name in ("rotated_new", "rotated_old", "one_file"):
        (folder / name).write_text(GENERIC.secret)
    with (folder / "responder.toml").open("a") as config:
        config.write(SOURCES.format(folder=folder, stamp=TIMESTAMP_HEADER))
    site.serve.stop()
    site.work.stop()
    start_worker(site)
    restart(site.serve, lambda: ready(site))


def start_worker(site: Site) -> None:
    """In this order: a worker that does not know the sources would still do their jobs."""
    before = site.work.log.read_text().count("worker is ready")
    restart(site.work, lambda: site.work.log.read_text().count("worker is ready") > before)


def ready(site: Site) -> bool:
    try:
        return requests.get(f"{site.world.url}/readyz", timeout=5).ok
    except requests.RequestException:
        return False


def simulated(site: Site, sender: Sender) -> Simulated:
    url = f"{site.world.url}/v1/webhooks/{sender.name}"

    def attempt(body: bytes, headers: dict[str, str]) -> tuple[int | None, float]:
        try:
            answer = requests.post(url, body, headers=headers, timeout=30)
        except requests.RequestException:
            return None, 0.0
        return answer.status_code, float(answer.headers.get("Retry-After", 0))

    return Simulated(sender, attempt, lambda seconds: time.sleep(min(seconds, LONGEST)))


@contextmanager
def telling(senders: list[Simulated]) -> Iterator[None]:
    """Each of them tells of one new alert after the other, and ends its last one with the block."""
    over = threading.Event()

    def tell(one: Simulated) -> None:
        while not over.is_set():
            acknowledged = one.tell(f"Sim{next(_names)}")
            one.pause(BETWEEN if acknowledged else LONGEST)  # until its next flush

    threads = [threading.Thread(target=tell, args=(one,)) for one in senders]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def refused(site: Site) -> Counter[str]:
    """How many requests of each source were refused as unavailable."""
    headers = {"Authorization": f"Bearer {site.world.tokens['viewer']}"}
    text = requests.get(f"{site.world.url}/metrics", headers=headers, timeout=30).text
    counted: Counter[str] = Counter()
    for line in text.splitlines():
        if line.startswith("responder_refused_total{"):
            labels, _, value = line.partition("{")[2].rpartition("} ")
            told = dict(each.split("=", 1) for each in labels.split(","))
            counted[f"{told['source']} {told['reason']}".replace('"', "")] += int(float(value))
    return counted


def worked_off(site: Site) -> None:
    """Every delivery is triaged; it may take long, as long as they become fewer."""

    def left() -> int:
        return int(site.sql("SELECT count(*) AS n FROM delivery WHERE triaged_at IS NULL")[0]["n"])

    while before := left():
        eventually(lambda before=before: left() < before)


def kept(site: Site, one: Simulated) -> Counter[str]:
    """The alerts that it told of, by name, when all have their outcome."""
    worked_off(site)
    rows = site.sql(
        "SELECT name, outcome FROM alert WHERE source = %s AND name = ANY(%s)",
        one.sender.name,
        [*one.acknowledged, *one.failed],
    )
    assert {row["outcome"] for row in rows} <= {"opened", "joined"}
    return Counter(row["name"] for row in rows)


def nothing_is_lost(site: Site, senders: list[Simulated], exactly: bool) -> None:
    """exactly: who was not answered 202 was answered that nothing was kept, and so it was."""
    for one in senders:
        there = kept(site, one)
        assert set(one.acknowledged) <= set(there)
        if one.sender.type == "grafana":
            assert one.failed
            if exactly:
                assert set(there) == set(one.acknowledged)
                assert len(one.failed) == one.answers[503]
            for name in one.failed:  # the next flush tells the current state again
                assert one.tell(name)
        else:
            assert one.failed == []
        there = kept(site, one)
        assert set(one.acknowledged) == set(there)
        if one.sender.has_ids:
            assert set(there.values()) == {1}, "a retry is known by its id"
        if exactly:
            assert set(there.values()) == {1}, "what was answered 503 was not kept"
    names = [name for one in senders for name in one.acknowledged]
    opened = site.sql("SELECT count(*) AS n FROM incident WHERE source = ANY(%s)", SOURCE_NAMES)
    told = site.sql(
        "SELECT count(DISTINCT (source, name)) AS n FROM alert WHERE source = ANY(%s)",
        SOURCE_NAMES,
    )
    assert names
    assert opened == told, "one incident for each alert, however often it was told"
    eventually(lambda: site.gap() == (0, 0))


SOURCE_NAMES = [sender.name for sender in SIMULATED]


def test_our_database_is_restarted(site: Site) -> None:
    senders = [simulated(site, sender) for sender in SIMULATED]
    before = refused(site)
    with telling(senders):
        eventually(lambda: all(one.acknowledged for one in senders))
        site.world.ours.stop(keep=True)
        try:
            eventually(lambda: all(one.answers[503] for one in senders))
        finally:
            site.world.ours.start()
        told = [len(one.acknowledged) for one in senders]
        eventually(
            lambda: all(len(one.acknowledged) > n for one, n in zip(senders, told, strict=True))
        )
    answered = {one.sender.name: one.answers[503] for one in senders}
    counted = refused(site) - before
    assert {name: counted[f"{name} unavailable"] for name in SOURCE_NAMES} == answered
    assert all(set(one.answers) <= {202, 503} for one in senders)
    nothing_is_lost(site, senders, exactly=True)


def test_serve_is_killed_and_started_again(site: Site) -> None:
    senders = [simulated(site, sender) for sender in SIMULATED]
    with telling(senders):
        eventually(lambda: all(len(one.acknowledged) > 3 for one in senders))
        kill(site.serve)
        eventually(lambda: all(one.answers[None] for one in senders))
        restart(site.serve, lambda: ready(site))
        told = [len(one.acknowledged) for one in senders]
        eventually(
            lambda: all(len(one.acknowledged) > n for one, n in zip(senders, told, strict=True))
        )
    nothing_is_lost(site, senders, exactly=False)


def test_serve_is_restarted_in_order(site: Site) -> None:
    """SIGTERM: whatever was begun is answered; only new connections are refused meanwhile."""
    senders = [simulated(site, sender) for sender in SIMULATED]
    with telling(senders):
        eventually(lambda: all(len(one.acknowledged) > 3 for one in senders))
        site.serve.stop()
        eventually(lambda: all(one.answers[None] for one in senders))
        restart(site.serve, lambda: ready(site))
        told = [len(one.acknowledged) for one in senders]
        eventually(
            lambda: all(len(one.acknowledged) > n for one, n in zip(senders, told, strict=True))
        )
    assert all(set(one.answers) <= {202, None} for one in senders)
    nothing_is_lost(site, senders, exactly=False)


BROKEN = {
    "no size": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "no end of a chunk": b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx0\r\n\r\n",
    "half a chunk": b"Transfer-Encoding: chunked\r\n\r\n9\r\n{}",
    "half a body": b"Content-Length: 50\r\n\r\n{}",
    "two lengths": b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a negative length": b"Content-Length: -1\r\n\r\n{}",
    "a header of two lines": b"X-A: 1\r\n B: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a NUL in a header": b"User-Agent: \0\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("rest", BROKEN.values(), ids=BROKEN)
def test_a_request_that_is_broken_on_the_wire_is_the_sender_s_mistake(
    site: Site, rest: bytes
) -> None:
    host, _, port = site.world.url.removeprefix("http://").rpartition(":")
    before = site.sql("SELECT id FROM delivery")
    with socket.create_connection((host, int(port)), timeout=30) as wire:
        wire.sendall(
            b"POST /v1/webhooks/alertmanager HTTP/1.1\r\nHost: x\r\n"
            b"Authorization: Bearer " + site.world.bearer.encode() + b"\r\n" + rest
        )
        wire.shutdown(socket.SHUT_WR)
        answer = wire.recv(100)
    assert answer.split(b" ")[1:2] == [b"400"], answer
    assert site.sql("SELECT id FROM delivery") == before


NEW = "whsec_" + "bmV3" * 10


def replaced(path: Path, text: str) -> None:
    """As careful operators and secret mounts do it: never seen half-written."""
    fresh = path.with_suffix(".fresh")
    fresh.write_text(text)
    fresh.replace(path)


def rewritten(path: Path, text: str) -> None:
    """As an editor or `>` does it: for a moment the file is empty."""
    path.write_text(text)


Write = Callable[[Path, str], None]


@pytest.mark.parametrize("write", [replaced, rewritten])
def test_a_secret_is_rotated_under_load(site: Site, write: Write) -> None:
    """First we know the new one, then the sender changes, then the old one goes: 0 refused."""
    folder = site.world.folder
    for name in ("rotated_new", "rotated_old"):
        write(folder / name, GENERIC.secret)
    senders = [simulated(site, replace(GENERIC, name="rotated")) for _ in range(4)]
    before = refused(site)

    def answered() -> None:
        told = [sum(one.answers.values()) for one in senders]
        eventually(
            lambda: all(
                sum(one.answers.values()) > n + 3 for one, n in zip(senders, told, strict=True)
            )
        )

    with telling(senders):
        answered()
        for old, new in ((GENERIC.secret, NEW), (NEW, GENERIC.secret)) * 3:
            write(folder / "rotated_new", new)
            answered()
            for one in senders:
                one.sender = replace(one.sender, secret=new)
            answered()
            write(folder / "rotated_old", new)
            answered()
            assert old != new
    assert [dict(one.answers) for one in senders] == [
        {202: len(one.acknowledged)} for one in senders
    ]
    assert refused(site) == before


def test_a_file_that_is_written_again_and_again_refuses_nobody(site: Site) -> None:
    """The same secret, so all that could refuse is the moment in which the file is empty."""
    senders = [simulated(site, replace(GENERIC, name="one_file")) for _ in range(4)]
    with telling(senders):
        for _ in range(300):
            rewritten(site.world.folder / "one_file", GENERIC.secret)
            time.sleep(0.005)  # an operator is slower still
        eventually(lambda: all(len(one.acknowledged) > 10 for one in senders))
    assert {status for one in senders for status in one.answers} == {202}
