"""Asks one read-only question to one target; knows nothing of our own database.

A statement cannot write, whatever its text: it stands inside a SELECT of ours, alone in its
message, in a read-only transaction that is rolled back. It cannot last or bring much, either.
"""

import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import psycopg

from responder.domain.answer import Answer, AnswerStatus, Error, ErrorKind
from responder.domain.secret import SecretMissing
from responder.domain.settings import Target
from responder.domain.shipped import shipped
from responder.domain.statements import parse_statements
from responder.targets.endpoints import fetch, knock
from responder.targets.errors import Unanswered, connect_error, session_error
from responder.targets.logins import read_login
from responder.targets.rows import loads

ROW_CAP = 100
BYTE_CAP = 64_000
CONNECT_SECONDS = 2
LOCK_MS = 2000
#: A table of no more bytes is read from end to end in a few hundredths of a second.
SMALL_TABLE = 32_000_000
#: How long after its timeout a statement may keep us waiting before it is cut off.
GRACE_SECONDS = 1.0
#: How long it is not tried again to connect to what was silent, by whichever question.
SILENT_SECONDS = 5.0
#: How long the server may take to end a backend that was told to leave.
LEAVE_SECONDS = 0.5

_CONNECTION: Mapping[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "tcp_user_timeout": 5000,
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "application_name": "responder",
    "client_encoding": "utf8",
}
#: Local to the transaction, so that a transaction pooler hands none of it to somebody else.
#: With row security off, policies that would hide rows are an error instead of a silence.
_LIMITS = """
SELECT set_config('statement_timeout', %(statement)s, true),
       set_config('lock_timeout', %(lock)s, true),
       set_config('idle_in_transaction_session_timeout', '10s', true),
       set_config('row_security', 'off', true),
       -- a backend whose asker was killed leaves at once, not at its timeout
       CASE WHEN current_setting('server_version_num')::int >= 140000
            THEN set_config('client_connection_check_interval', '500', true) END
"""
#: The bound parameters force the extended protocol, in which a second statement does not parse.
_WRAPPED = """
SELECT left(to_jsonb(q)::text, %(responder_bytes)s) FROM (
{statement}
) q LIMIT %(responder_rows)s
"""

_FILE = shipped("sql") / "targets" / "reading.sql"
_SQL = parse_statements(_FILE.read_text(encoding="utf-8"), _FILE.name)
_STATUSES = {
    ErrorKind.TIMEOUT: AnswerStatus.TIMED_OUT,
    ErrorKind.NO_INDEX: AnswerStatus.SKIPPED,
}

_Session = psycopg.Connection[tuple[Any, ...]]

#: What did not answer a connection, by its URL: the error, and until when (`time.monotonic`).
_silent: dict[str, tuple[Error, float]] = {}


@dataclass(frozen=True)
class Question:
    """A diagnostic as it is asked: text in words, sql with %(name)s in it, timeout in seconds."""

    name: str
    text: str
    kind: Literal["sql", "http", "tcp"]
    sql: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    index: str = ""
    path: str = ""
    method: str = "HEAD"
    timeout: float = 5.0

    @property
    def digest(self) -> bytes:
        """SHA-256 of what is asked, whatever it is called; the same on every host."""
        asked = [self.kind, self.sql, dict(self.parameters), self.path, self.method]
        return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).digest()


@dataclass
class _Found:
    """What came back, within the caps."""

    rows: list[Mapping[str, Any]] = field(default_factory=list)
    count: int = 0
    bytes: int = 0
    truncated: bool = False
    error: Error | None = None

    def add(self, text: str) -> None:
        """Take one row as JSON; drop it if it does not fit any more."""
        size = len(text.encode())
        if self.count == ROW_CAP or self.bytes + size > BYTE_CAP:
            self.truncated = True
        else:
            self.rows.append(loads(text))
            self.bytes += size
        self.count = min(self.count + 1, ROW_CAP)


def ask(target: Target, question: Question, asked_at: datetime) -> Answer:
    """The answer, redacted: at most ROW_CAP rows and BYTE_CAP bytes; what fails is one too."""
    started = time.perf_counter()
    try:
        found = _ASK[question.kind](target, question)
    except Unanswered as unanswered:
        found = _Found(error=unanswered.error)
    except SecretMissing as missing:
        found = _Found(error=Error(ErrorKind.DENIED, "", f"target {target.name}: {missing}"))
    kind = found.error.kind if found.error else None
    status = _STATUSES.get(kind, AnswerStatus.FAILED) if kind else AnswerStatus.OK
    return Answer(
        status=status,
        asked_at=asked_at,
        ms=round((time.perf_counter() - started) * 1000, 1),
        rows=target.redact.value(found.rows),
        row_count=found.count,
        truncated=found.truncated,
        error=found.error and replace(found.error, message=target.redact.text(found.error.message)),
    )


def _ask_tcp(target: Target, question: Question) -> _Found:
    timeout = min(question.timeout, CONNECT_SECONDS)
    _, options = next(_logins(target))
    return _Found([knock(options, timeout)], count=1)


def _ask_http(target: Target, question: Question) -> _Found:
    connect = min(question.timeout, CONNECT_SECONDS)
    row, error = fetch(target, question.method, question.path, connect, question.timeout)
    return _Found([row], count=1, error=error)


def _ask_sql(target: Target, question: Question) -> _Found:
    timeout_ms = max(1, int(question.timeout * 1000))
    limits = {"statement": str(timeout_ms), "lock": str(min(timeout_ms, LOCK_MS))}
    wrapped = _WRAPPED.format(statement=question.sql)
    caps = {"responder_bytes": BYTE_CAP + 1, "responder_rows": ROW_CAP + 1}
    found = _Found()
    with _left(_connect(target)) as session, _deadline(session, question.timeout) as cut:
        session.read_only = True
        try:
            with session.transaction(force_rollback=True), session.cursor() as cursor:
                cursor.execute(_LIMITS, limits)
                if question.index and (large := _large_without_index(cursor, question.index)):
                    return _Found(error=large)
                for (text,) in cursor.stream(wrapped, {**question.parameters, **caps}):
                    found.add(text)
        except psycopg.Error as failure:
            message = f"no answer within {question.timeout:g} s, so it was cut off"
            late = Error(ErrorKind.TIMEOUT, "", message)
            return _Found(error=late if cut.is_set() else session_error(failure))
        except UnicodeEncodeError:
            message = "a parameter holds characters that cannot be sent"
            return _Found(error=Error(ErrorKind.PARAMETER, "", message))
    return found


def _large_without_index(cursor: psycopg.Cursor[tuple[Any, ...]], index: str) -> Error | None:
    """Why a question that needs this index must not be asked of this target, if so."""
    table, _, column = index.removesuffix(")").partition(" (")
    cursor.execute(_SQL["lacking"].sql, {"table": table, "column": column, "bytes": SMALL_TABLE})
    if cursor.fetchone() is None:
        return None
    return Error(ErrorKind.NO_INDEX, "", f"{table} is large and no index of it has {column}")


_ASK = {"sql": _ask_sql, "http": _ask_http, "tcp": _ask_tcp}


def _connect(target: Target) -> _Session:
    """A session with the newest live login that the server takes."""
    error = Error(ErrorKind.LOGIN, "", "no login is configured")
    for url, options in _logins(target):
        known, until = _silent.get(url, (error, 0.0))
        if time.monotonic() < until:
            raise Unanswered(known)
        try:
            session = psycopg.connect(**options, prepare_threshold=None)
        except psycopg.errors.ConnectionTimeout:
            # Either nobody is there, which raises, or somebody takes the connection and is silent.
            knock(options, GRACE_SECONDS)
            message = "the port answers, the server behind it says nothing"
            error = Error(ErrorKind.TIMEOUT, "", message)
        except psycopg.OperationalError as failure:
            error = connect_error(failure)
        else:
            target.reading.use(url)
            return session
        if error.kind in (ErrorKind.TIMEOUT, ErrorKind.UNREACHABLE):
            _silent[url] = (error, time.monotonic() + SILENT_SECONDS)
        if error.kind != ErrorKind.LOGIN:
            break
    raise Unanswered(error)


def _logins(target: Target) -> Iterator[tuple[str, dict[str, Any]]]:
    for url in target.reading.values():
        try:
            yield url, {**read_login(url), **_CONNECTION}
        except psycopg.ProgrammingError:
            # psycopg's own message would repeat the URL with its password.
            message = f"the reading URL of target {target.name} is not one of PostgreSQL"
            raise Unanswered(Error(ErrorKind.DENIED, "", message)) from None


@contextmanager
def _left(session: _Session) -> Iterator[_Session]:
    """Closes the session and waits until its backend has left: only then is the slot free."""
    wire = socket.socket(fileno=os.dup(session.fileno()))
    with wire:
        try:
            yield session
        finally:
            session.close()
            wire.settimeout(LEAVE_SECONDS)
            with suppress(OSError):
                while wire.recv(4096):
                    pass


@contextmanager
def _deadline(session: _Session, timeout: float) -> Iterator[threading.Event]:
    """Cut the session off if it is not over in time; yields whether that was necessary.

    The server's own timeout acts first; this is for a server or a network that is gone.
    """
    over, cut = threading.Event(), threading.Event()

    def watch() -> None:
        if over.wait(timeout + GRACE_SECONDS):
            return
        cut.set()
        with suppress(psycopg.Error):
            session.cancel_safe(timeout=GRACE_SECONDS)
        if not over.wait(GRACE_SECONDS):
            # Closing would pull the descriptor from under the thread that waits on it.
            with suppress(OSError), socket.socket(fileno=os.dup(session.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)

    watcher = threading.Thread(target=watch, name="reading-deadline", daemon=True)
    watcher.start()
    try:
        yield cut
    finally:
        over.set()
        watcher.join()
