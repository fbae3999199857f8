"""The schema is brought up once, by one process, or refused with what to do about it."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import psycopg
import pytest

from responder.domain.shipped import shipped
from responder.store.migrations import MigrationRefused, migrate, pending, read_migrations

FIRST = "CREATE TABLE one (a int); INSERT INTO one VALUES (1);"
SECOND = "ALTER TABLE one ADD b int;"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two migrations."""
    write(tmp_path, "0001_one", FIRST)
    write(tmp_path, "0002_two", SECOND)
    return tmp_path


def write(folder: Path, name: str, sql: str) -> None:
    (folder / f"{name}.sql").write_text(sql, encoding="utf-8")


def rows(url: str, statement: str) -> Sequence[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement).fetchall()


def applied(url: str) -> list[str]:
    return [name for (name,) in rows(url, "SELECT name FROM responder.migration ORDER BY number")]


def until_one_waits(connection: psycopg.Connection[Any]) -> None:
    """Somebody wants a lock that is not free."""
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation IS NOT NULL"
    deadline = time.monotonic() + 30
    while connection.execute(waits).fetchone() == (0,):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_missing_is_applied_once(empty_database: str, folder: Path) -> None:
    assert migrate(empty_database, folder) == ["0001_one", "0002_two"]
    assert migrate(empty_database, folder) == []
    assert rows(empty_database, "SELECT a, b FROM responder.one") == [(1, None)]

    write(folder, "0003_three", "UPDATE one SET b = 2;")
    assert migrate(empty_database, folder) == ["0003_three"]
    assert rows(empty_database, "SELECT a, b FROM responder.one") == [(1, 2)]
    assert applied(empty_database) == ["0001_one", "0002_two", "0003_three"]


def test_of_many_at_once_one_applies_and_all_are_fine(empty_database: str, folder: Path) -> None:
    # Slow, so that the others come while it is under way.
    write(folder, "0003_three", "SELECT pg_sleep(0.3); INSERT INTO one VALUES (3);")
    together = Barrier(4)

    def start(_: int) -> list[str]:
        together.wait()
        return migrate(empty_database, folder)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(start, range(4)))
    assert sorted(done) == [[], [], [], ["0001_one", "0002_two", "0003_three"]]
    assert rows(empty_database, "SELECT count(*) FROM responder.one") == [(2,)]


def test_a_migration_that_fails_leaves_nothing(empty_database: str, folder: Path) -> None:
    write(folder, "0002_two", "CREATE TABLE two (); INSERT INTO one VALUES (2); SELECT 1 / 0;")
    write(folder, "0003_three", "CREATE TABLE three ();")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty_database, folder)
    assert applied(empty_database) == ["0001_one"]
    assert rows(empty_database, "SELECT a FROM responder.one") == [(1,)]
    assert rows(empty_database, "SELECT to_regclass('responder.two')") == [(None,)]

    # Nobody holds the lock, and what was mended goes on from there.
    write(folder, "0002_two", SECOND)
    assert migrate(empty_database, folder) == ["0002_two", "0003_three"]


def test_a_file_that_was_changed_is_refused(empty_database: str, folder: Path) -> None:
    migrate(empty_database, folder)
    write(folder, "0001_one", FIRST + " -- only a remark")
    write(folder, "0003_three", "CREATE TABLE three ();")
    with pytest.raises(MigrationRefused) as refused:
        migrate(empty_database, folder)
    assert "0001_one was changed after it was applied" in str(refused.value)
    assert "restore the file" in str(refused.value)
    assert applied(empty_database) == ["0001_one", "0002_two"]


def test_a_database_newer_than_the_code_is_refused(empty_database: str, folder: Path) -> None:
    write(folder, "0003_three", "CREATE TABLE three ();")
    migrate(empty_database, folder)
    (folder / "0003_three.sql").unlink()
    with pytest.raises(MigrationRefused) as refused:
        migrate(empty_database, folder)
    assert "0003_three, which this code does not know" in str(refused.value)
    assert "run the newer code" in str(refused.value)


def test_nobody_waits_behind_a_migration_that_waits(empty_database: str, folder: Path) -> None:
    """Somebody reads a table for long; whoever else wants it has it, and the migration later."""
    migrate(empty_database, folder)
    write(folder, "0003_three", "ALTER TABLE one ADD c int;")
    with ThreadPoolExecutor(1) as pool, psycopg.connect(empty_database) as holder:
        holder.execute("SELECT FROM responder.one")
        migrating = pool.submit(migrate, empty_database, folder)
        with psycopg.connect(empty_database, autocommit=True) as other:
            other.execute("SET lock_timeout = '5s'")
            until_one_waits(other)
            other.execute("INSERT INTO responder.one VALUES (3)")
            assert not migrating.done()
        holder.rollback()
        assert migrating.result(timeout=60) == ["0003_three"]


def test_code_goes_back_to_a_newer_database(empty_database: str, folder: Path) -> None:
    """What the release before this one adds to its start: nothing is missing."""
    write(folder, "0003_three", "CREATE TABLE three ();")
    migrate(empty_database, folder)
    (folder / "0003_three.sql").unlink()
    assert pending(empty_database, folder) == []


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("0004_four", "without gaps, found [1, 2, 4]"),
        ("0002_twin", "without gaps, found [1, 2, 2]"),
        ("0000_zero", "without gaps, found [0, 1, 2]"),
        ("3_three", "3_three.sql: name it like 0001_what_it_does.sql"),
        ("0003-three", "0003-three.sql: name it like"),
        ("0003_Three", "0003_Three.sql: name it like"),
    ],
)
def test_files_that_are_no_sequence_are_refused(
    empty_database: str, folder: Path, name: str, complaint: str
) -> None:
    write(folder, name, "CREATE TABLE more ();")
    with pytest.raises(MigrationRefused) as refused:
        migrate(empty_database, folder)
    assert complaint in str(refused.value)
    assert rows(empty_database, "SELECT to_regnamespace('responder')") == [(None,)]


def test_they_are_read_in_order(folder: Path) -> None:
    assert [migration.name for migration in read_migrations(folder)] == ["0001_one", "0002_two"]
    assert read_migrations(folder)[0].sql == FIRST


def test_what_is_pending_is_told_and_not_applied(empty_database: str, database: str) -> None:
    names = [each.name for each in read_migrations(shipped("sql") / "migrations")]
    assert pending(empty_database) == names
    assert rows(empty_database, "SELECT to_regnamespace('responder')") == [(None,)]
    assert pending(database) == []


def test_pending_refuses_what_migrate_refuses(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE responder.migration SET checksum = 'x' WHERE number = 1")
    with pytest.raises(MigrationRefused, match="was changed after it was applied"):
        pending(database)
