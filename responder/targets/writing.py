"""The only place that changes a system under care: steps 2 and 4 of the fix protocol (DESIGN 7).

A session opens only for the id of a fix row that our database has committed, and never for one of
the responder's own at P0 or P1. It leaves its transaction open; the caller's last gate decides.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from responder.deadline import within
from responder.domain.actor import ActorKind
from responder.domain.numbers import exact
from responder.domain.secret import Secret, SecretMissing
from responder.domain.settings import Target
from responder.domain.severity import Severity
from responder.domain.shipped import shipped
from responder.domain.statements import Statement, parse_statements
from responder.targets.errors import connect_error, session_error
from responder.targets.logins import read_login

CONNECT_SECONDS = 2
#: Everything of a fix on its target, the last gate between; then it is cut and rolled back.
SESSION_SECONDS = 30.0
_LIMITS = {"statement_ms": 5000, "lock_ms": 2000}
_FILE = shipped("sql") / "targets" / "writing.sql"
_SQL = parse_statements(_FILE.read_text(encoding="utf-8"), _FILE.name)
#: Binding any parameter forces the extended protocol, in which a second statement does not parse.
_BOUND = {"bound": "responder"}


Session = psycopg.Connection[DictRow]
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
    """There was nothing left to change; left: the ids of the rows that an undo left for that."""

    def __init__(self, why: str, left: Sequence[str] = ()) -> None:
        super().__init__(why)
        self.left = left


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

    claims: as whom it acts on the target; empty: as nobody. look_after: what the rows are like
    then, where `apply` does not return them; it binds `before`.
    """

    key: str
    apply: Statement
    before: Statement
    verify: Statement
    parameters: Mapping[str, Any]
    tables: Sequence[str]
    max_rows: int
    claims: Mapping[str, str] = field(default_factory=dict)
    look_after: Statement | None = None

    def carry_out(self, connection: Session) -> "Made":
        return _change(connection, self)

    @property
    def texts(self) -> dict[str, str]:
        """Its statements, as the fix keeps them."""
        return {"before": self.before.sql, "apply": self.apply.sql, "verify": self.verify.sql}


@dataclass(frozen=True)
class Made:
    """What an open transaction has changed; counts: rows by table.

    xid: None for what runs outside of a transaction. before, after: JSON arrays as the target wrote
    them, so that no digit is lost. left: the ids of the rows that an undo left as they are.
    """

    xid: str | None
    system_identifier: str
    timeline: int
    counts: Mapping[str, int] = field(default_factory=dict)
    before: str = "[]"
    after: str = "[]"
    left: Sequence[str] = ()


class Work(Protocol):
    """What is done in the open transaction of a fix; RolledBack, or what it has changed."""

    def carry_out(self, connection: Session) -> Made: ...


class OpenFix:
    """A change that is made and not committed; leaving the `with` block rolls it back."""

    def __init__(self, connection: Session, made: Made, target: Target) -> None:
        self._connection, self._target = connection, target
        self.made = made

    def commit(self) -> None:
        """Step 4; CommitLost when nobody can say whether it happened."""
        try:
            self._connection.commit()
        except psycopg.Error as error:
            raise CommitLost(said(error, self._target)) from error


@contextmanager
def make(
    target: Target, fix_id: UUID, permit_of: Callable[[UUID], Permit | None], work: Work
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
            made = work.carry_out(connection)
            _flush(target, fix_id)
        except psycopg.errors.SerializationFailure as error:
            raise Outrun(said(error, target)) from error
        except psycopg.Error as error:
            raise RolledBack(said(error, target)) from error
        yield OpenFix(connection, made, target)


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
        raise NotAsked(said(error, target)) from error


@contextmanager
def _session(target: Target) -> Iterator[Session]:
    """A connection that works through a transaction pooler; rolled back and closed at the end."""
    if target.writing is None:
        raise RolledBack(f"target {target.name} has no fixing role configured")
    connection = connect(target, "writing", target.writing)
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    try:
        with within(connection, SESSION_SECONDS):
            yield connection
    finally:
        connection.close()


def connect(target: Target, key: str, url: Secret) -> psycopg.Connection[DictRow]:
    """A connection to the URL that stands under this key of the target's settings. RolledBack."""
    try:
        login = read_login(url.value())
        connection = psycopg.connect(**login | _CONNECTION, row_factory=dict_row)
    except psycopg.ProgrammingError:  # its message would repeat the URL with its password
        wrong = f"the {key} URL of target {target.name} is not one of PostgreSQL"
        raise RolledBack(wrong) from None
    except SecretMissing as missing:
        raise RolledBack(f"target {target.name}: {missing}") from None
    except psycopg.Error as error:
        why = target.redact.text(connect_error(error).message)
        raise RolledBack(f"the target cannot be reached: {why}") from None
    return connection


def begin(connection: Session, key: str, claims: Mapping[str, str]) -> DictRow:
    """The limits, the lock of the key, and which transaction this is; RolledBack, Busy."""
    told = json.dumps(dict(claims)) if claims else ""
    _one(connection, "begin", {**_LIMITS, "claims": told})
    lock = _one(connection, "lock", {"key": key})
    if lock["standby"]:
        raise RolledBack("the target's server is a standby: nothing can be changed there")
    if not lock["got"]:
        raise Busy("another fix of the same key is at work")
    return _one(connection, "identity", _BOUND)


def _change(connection: Session, change: Change) -> Made:
    identity = begin(connection, change.key, change.claims)
    bound, cap = change.parameters, change.max_rows + 1
    before = rows(connection, change.before, bound, cap)
    if not before:
        raise AlreadyGone("there is nothing left to change")
    if len(before) > change.max_rows:
        raise RolledBack(f"more than {change.max_rows} rows would be changed")
    counted = counters(connection)
    after = rows(connection, change.apply, bound, cap)
    make_deferred(connection)
    if change.look_after is not None:
        seen = {**bound, "before": as_jsonb(array(before))}
        after = rows(connection, change.look_after, seen, cap)
    verified = rows(connection, change.verify, bound, cap)
    # Looked at last, so that nothing comes after it: not even the question just asked may write.
    counts = changed_since(connection, counted)
    check(counts, change.tables, change.max_rows, len(before))
    _check_ids(before, after)
    if len(verified) != 1 or json.loads(verified[0]).get("gone") is not True:
        raise RolledBack("the cause would still be there after the change")
    return Made(**identity_of(identity), counts=counts, before=array(before), after=array(after))


def identity_of(row: DictRow) -> dict[str, Any]:
    """What is needed to ask for the fate of a transaction later."""
    return {name: row[name] for name in ("xid", "system_identifier", "timeline")}


def make_deferred(connection: Session) -> None:
    """What was deferred to the commit happens now."""
    connection.execute(_SQL["check_constraints"].sql)


def changed_since(connection: Session, counted: Mapping[str, int]) -> dict[str, int]:
    """Changed rows by table since they were counted; RolledBack when more than rows was changed."""
    altered = connection.execute(_SQL["altered"].sql, _BOUND).fetchall()
    if altered:
        raise RolledBack(f"it also emptied or altered {', '.join(row['name'] for row in altered)}")
    return {
        name: changed - counted.get(name, 0)
        for name, changed in counters(connection).items()
        if changed != counted.get(name, 0)
    }


def check(counts: Mapping[str, int], tables: Sequence[str], max_rows: int, looked_at: int) -> None:
    """Nothing but as many rows as were looked at, in the tables that were named; RolledBack."""
    strange = sorted(set(counts) - set(tables))
    if strange:
        raise RolledBack(f"it also changed {', '.join(strange)}, which the option does not name")
    total = sum(counts.values())
    if total > max_rows:
        raise RolledBack(f"it changed {total} rows, more than {max_rows}")
    changed = counts.get(tables[0], 0)
    if changed != looked_at:
        raise RolledBack(f"it changed {changed} rows, but {looked_at} were looked at before")


def _check_ids(before: Sequence[str], after: Sequence[str]) -> None:
    """The rows are those that were looked at, as far as both have an id."""
    ids = [[exact(row).get("id") for row in image] for image in (before, after)]
    if after and None not in (*ids[0], *ids[1]) and set(ids[0]) != set(ids[1]):
        raise RolledBack("it changed other rows than those that were looked at before")


def rows(
    connection: Session, statement: Statement, parameters: Mapping[str, Any], cap: int
) -> list[str]:
    """The first rows as the target writes them in JSON.

    A change that returns nothing is run as it is, in the extended protocol.
    """
    sql = statement.sql
    first = sql.split(None, 1)[0].lower()
    if first != "select" and "returning" in sql.lower():
        sql = (
            f"WITH q AS (\n{sql}\n) SELECT to_jsonb(q)::text AS row FROM q LIMIT %(responder_cap)s"
        )
    elif first in ("select", "with"):
        sql = f"SELECT to_jsonb(q)::text AS row FROM (\n{sql}\n) q LIMIT %(responder_cap)s"
    cursor = connection.execute(sql, {**parameters, "responder_cap": cap}, binary=True)
    return [row["row"] for row in cursor.fetchall()] if cursor.description else []


def array(each: Sequence[str]) -> str:
    """Rows of JSON as one JSON array."""
    return f"[{','.join(each)}]"


def as_jsonb(text: str) -> Jsonb:
    """A JSON text as a parameter, untouched."""
    return Jsonb(text, dumps=str)


def counters(connection: Session) -> dict[str, int]:
    """Rows that this transaction has changed so far, by table."""
    told = connection.execute(_SQL["counters"].sql, _BOUND).fetchall()
    return {row["name"]: row["changed"] for row in told}


def _one(connection: Session, name: str, parameters: Mapping[str, Any]) -> DictRow:
    row = connection.execute(_SQL[name].sql, parameters).fetchone()
    assert row is not None
    return row


def _flush(target: Target, fix_id: UUID) -> None:
    with _session(target) as connection:
        _one(connection, "begin", {**_LIMITS, "claims": ""})
        _one(connection, "flush", {"fix": str(fix_id)})
        connection.commit()


def said(error: Exception, target: Target) -> str:
    """What a target said, redacted, or what we say of it."""
    if isinstance(error, psycopg.Error):
        return target.redact.text(session_error(error).message)
    return str(error)
