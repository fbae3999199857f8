"""Brings our database to the schema that this code needs; forward only, one process at a time."""

import hashlib
import re
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from responder.domain.secret import Secret, SecretMissing
from responder.domain.shipped import shipped
from responder.store.queries import QUERIES

#: What a command catches when the database cannot be reached.
DatabaseAway = (psycopg.OperationalError, psycopg.ProgrammingError)
#: "resp" in ASCII; nobody else's advisory lock.
LOCK = 0x72657370
#: Seconds for which a lock is tried for; whoever comes after us waits as long.
_TRY = 0.5
#: Seconds between two attempts, and until they end.
_PAUSE, _PATIENCE = 1.0, 300.0


class MigrationRefused(Exception):
    """The database or the files are not what they must be; the message says what to do."""


@dataclass(frozen=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(folder: Path) -> list[Migration]:
    """The migrations of a folder in order; MigrationRefused for gaps and twins."""
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        name = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", path.name)
        if not name:
            raise MigrationRefused(f"{path.name}: name it like 0001_what_it_does.sql")
        found.append(Migration(int(name[1]), path.stem, path.read_text(encoding="utf-8")))
    numbers = [migration.number for migration in found]
    if numbers != list(range(1, len(found) + 1)):
        raise MigrationRefused(f"the migrations must be 1, 2, 3... without gaps, found {numbers}")
    return found


def migrate(url: str, folder: Path | None = None, grant_to: str | None = None) -> list[str]:
    """Apply what is missing and return the names; each migration is one transaction.

    The release before works meanwhile: a lock that is not free is not waited for long, since all
    others would wait behind us, but tried for again.

    grant_to: the role that the responder runs as, where it is not this one. MigrationRefused: an
    applied file was changed, the database is newer than this code, there is no such role, or a
    table was in use for five minutes.
    """
    migrations = read_migrations(folder or shipped("sql") / "migrations")
    options = "-c lock_timeout=60s -c timezone=UTC"
    with psycopg.connect(url, autocommit=True, options=options) as connection:
        connection.execute(QUERIES["lock_migrations"].sql, {"lock": LOCK})
        try:
            names = [migration.name for migration in _missing(connection, migrations)]
            _finish_indexes(connection)
            if grant_to is not None:
                connection.execute(QUERIES["grant_to"].sql, {"role": grant_to})
            return names
        except psycopg.errors.UndefinedObject:
            raise MigrationRefused(f"there is no role {grant_to!r}; create it first") from None
        finally:
            connection.execute(QUERIES["unlock_migrations"].sql, {"lock": LOCK})


def pending(url: str, folder: Path | None = None) -> list[str]:
    """The names of the migrations that the database lacks, without applying any.

    A newer database is as good: migrations only add, so that one may go back to the code before.
    """
    migrations = read_migrations(folder or shipped("sql") / "migrations")
    with psycopg.connect(url, autocommit=True, connect_timeout=3) as connection:
        applied = _applied(connection)
        _refuse_changed(applied, migrations)
        return [migration.name for migration in migrations if migration.number not in applied]


def _missing(
    connection: psycopg.Connection[tuple[object, ...]], migrations: list[Migration]
) -> list[Migration]:
    connection.execute(QUERIES["make_schema"].sql)
    connection.execute(QUERIES["make_migration_table"].sql)
    applied = _applied(connection)
    _refuse_newer(applied, migrations)
    _refuse_changed(applied, migrations)
    missing = [migration for migration in migrations if migration.number not in applied]
    for migration in missing:
        _apply(connection, migration)
    return missing


def _apply(connection: psycopg.Connection[tuple[object, ...]], migration: Migration) -> None:
    told = {"number": migration.number, "name": migration.name, "checksum": migration.checksum}
    ends = time.monotonic() + _PATIENCE
    while True:
        try:
            with connection.transaction():
                connection.execute(QUERIES["use_schema"].sql, {"patience": f"{_TRY}s"})
                connection.execute(migration.sql.encode())
                connection.execute(QUERIES["insert_migration"].sql, told)
                return
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > ends:
                raise MigrationRefused(
                    f"{migration.name} waits for a table that somebody holds; see who in"
                    " pg_stat_activity, and run it again"
                ) from None
            time.sleep(_PAUSE)


def _finish_indexes(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Make the indexes of partitions that were there before, one by one, while everything works.

    Where it was broken off it goes on the next time.
    """
    for commands in connection.execute(QUERIES["unfinished_indexes"].sql).fetchall():
        for command in filter(None, commands):
            connection.execute(str(command).encode())


def _applied(connection: psycopg.Connection[tuple[object, ...]]) -> dict[int, tuple[str, str]]:
    there = connection.execute(QUERIES["migration_table"].sql).fetchone()
    if there is None or there[0] is None:
        return {}
    rows = connection.execute(QUERIES["applied_migrations"].sql).fetchall()
    return {int(str(number)): (str(name), str(checksum)) for number, name, checksum in rows}


def _refuse_newer(applied: dict[int, tuple[str, str]], migrations: list[Migration]) -> None:
    known = {migration.number for migration in migrations}
    for number, (name, _) in applied.items():
        if number not in known:
            raise MigrationRefused(
                f"the database has migration {name}, which this code does not know:"
                " it is newer; run the newer code"
            )


def _refuse_changed(applied: dict[int, tuple[str, str]], migrations: list[Migration]) -> None:
    known = {migration.number: migration for migration in migrations}
    for number, (name, checksum) in applied.items():
        if number in known and known[number].checksum != checksum:
            raise MigrationRefused(
                f"migration {name} was changed after it was applied; restore the file and"
                " put the change into a new migration"
            )


def why_away(error: Exception) -> str:
    """Why our database cannot be reached, without any part of its URL: a password may be in it."""
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, psycopg.ProgrammingError) or "connection is bad: invalid" in text:
        return "its URL is not one of PostgreSQL"
    if "resolve host" in text or "translate host name" in text:
        return "the host's name cannot be resolved"
    return text.rpartition("failed: ")[2]


def same_server(url: str, target: Secret) -> bool:
    """Whether a target is on the very server of our own database; unknown counts as no."""
    try:
        ours, theirs = _system_identifier(url), _system_identifier(target.value())
    except (psycopg.Error, SecretMissing):
        return False
    return ours == theirs


def _system_identifier(url: str) -> object:
    with psycopg.connect(url, autocommit=True, connect_timeout=3) as connection:
        row = connection.execute(QUERIES["system_identifier"].sql).fetchone()
    assert row is not None
    return row[0]
