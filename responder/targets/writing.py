"""The only place that changes a system under care: steps 2 and 4 of the fix protocol (DESIGN 7).

A session opens only for the id of a fix row that our database has committed, and never for one of
the responder's own at P0 or P1. It leaves its transaction open; the caller's last gate decides.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_loads

from responder.deadline import within
from responder.domain.actor import ActorKind
from responder.domain.secret import SecretMissing
from responder.domain.settings import Target
from responder.domain.severity import Severity
from responder.domain.shipped import shipped
from responder.domain.statements import Statement, parse_statements
from responder.targets.errors import connect_error, session_error
from responder.targets.logins import read_login
from responder.targets.rows import loads

CONNECT_SECONDS = 2
#: Everything of a fix on its target, the last gate between; then it is cut and rolled back.
SESSION_SECONDS = 30.0
_LIMITS = {"statement_ms": 5000, "lock_ms": 2000}
_FILE = shipped("sql") / "targets" / "writing.sql"
_SQL = parse_statements(_FILE.read_text(encoding="utf-8"), _FILE.name)
#: Binding any parameter forces the extended protocol, in which a second statement does not parse.
_BOUND = {"bound": "responder"}


_CONNECTION: dict[str, Any] = {
    "prepare_threshold": None,
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "responder",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


@dataclass(frozen=True)
class Permit:
    """What our database says of a committed fix row that is still `started`."""

    severity: Severity
    actor_kind: ActorKind


class NotPermitted(Exception):
    """There is no committed fix row that allows this session; nothing was opened."""


class RolledBack(Exception):
    """The change was not made; the target is as it was. The message says why."""


class AlreadyGone(RolledBack):
    """There was nothing left to change."""


class Busy(RolledBack):
    """Another fix of the same key is at work."""


class Outrun(RolledBack):
    """Somebody else changed the same rows meanwhile; it may be tried once more."""


class CommitLost(Exception):
    """The target's answer to COMMIT did not come; its fate must be asked for."""


class NotAsked(Exception):
    """The target could not be asked for the fate of a transaction; ask again later."""


class Fate(StrEnum):
    """What became of a transaction on a target."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    IN_PROGRESS = "in progress"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Change:
    """An option's statements with their parameters and its bounds.

    claims: as whom it acts on the target; empty: as nobody.
    """

    key: str
    apply: Statement
    before: Statement
    verify: Statement
    parameters: Mapping[str, Any]
    tables: Sequence[str]
    max_rows: int
    claims: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Made:
    """What an open transaction has changed; counts: rows by table."""

    xid: str
    system_identifier: str
    timeline: int
    counts: Mapping[str, int] = field(default_factory=dict)
    before: Sequence[Mapping[str, Any]] = ()
    after: Sequence[Mapping[str, Any]] = ()


class OpenFix:
    """A change that is made and not committed; leaving the `with` block rolls it back."""

    def __init__(self, connection: psycopg.Connection[DictRow], made: Made) -> None:
        self._connection = connection
        self.made = made

    def commit(self) -> None:
        """Step 4; CommitLost when nobody can say whether it happened."""
        try:
            self._connection.commit()
        except psycopg.Error as error:
            raise CommitLost(_said(error)) from error


@contextmanager
def make(
    target: Target, fix_id: UUID, permit_of: Callable[[UUID], Permit | None], change: Change
) -> Iterator[OpenFix]:
    """Step 2: make the change in one open transaction, checked from all sides.

    NotPermitted, or RolledBack (AlreadyGone, Busy, Outrun) with the target unchanged.
    """
    permit = permit_of(fix_id)
    if permit is None:
        raise NotPermitted(f"no committed fix {fix_id} is waiting to be made")
    if permit.actor_kind == ActorKind.RESPONDER and permit.severity.pages:
        raise NotPermitted(f"the responder never fixes at {permit.severity}")
    with _session(target) as connection:
        try:
            made = _change(connection, change)
            _flush(target, fix_id)
        except psycopg.errors.SerializationFailure as error:
            raise Outrun(_said(error)) from error
        except psycopg.Error as error:
            raise RolledBack(_said(error)) from error
        yield OpenFix(connection, made)


def fate(target: Target, made: Made) -> Fate:
    """What became of a recorded fix, asked on the target's primary; NotAsked when it cannot be."""
    try:
        with _session(target) as connection:
            server = _one(connection, "server", _BOUND)
            if server["standby"]:
                raise NotAsked("the target's server is a standby now")
            if (server["system_identifier"], server["timeline"]) != (
                made.system_identifier,
                made.timeline,
            ):
                return Fate.UNKNOWN
            return Fate(_one(connection, "fate", {"xid": made.xid})["fate"] or Fate.UNKNOWN)
    except psycopg.errors.InvalidParameterValue:
        return Fate.UNKNOWN  # "in the future": this server never handed that xid out
    except (psycopg.Error, RolledBack) as error:
        raise NotAsked(_said(error)) from error


@contextmanager
def _session(target: Target) -> Iterator[psycopg.Connection[DictRow]]:
    """A connection that works through a transaction pooler; rolled back and closed at the end."""
    if target.writing is None:
        raise RolledBack(f"target {target.name} has no fixing role configured")
    try:
        login = read_login(target.writing.value())
        connection = psycopg.connect(**login | _CONNECTION, row_factory=dict_row)
    except psycopg.ProgrammingError:  # its message would repeat the URL with its password
        wrong = f"the writing URL of target {target.name} is not one of PostgreSQL"
        raise RolledBack(wrong) from None
    except SecretMissing as missing:
        raise RolledBack(f"target {target.name}: {missing}") from None
    except psycopg.Error as error:
        why = connect_error(error).message
        raise RolledBack(f"the target cannot be reached: {why}") from None
    set_json_loads(loads, connection)
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    try:
        with within(connection, SESSION_SECONDS):
            yield connection
    finally:
        connection.close()


def _change(connection: psycopg.Connection[DictRow], change: Change) -> Made:
    claims = json.dumps(dict(change.claims)) if change.claims else ""
    _one(connection, "begin", {**_LIMITS, "claims": claims})
    lock = _one(connection, "lock", {"key": change.key})
    if lock["standby"]:
        raise RolledBack("the target's server is a standby: nothing can be changed there")
    if not lock["got"]:
        raise Busy("another fix of the same key is at work")
    identity = _one(connection, "identity", _BOUND)
    before = _rows(connection, change.before, change)
    if not before:
        raise AlreadyGone("there is nothing left to change")
    if len(before) > change.max_rows:
        raise RolledBack(f"more than {change.max_rows} rows would be changed")
    counted = _counters(connection)
    after = _rows(connection, change.apply, change)
    connection.execute(_SQL["check_constraints"].sql)
    verified = _rows(connection, change.verify, change)
    # Looked at last, so that nothing comes after it: not even the question just asked may write.
    counts = {
        name: changed - counted.get(name, 0)
        for name, changed in _counters(connection).items()
        if changed != counted.get(name, 0)
    }
    altered = connection.execute(_SQL["altered"].sql, _BOUND).fetchall()
    if altered:
        raise RolledBack(f"it also emptied or altered {', '.join(row['name'] for row in altered)}")
    _check(change, before, after, counts)
    if len(verified) != 1 or verified[0].get("gone") is not True:
        raise RolledBack("the cause would still be there after the change")
    return Made(
        identity["xid"], identity["system_identifier"], identity["timeline"], counts, before, after
    )


def _check(
    change: Change,
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
    counts: Mapping[str, int],
) -> None:
    """Nothing but the rows that were looked at before, in the tables that were named."""
    strange = sorted(set(counts) - set(change.tables))
    if strange:
        raise RolledBack(f"it also changed {', '.join(strange)}, which the option does not name")
    total = sum(counts.values())
    if total > change.max_rows:
        raise RolledBack(f"it changed {total} rows, more than {change.max_rows}")
    changed = counts.get(change.tables[0], 0)
    if changed != len(before):
        raise RolledBack(f"it changed {changed} rows, but {len(before)} were looked at before")
    if all("id" in row for row in (*before, *after)) and after:
        others = {row["id"] for row in after} ^ {row["id"] for row in before}
        if others:
            raise RolledBack("it changed other rows than those that were looked at before")


def _rows(
    connection: psycopg.Connection[DictRow], statement: Statement, change: Change
) -> list[Mapping[str, Any]]:
    """Rows as JSON; a change that returns nothing is run as it is, in the extended protocol."""
    parameters = {**change.parameters, "responder_cap": change.max_rows + 1}
    sql = statement.sql
    first = sql.split(None, 1)[0].lower()
    if first in ("select", "with"):
        sql = f"SELECT to_jsonb(q) AS row FROM (\n{sql}\n) q LIMIT %(responder_cap)s"
    elif "returning" in sql.lower():
        sql = f"WITH q AS (\n{sql}\n) SELECT to_jsonb(q) AS row FROM q LIMIT %(responder_cap)s"
    cursor = connection.execute(sql, parameters, binary=True)
    return [row["row"] for row in cursor.fetchall()] if cursor.description else []


def _counters(connection: psycopg.Connection[DictRow]) -> dict[str, int]:
    rows = connection.execute(_SQL["counters"].sql, _BOUND).fetchall()
    return {row["name"]: row["changed"] for row in rows}


def _one(
    connection: psycopg.Connection[DictRow], name: str, parameters: Mapping[str, Any]
) -> DictRow:
    row = connection.execute(_SQL[name].sql, parameters).fetchone()
    assert row is not None
    return row


def _flush(target: Target, fix_id: UUID) -> None:
    with _session(target) as connection:
        _one(connection, "begin", {**_LIMITS, "claims": ""})
        _one(connection, "flush", {"fix": str(fix_id)})
        connection.commit()


def _said(error: Exception) -> str:
    return session_error(error).message if isinstance(error, psycopg.Error) else str(error)
