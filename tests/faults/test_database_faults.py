"""Our PostgreSQL fails in every way that it has, while alerts come in.

While it lasts senders hear 503 and when to try again, and whoever must be woken is woken by the
process that has heard of it; afterwards everything comes in. `TORTURE=200` is the long form.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from responder.embedded import LocalPostgres
from tests.faults.large_site import PATIENCE, until
from tests.faults.load import Load, under_load
from tests.faults.long import alone
from tests.faults.processes import kill

pytestmark = alone

SEED = int(os.environ.get("TORTURE_SEED", "7"))
#: How often each fault happens, and how many seconds it lasts at most.
ROUNDS, LASTS = (4, 10.0) if "TORTURE" in os.environ else (1, 2.5)
RULES = 12 + 6 * ROUNDS
#: Our database with all its log is well below this; what is left is taken away.
DISK = "512m"
#: More than ours ever need, and few enough to be taken by a stranger.
CONNECTIONS = "120"
Fault = Callable[[Load], Any]


@contextmanager
def restarted(load: Load) -> Iterator[None]:
    """Shut down in order."""
    load.ours.stop(keep=True)
    yield
    load.ours.start()


@contextmanager
def restarted_at_once(load: Load) -> Iterator[None]:
    """The immediate shutdown: it recovers from its log."""
    os.kill(load.ours.pid, signal.SIGQUIT)
    load.ours.stop(keep=True)
    yield
    load.ours.start()


@contextmanager
def killed(load: Load) -> Iterator[None]:
    load.ours.kill()
    yield
    load.ours.start()


@contextmanager
def a_session_killed(load: Load) -> Iterator[None]:
    """As the kernel does when memory is short: the server throws all others out and recovers."""
    sessions = load.site.sql(
        "SELECT pid FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    kill(sessions[0]["pid"])
    yield


@contextmanager
def out_of_connections(load: Load) -> Iterator[None]:
    """A stranger has all of them, those of ours too."""
    with ExitStack() as taken:
        first = taken.enter_context(
            psycopg.connect(load.ours.url(), autocommit=True, application_name="stranger")
        )
        stop = threading.Event()
        taking = threading.Thread(target=_take_all, args=(load.ours.url(), first, taken, stop))
        taking.start()
        try:
            yield
        finally:
            stop.set()
            taking.join()


def _take_all(
    url: str, first: psycopg.Connection[Any], taken: ExitStack, stop: threading.Event
) -> None:
    """Whenever nothing is left, those that are not the stranger's are ended, and taken, too."""
    while not stop.wait(0.005):
        try:
            connection = psycopg.connect(url, application_name="stranger")
            taken.callback(connection.close)
        except psycopg.OperationalError:
            first.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND application_name <> 'stranger'"
            )


@contextmanager
def disk_full(load: Load) -> Iterator[None]:
    """Another program has written all of it full; the server may stop, since it can log no more."""
    assert load.disk is not None
    ballast = load.disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 65_536)
    yield
    refused = load.ledger.answers[503]  # until then it wrote into what it had before
    until(lambda: load.ledger.answers[503] > refused, PATIENCE)
    ballast.unlink()
    process = load.ours._process
    if process is not None and process.poll() is not None:
        load.ours.stop(keep=True)
        load.ours.start()


@contextmanager
def read_only(load: Load) -> Iterator[None]:
    """As a standby is, behind the same address."""
    options = "-c default_transaction_read_only=off"
    with psycopg.connect(load.ours.url(), autocommit=True, options=options) as connection:
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.execute("SELECT pg_reload_conf()")
        yield
        connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
        connection.execute("SELECT pg_reload_conf()")


FAULTS = (
    restarted,
    restarted_at_once,
    killed,
    a_session_killed,
    out_of_connections,
    read_only,
    disk_full,
)


@contextmanager
def small_disk(told: Callable[[str], None]) -> Iterator[Path | None]:
    """A disk of its own for our database; none where nobody may mount."""
    with TemporaryDirectory(prefix="disk-") as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0755", "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            told(f"not tried: a disk that is full, since mount says: {done.stderr.strip()}")
            yield None
            return
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def strike(load: Load, fault: Fault) -> str:
    """One fault, with a page that was accepted just before it, and one that comes meanwhile."""
    before = load.senders.also(load.traffic.fault())
    until(lambda: not before.is_alive(), PATIENCE)
    refused, began = load.ledger.answers[503], time.monotonic()
    with fault(load):
        load.senders.also(load.traffic.fault())
        time.sleep(LASTS)
    over = time.monotonic()
    until(lambda: all(web.ready for web in load.site.webs), PATIENCE)
    times = f"{over - began:.1f} s, ready again {time.monotonic() - over:.1f} s later"
    return f"{fault.__name__}: {times}, {load.ledger.answers[503] - refused} times 503"


def test_our_database_fails_in_every_way(told: Callable[[str], None]) -> None:
    settings = {"max_connections": CONNECTIONS, "min_wal_size": "32MB", "max_wal_size": "64MB"}
    with small_disk(told) as disk, TemporaryDirectory(prefix="ours-") as other:
        Path(other).chmod(0o755)
        with (
            LocalPostgres((disk or Path(other)) / "ours", settings=settings) as ours,
            under_load(SEED, RULES, ours) as load,
        ):
            load.disk = disk
            for _ in range(ROUNDS):
                for fault in FAULTS if disk else FAULTS[:-1]:
                    told(strike(load, fault))
            load.settle(told)
            assert load.ledger.answers[503], "nobody was refused, so nothing is proven"
