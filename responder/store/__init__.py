"""Our own database: transactions of named statements, and nothing else."""

import json
import logging
import math
import re
import select
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.json import Jsonb, set_json_loads
from psycopg_pool import ConnectionPool

from responder.deadline import within
from responder.domain.actor import Actor
from responder.domain.ids import new_id
from responder.domain.numbers import exact
from responder.store.queries import QUERIES
from responder.store.together import Together

#: procrastinate's functions find their own tables through the second schema.
SEARCH_PATH = "responder,responder_jobs"
#: A network that is gone says nothing: each side notices within about ten seconds. Else our
#: database would keep the locks of a host that is gone, and we would wait for it, for hours.
_ALIVE: Mapping[str, int] = {
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
#: How our side of each connection is opened; `OPTIONS` are the other side's.
CONNECT: Mapping[str, Any] = {
    "connect_timeout": 3,
    **{name.replace("tcp_keepalives", "keepalives"): value for name, value in _ALIVE.items()},
}
#: A stopped process of ours must not hold a lock or the sealing up. Rows lie in memory or on a disk
#: that seeks at no cost: with PostgreSQL's default, tables are read from end to end too often.
OPTIONS = (
    f"-c search_path={SEARCH_PATH} -c statement_timeout=5s -c lock_timeout=5s"
    " -c idle_in_transaction_session_timeout=10s -c timezone=UTC -c random_page_cost=1.1"
    + "".join(f" -c {name}={value}" for name, value in _ALIVE.items())
)
#: Of a look at everything: it changes nothing and holds nobody up, so it may take its time.
_READS_LONG = (
    f"-c search_path={SEARCH_PATH} -c timezone=UTC -c idle_in_transaction_session_timeout=10min"
)
#: Ids and times as PostgreSQL reads them.
_TEXTS = partial(json.dumps, default=str)
#: Statements with filters that may be left out, each `%(filter)s::type IS NULL OR ...`.
_FILTERED = {
    name for name, each in QUERIES.items() if re.search(r"\)s::\w+ IS NULL\s+OR ", each.sql)
}
_ASKS_AUDIT = {name for name, each in QUERIES.items() if "audit_event" in each.sql} - {
    "insert_audit_events"
}
_BEGIN = f"BEGIN; {QUERIES['now'].sql}"
#: Longer than any statement may take, shorter than a sender or a watch can wait.
DEADLINE = 7.0
_CHECK_DEADLINE = 2.0
#: Seconds after which a connection that nobody used is asked whether it lives.
_IDLE = 1.0
#: The pool waits ever longer between attempts until this time is over; then whoever asks tries
#: anew. So a database that is back is used at once, however long it was away.
_RECONNECT = 0.5
#: Seconds in which it answers; else it is silent for whoever must not wait.
SILENCE = 0.5
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError)  # PoolTimeout, too
#: It answers, and takes nothing in: to wait for it is as vain as for one that is silent.
_TAKES_NOTHING = (psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.DiskFull)


class StoreAway(Exception):
    """Our database cannot be reached, or does not answer or write; nothing is there, try again."""


class Refused(Exception):
    """A constraint of our database refused the change; `constraint` names it."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"refused by {constraint}")
        self.constraint = constraint


class Fenced(Exception):
    """Somebody else has taken this work over; stop without a word."""


class Transaction:
    """One transaction; `now` is our database's clock at its beginning."""

    def __init__(
        self, connection: psycopg.Connection[DictRow], now: datetime, code_version: str
    ) -> None:
        self.connection = connection
        self.now = now
        self._code_version = code_version
        self._events: list[dict[str, Any]] = []

    def all(self, query: str, **parameters: Any) -> list[DictRow]:
        """All rows of a named statement; `now` is always bound.

        Dicts and lists are sent as jsonb, tuples as arrays.
        """
        return self._execute(query, parameters).fetchall()

    def maybe(self, query: str, **parameters: Any) -> DictRow | None:
        """The first row, None when there is none."""
        return self._execute(query, parameters).fetchone()

    def one(self, query: str, **parameters: Any) -> DictRow:
        """The one row that there must be."""
        row = self.maybe(query, **parameters)
        assert row is not None, f"{query} returned no row"
        return row

    def run(self, query: str, **parameters: Any) -> int:
        """How many rows a named statement changed."""
        return self._execute(query, parameters).rowcount

    def many(self, query: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """A named statement once for each row, in one round trip."""
        bound = [self._bound(row) for row in rows]
        if bound:
            with self.connection.cursor() as cursor:
                cursor.executemany(QUERIES[query].sql, bound)

    def together(self, query: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """A named statement once for all rows, which are one JSON text on the way."""
        if rows:
            self._execute(query, {"rows": Jsonb(rows, dumps=_TEXTS)})

    def record(
        self,
        what: str,
        actor: Actor,
        subject: str,
        incident_id: UUID | None = None,
        before: str | None = None,
        after: str | None = None,
        filed_at: datetime | None = None,
        event_id: UUID | None = None,
        **details: Any,
    ) -> None:
        """One audit event, in the same transaction as the change that it records: at its end.

        filed_at: the incident's opening; an event_id that is already there is not recorded twice.
        """
        event = {
            "id": event_id or new_id(),
            "filed_at": filed_at or self.now,
            "actor_kind": actor.kind,
            "actor": actor.name,
            "what": what,
            "subject": subject,
            "incident_id": incident_id,
            "before": before,
            "after": after,
            "details": details,
            "code_version": self._code_version,
        }
        self._events.append(event)

    def finish(self) -> None:
        """What was recorded is written."""
        events, self._events = self._events, []
        self.together("insert_audit_events", events)

    def _execute(self, query: str, parameters: Mapping[str, Any]) -> psycopg.Cursor[DictRow]:
        """What has filters that may be left out is planned for those that are given, each time.

        What asks for audit events finds those of this transaction, too.
        """
        if query in _ASKS_AUDIT:
            self.finish()
        statement = QUERIES[query].sql
        prepare = False if query in _FILTERED else None
        return self.connection.execute(statement, self._bound(parameters), prepare=prepare)

    def _bound(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        own = {name: _adapt(value) for name, value in parameters.items()}
        return {"now": self.now, "offset": None, **own}


def _adapt(value: Any) -> Any:
    if isinstance(value, Mapping | list):
        return Jsonb(value)
    return list(value) if isinstance(value, tuple) else value


class _Connection(psycopg.Connection[DictRow]):
    """used_at: when a statement of ours last ended on it."""

    used_at = -math.inf


def _check(connection: _Connection) -> None:
    """A connection that lay idle may be dead, or its server silent. One that was used just now is
    only asked when there is something to be read on it: a server that ends it says so.
    """
    if time.monotonic() - connection.used_at < _IDLE and not _heard(connection):
        return
    with within(connection, _CHECK_DEADLINE):
        ConnectionPool.check_connection(connection)


def _heard(connection: _Connection) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def _leaving_readers(connection: psycopg.Connection[DictRow]) -> Iterator[None]:
    """Who only reads is a standby by now; the next connection may lead to who writes."""
    try:
        yield
    except psycopg.errors.ReadOnlySqlTransaction:
        connection.close()
        raise


@contextmanager
def _begun(connection: _Connection) -> Iterator[datetime]:
    """A transaction, and our database's clock at its beginning, both in one round trip."""
    cursor = connection.execute(_BEGIN)
    cursor.nextset()
    row = cursor.fetchone()
    assert row is not None
    try:
        yield row["now"]
    except BaseException:
        with suppress(psycopg.Error):  # it is gone, and its transaction with it
            connection.rollback()
        raise
    connection.commit()


def _read_exactly(connection: psycopg.Connection[DictRow]) -> None:
    """Rows of a target lie here with all the digits of their numbers."""
    set_json_loads(exact, connection)


class _AnyTime(TimestamptzLoader):
    """A time that Python has none for is the last one there is: nobody of ours has written it."""

    def load(self, data: Any) -> datetime:
        try:
            return super().load(data)
        except psycopg.DataError:
            return datetime.max.replace(tzinfo=UTC)


class Store:
    """The pool; open it after the fork. `offset` moves the clock in tests."""

    def __init__(
        self, url: str, size: int, code_version: str, offset: timedelta = timedelta()
    ) -> None:
        # Its warnings repeat the URL when that is wrong, and with it the password.
        logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
        self.url = url
        self.offset = offset
        #: When it last answered late or not at all, or took nothing in, by `time.monotonic`.
        self.late_at = -math.inf
        self._code_version = code_version
        self._together = Together(self._insert_deliveries, StoreAway)
        self._pool: ConnectionPool[_Connection] = ConnectionPool(
            url,
            connection_class=_Connection,
            min_size=1,
            max_size=size,
            timeout=3,
            max_lifetime=1800,
            reconnect_timeout=_RECONNECT,
            open=False,
            check=_check,
            configure=_read_exactly,
            kwargs={
                "autocommit": True,  # transactions are begun and ended by `transaction` alone
                "options": OPTIONS,
                "row_factory": dict_row,
                **CONNECT,
            },
        )

    def open(self) -> None:
        """Start connecting; a database that is away is waited for, not an error."""
        self._pool.open()

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def snapshot(self) -> Iterator[Transaction]:
        """One moment of our database, only to be read, for as long as it takes; StoreAway."""
        try:
            with psycopg.connect(
                self.url, options=_READS_LONG, row_factory=dict_row, **CONNECT
            ) as connection:
                # not by an option: a URL that asks for who writes would find nobody
                connection.read_only = True
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                _read_exactly(connection)
                connection.adapters.register_loader("timestamptz", _AnyTime)
                row = connection.execute(QUERIES["now"].sql).fetchone()
                assert row is not None
                yield Transaction(connection, row["now"] + self.offset, self._code_version)
        except _AWAY as error:
            raise StoreAway(f"our database: {type(error).__name__}") from error

    @contextmanager
    def transaction(self, longest: float = DEADLINE) -> Iterator[Transaction]:
        """Commits at the end, rolls back on any exception; StoreAway when the database is away.

        longest: seconds, of all of it.
        """
        began, answered = time.monotonic(), False
        try:
            # begun and ended here: the pool would wait for ever for its end
            with self._connected(longest) as connection, _begun(connection) as now:
                answered = True
                self._answered(began)
                transaction = Transaction(connection, now + self.offset, self._code_version)
                yield transaction
                transaction.finish()
        except StoreAway:
            if not answered:
                self.late_at = time.monotonic()
            raise

    def at_once(self, row: Mapping[str, Any], weight: int) -> None:
        """Insert a delivery as a transaction of its own, or of those that come at the same time.

        One statement takes the time itself, and moves it by `offset`. weight: of the row, in bytes.
        StoreAway.
        """
        self._together.insert(row, weight)

    def _insert_deliveries(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Nothing in them is a number that it could not write (decision 0031)."""
        self._alone("insert_deliveries", rows=Jsonb(rows, dumps=msgspec.json.encode))

    def look(self, query: str) -> list[DictRow]:
        """What one named statement finds: in one round trip, outside of a transaction.

        It asks for the time itself, and moves it by `offset`. StoreAway.
        """
        return self._alone(query).fetchall()

    def _alone(self, query: str, **parameters: Any) -> psycopg.Cursor[DictRow]:
        """A named statement that is a transaction of its own."""
        began = time.monotonic()
        try:
            with self._connected(DEADLINE) as connection:
                bound = {"now": None, "offset": self.offset, **parameters}
                cursor = connection.execute(QUERIES[query].sql, bound)
        except StoreAway:
            self.late_at = time.monotonic()
            raise
        self._answered(began)
        return cursor

    def _answered(self, began: float) -> None:
        if time.monotonic() - began > SILENCE:
            self.late_at = time.monotonic()

    @contextmanager
    def _connected(self, longest: float) -> Iterator[_Connection]:
        """A connection for so many seconds; what goes wrong on it in our words."""
        try:
            with (
                self._pool.connection() as connection,
                _leaving_readers(connection),
                within(connection, longest),
            ):
                try:
                    yield connection
                finally:
                    connection.used_at = time.monotonic()
        except psycopg.errors.IntegrityError as error:
            raise Refused(error.diag.constraint_name or "an unnamed constraint") from error
        except (*_AWAY, *_TAKES_NOTHING) as error:
            if isinstance(error, _TAKES_NOTHING):
                self.late_at = time.monotonic()
            raise StoreAway(f"our database: {type(error).__name__}") from error
