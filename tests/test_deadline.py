"""A server that stands still, its sockets open: nothing of ours waits for it for ever."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from responder import __version__
from responder.deadline import within
from responder.embedded import LocalPostgres
from responder.store import Store, StoreAway


@contextmanager
def standing_still(server: LocalPostgres) -> Iterator[None]:
    """SIGSTOP for the postmaster and all its backends."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        pids = [row[0] for row in connection.execute("SELECT pid FROM pg_stat_activity")]
    pids = [server.pid, *(pid for pid in pids if _alive(pid))]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            if _alive(pid):
                os.kill(pid, signal.SIGCONT)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_silent_database_is_away_and_comes_back() -> None:
    with LocalPostgres(durable=False) as server:
        store = Store(server.url(), 2, __version__)
        store.open()
        with store.transaction() as tx:
            assert tx.one("now")["now"]
        with standing_still(server), pytest.raises(StoreAway), store.transaction():
            pytest.fail("it answered")
        with store.transaction() as tx:
            assert tx.one("now")["now"]
        store.close()


def test_only_who_is_late_is_cut(database: str) -> None:
    with psycopg.connect(database) as quick, psycopg.connect(database) as slow:
        began = time.monotonic()
        with pytest.raises(psycopg.OperationalError), within(quick, 60), within(slow, 0.3):
            slow.execute("SELECT pg_sleep(30)")
        assert time.monotonic() - began < 15
        assert quick.execute("SELECT 1").fetchone() == (1,)
