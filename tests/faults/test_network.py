"""The network between hosts is cut in silence and healed, one after the other, in a storm.

Two web and two worker hosts, our database, a target and a pager, each with an address of its own.
Nobody is told of a cut: packets are lost, and connections stay open until somebody notices.
`TORTURE` in the environment cuts for longer.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from responder.embedded import LocalPostgres, tied
from responder.store.slots import Slots
from tests.conftest import _memory
from tests.faults.large_site import AT_REST, RULES, LargeSite, open_large_site, until
from tests.faults.ledger import Ledger
from tests.faults.long import only_in_torture
from tests.faults.machine import Machine
from tests.faults.network import (
    OURS,
    RECEIVER,
    TARGET,
    Ground,
    Host,
    NotPermitted,
    let_in,
    network,
)
from tests.faults.senders import Senders, Traffic

LONG = "TORTURE" in os.environ
#: Seconds of a short cut, of the one in the middle of a fix, and in which a silence is noticed.
CUT, IN_A_FIX, NOTICED = (20.0, 60.0, 14.0) if LONG else (3.0, 15.0, 14.0)
HOSTS = ("web_1", "web_2", "worker_1", "worker_2")
#: So long a change of the target takes, so that it can be met in the middle.
_SLOWED = """
CREATE FUNCTION wait_a_moment() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(1); RETURN NEW; END $$;
CREATE TRIGGER slowed BEFORE UPDATE ON thing FOR EACH ROW EXECUTE FUNCTION wait_a_moment();
"""


@dataclass
class Spread:
    """A large site on hosts of their own."""

    site: LargeSite
    hosts: dict[str, Host]

    def sessions(self, host: Host) -> set[int]:
        """The ports from which a host is connected, as our database knows it."""
        rows = self.site.sql(
            "SELECT client_port FROM pg_stat_activity WHERE host(client_addr) = %s", host.address
        )
        return {row["client_port"] for row in rows}

    def in_a_fix(self) -> Host | None:
        """The host of a worker that is in the middle of a change."""
        with psycopg.connect(self.site.target.url()) as connection:
            row = connection.execute(
                "SELECT host(client_addr) FROM pg_stat_activity"
                " WHERE usename = 'responder_writing' AND wait_event = 'PgSleep'"
            ).fetchone()
        found = [host for host in self.hosts.values() if row and host.address == row[0]]
        return found[0] if found else None


def ports(host: Host) -> set[int]:
    """The ports from which a host is connected to our database, as the host knows it."""
    listed = subprocess.run(
        [*host.prefix, "ss", "-Htn", "state", "established", "dst", OURS],
        capture_output=True,
        text=True,
        check=True,
    )
    return {int(line.split()[2].rpartition(":")[2]) for line in listed.stdout.splitlines()}


@contextmanager
def ours_on(folder: Path) -> Iterator[str]:
    """The URL of an empty database of ours that hosts reach."""
    folder.chmod(0o755)
    settings = {"listen_addresses": OURS, "max_connections": "200"}
    with LocalPostgres(folder / "ours", settings=settings) as server:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE responder")
        yield let_in(server, OURS, "responder")


@contextmanager
def network_or_skip(*names: str) -> Iterator[dict[str, Host]]:
    with ExitStack() as stack:
        try:
            hosts = stack.enter_context(network(*names))
        except NotPermitted as why:
            pytest.skip(str(why))
        yield hosts


@pytest.fixture(scope="module")
def spread() -> Iterator[Spread]:
    with (
        network_or_skip(*HOSTS) as hosts,
        TemporaryDirectory(prefix="network-", dir=_memory()) as name,
        ours_on(Path(name)) as ours,
    ):
        ground = Ground([*hosts.values()], TARGET, RECEIVER)
        with open_large_site(Path(name) / "site", ours, workers=2, ground=ground) as site:
            for shard in site.shards:
                with psycopg.connect(site.target.url(f"shop_{shard}")) as connection:
                    connection.execute(_SLOWED)
            yield Spread(site, hosts)


@contextmanager
def storm(spread: Spread, seed: int, told: Callable[[str], None]) -> Iterator[None]:
    """Senders send until the block ends; then all comes to rest, and the ledger is judged."""
    site = spread.site
    with Machine() as machine:
        ledger = Ledger(site.services, machine)
        traffic = Traffic(seed, RULES, ledger)
        with Senders(site.doors, site.bearer, traffic.next, ledger) as senders:
            yield
            for host in spread.hosts.values():
                host.heal()
            senders.finish(AT_REST)
        site.rest()
    ledger.judge(site, told)


def cut_for(host: Host, seconds: float, *addresses: str) -> None:
    host.cut(*addresses)
    time.sleep(seconds)
    host.heal()


@only_in_torture
def test_cut_and_healed_in_a_storm(spread: Spread, told: Callable[[str], None]) -> None:
    """The worker that is cut off in the middle of a fix is silent until after its successor."""
    hosts = spread.hosts
    with storm(spread, 7, told):
        until(spread.in_a_fix, AT_REST)
        lost = spread.in_a_fix() or hosts["worker_1"]
        other = next(hosts[name] for name in HOSTS[2:] if hosts[name] is not lost)
        before = spread.sessions(lost)
        began = time.monotonic()
        lost.cut(OURS, TARGET, RECEIVER)
        cut_for(hosts["web_1"], CUT, OURS)
        time.sleep(1)
        cut_for(other, CUT, TARGET)
        time.sleep(max(0.0, began + NOTICED - time.monotonic()))
        assert not spread.sessions(lost), "our database holds what a host that is gone has locked"
        assert not before & ports(lost), "the host waits for answers that never come"
        time.sleep(max(0.0, began + IN_A_FIX - time.monotonic()))
        lost.heal()
        healed = time.monotonic()
        until(lambda: len(spread.sessions(lost)) > 1, AT_REST)
        told(
            f"{lost.name} was cut off in a fix, and came back {time.monotonic() - healed:.1f} s"
            f" after {healed - began:.0f} s"
        )


#: Holds the one place for a fix, and has idle connections, too.
_HOLDER = """
import sys, time
from responder.store import Store
from responder.store.slots import Slots
store = Store(sys.argv[1], 2, "test")
store.open()
with store.transaction():
    pass
with Slots(sys.argv[1]).writing("shop", 5) as got:
    print(got, flush=True)
    time.sleep(600)
"""


def test_both_sides_notice_a_silence() -> None:
    """A host is gone without a word: what it has locked is free, and it waits for nothing."""
    with (
        network_or_skip("gone") as hosts,
        TemporaryDirectory(prefix="network-", dir=_memory()) as name,
        ours_on(Path(name)) as ours,
    ):
        gone = hosts["gone"]
        with holding(gone, ours):
            held = ports(gone)
            assert len(held) >= 2
            gone.cut(OURS)
            slots = Slots(ours)
            with closing(slots), slots.writing("shop", NOTICED) as got:
                assert got, "its locks are still held"
            until(lambda: not held & ports(gone), NOTICED)


@contextmanager
def holding(host: Host, ours: str) -> Iterator[None]:
    command = [*host.prefix, sys.executable, "-c", _HOLDER, ours]
    with subprocess.Popen(
        tied(shutil.which(command[0]) or "", *command[1:]), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "True\n"
            yield
        finally:
            process.kill()
