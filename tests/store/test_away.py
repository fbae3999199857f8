"""Our database goes away for a while and comes back."""

import os
import signal
import time
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

from responder.embedded import LocalPostgres
from responder.store import DEADLINE, Fenced, Store, StoreAway


def test_a_database_that_is_back_is_used_at_once_however_long_it_was_away() -> None:
    with LocalPostgres(durable=False, settings={"max_connections": "20"}) as server:
        store = Store(server.url(), 2, "test")
        store.open()
        with store.transaction() as tx:
            before = tx.now
        assert store.late_at == float("-inf")
        server.stop(keep=True)
        for _ in range(3):  # each waits for three seconds, the pool ever longer between attempts
            with pytest.raises(StoreAway), store.transaction():
                pytest.fail("it is away")
        away = store.late_at
        assert away > 0
        server.start()
        with store.transaction() as tx:
            assert tx.now > before
        assert store.late_at >= away
        store.close()


def test_a_connection_that_was_ended_just_now_is_replaced_unseen(database: str) -> None:
    """It is not asked whether it lives, as it was in use a moment ago; but its end is heard."""
    store = Store(database, 1, "test")
    store.open()
    with store.transaction() as tx:
        (before,) = tx.connection.execute("SELECT pg_backend_pid() AS id").fetchall()
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [before["id"]])
    with store.transaction() as tx:
        (after,) = tx.connection.execute("SELECT pg_backend_pid() AS id").fetchall()
    assert after["id"] != before["id"]
    store.close()


@pytest.mark.parametrize("commits", [True, False], ids=["commit", "rollback"])
def test_a_server_that_stands_still_at_the_end_is_cut_off(database: str, commits: bool) -> None:
    """Its statements were answered; what is waited for is the end of the transaction."""
    store = Store(database, 1, "test")
    store.open()
    began = time.monotonic()
    with pytest.raises(StoreAway if commits else Fenced), store.transaction() as tx:
        (backend,) = tx.connection.execute("SELECT pg_backend_pid() AS id").fetchall()
        os.kill(backend["id"], signal.SIGSTOP)
        if not commits:
            raise Fenced
    assert time.monotonic() - began < DEADLINE + 3
    os.kill(backend["id"], signal.SIGCONT)
    store.close()


def test_a_database_that_only_reads_is_away_and_its_connections_are_left(database: str) -> None:
    """A standby behind the address answers; whoever is primary by then is reached at once."""
    store = Store(database, 1, "test")
    with psycopg.connect(database, autocommit=True) as admin:
        name = sql.Identifier(admin.info.dbname)
        change = "ALTER DATABASE {} SET default_transaction_read_only = on"
        admin.execute(sql.SQL(change).format(name))
        store.open()
        with store.transaction() as tx:
            tx.one("health", overdue=timedelta(), dead_after=timedelta())
        assert store.late_at == float("-inf")
        with pytest.raises(StoreAway), store.transaction() as tx:
            tx.run("pinged")
        assert store.late_at > 0
        admin.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(name))
        with store.transaction() as tx:
            assert tx.run("pinged") == 1
    store.close()
