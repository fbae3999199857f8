"""Work that cannot run in a transaction: one session in autocommit, over `direct_url`.

The session holds the advisory lock of the key until it ends, so whoever gets the lock knows that
nobody is at work any more, and asks `x_check` what became of it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import DictRow

from responder.deadline import within
from responder.domain.actor import ActorKind
from responder.domain.settings import Target
from responder.domain.shipped import shipped
from responder.domain.statements import Statement, parse_statements
from responder.targets.writing import Busy, NotPermitted, Permit, RolledBack, connect, said

#: A statement of the work, such as a large index; of x_cleanup; of a check or of ours.
WORK_SECONDS, CLEANUP_SECONDS, CHECK_SECONDS = 7200.0, 60.0, 5.0
#: What waits for a lock may stand in everybody's way.
_LOCK_MS = 30_000
#: Our part between two statements is the last gate.
_IDLE_MS = 30_000
#: The server's own timeout acts first.
_GRACE_SECONDS = 10.0
#: What is noted of a statement that ended without a word of the server.
ENDED = "the statement ended without an error"
_FILE = shipped("sql") / "targets" / "direct.sql"
_SQL = parse_statements(_FILE.read_text(encoding="utf-8"), _FILE.name)


class State(StrEnum):
    """What `x_check` says; `at_work`: somebody does the same at this moment."""

    DONE = "done"
    NOT_DONE = "not_done"
    HALF_DONE = "half_done"
    AT_WORK = "at_work"


@dataclass(frozen=True)
class Work:
    """The statements of an option that cannot run in a transaction, with what they bind."""

    key: str
    apply: Statement
    check: Statement
    cleanup: Statement
    parameters: Mapping[str, Any]

    @property
    def texts(self) -> dict[str, str]:
        """Its statements, as the fix keeps them."""
        return {"apply": self.apply.sql, "check": self.check.sql, "cleanup": self.cleanup.sql}


class Session:
    """An open session that holds the key's lock; server: its system identifier and timeline."""

    def __init__(self, connection: psycopg.Connection[DictRow], work: Work, target: Target) -> None:
        self._connection, self._work, self._target = connection, work, target
        self._warnings: list[str] = []
        connection.add_notice_handler(self._warned)
        self._single("begin", lock_ms=_LOCK_MS, idle_ms=_IDLE_MS)
        lock = self._single("lock", key=work.key)
        if lock["standby"]:
            raise RolledBack("the target's server is a standby: nothing can be changed there")
        if not lock["got"]:
            raise Busy("another fix of the same key is at work")
        self.server: tuple[str, int] = (lock["system_identifier"], lock["timeline"])

    def alone(self) -> None:
        """Busy when other work of this kind is under way on the target."""
        if not self._single("lock_alone", lock="responder:direct")["got"]:
            raise Busy("other work outside of a transaction is under way on the target")

    def state(self) -> State:
        """What the target shows now. RolledBack when it does not say."""
        sql = f"SELECT to_jsonb(q) AS row FROM (\n{self._work.check.sql}\n) q LIMIT 2"
        try:
            rows = self._run(sql, CHECK_SECONDS).fetchall()
        except psycopg.Error as error:
            raise RolledBack(
                f"{self._work.check.name} cannot be asked: {said(error, self._target)}"
            ) from error
        states = [row["row"].get("state") for row in rows]
        if len(states) != 1 or states[0] not in list(State):
            raise RolledBack(f"{self._work.check.name} does not say one of {', '.join(State)}")
        return State(states[0])

    def clean(self) -> None:
        """Take away what an attempt left half done. RolledBack."""
        try:
            self._run(self._work.cleanup.sql, CLEANUP_SECONDS)
        except psycopg.Error as error:
            raise RolledBack(
                f"what is half done cannot be cleaned up: {said(error, self._target)}"
            ) from error

    def work(self, half_done: bool) -> str:
        """Do it, which may take hours; what the server said of it, an error too."""
        try:
            if half_done:
                self.clean()
            self._warnings.clear()
            self._run(self._work.apply.sql, WORK_SECONDS)
        except (psycopg.Error, RolledBack) as error:
            return said(error, self._target)
        return "; ".join(self._warnings) or ENDED

    def _warned(self, notice: psycopg.errors.Diagnostic) -> None:
        """A VACUUM that may not only warns, and skips the table."""
        if notice.severity_nonlocalized == "WARNING":
            self._warnings.append(self._target.redact.text(notice.message_primary or ""))

    def _run(self, sql: str, seconds: float) -> psycopg.Cursor[DictRow]:
        """One statement, in the extended protocol, in which a second one does not parse."""
        self._single("limit", statement_ms=int(seconds * 1000))
        with within(self._connection, seconds + _GRACE_SECONDS):
            return self._connection.execute(sql, self._work.parameters, binary=True)

    def _single(self, name: str, **parameters: Any) -> DictRow:
        try:
            with within(self._connection, CHECK_SECONDS):
                row = self._connection.execute(_SQL[name].sql, parameters).fetchone()
        except psycopg.Error as error:
            raise RolledBack(said(error, self._target)) from error
        assert row is not None
        return row


@contextmanager
def look(target: Target, work: Work) -> Iterator[Session]:
    """A session that settles what an earlier one began; Busy while that one is still at work.

    RolledBack when the target cannot be asked.
    """
    if target.direct_url is None:
        raise RolledBack(f"target {target.name} has no direct_url any more")
    connection = connect(target, "direct_url", target.direct_url)
    try:
        connection.autocommit = True
        yield Session(connection, work, target)
    finally:
        connection.close()


@contextmanager
def begin(
    target: Target, fix_id: UUID, permit_of: Callable[[UUID], Permit | None], work: Work
) -> Iterator[Session]:
    """The session of a committed fix row that a person asked for, and the only one of its kind.

    NotPermitted, or RolledBack (Busy) with the target unchanged.
    """
    permit = permit_of(fix_id)
    if permit is None:
        raise NotPermitted(f"no committed fix {fix_id} is waiting to be made")
    if permit.actor_kind != ActorKind.PERSON:
        raise NotPermitted("what cannot run in a transaction is for people only")
    with look(target, work) as session:
        session.alone()
        yield session
