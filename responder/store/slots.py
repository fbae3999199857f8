"""The few connections that a target grants us: advisory locks on our own database.

They belong to one session of this process, so they are free again the moment the process dies, and
soon after it stands still or its host is gone: our database ends a session from which it hears
nothing more.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from responder.deadline import within
from responder.store import CONNECT, DEADLINE, OPTIONS, StoreAway
from responder.store.queries import QUERIES

#: Diagnosing connections to one target over all hosts; the last one is for P0 and P1 alone.
READING_SLOTS = 4
#: A worker beats so often; who says nothing for longer (`leave_when_silent`) has lost its slots.
BEAT_EVERY = 3.0
_POLL = 0.02


class Slots:
    """Hands out the slots of all targets to the threads of this process."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[tuple[bool]] | None = None
        self._held: set[str] = set()

    @contextmanager
    def reading(self, target: str, urgent: bool, patience: float) -> Iterator[bool]:
        """One diagnosing slot; False when none became free within `patience` seconds."""
        names = [f"reading:{target}:{number}" for number in range(READING_SLOTS)]
        with self._any(names if urgent else names[:-1], patience) as got:
            yield got

    @contextmanager
    def writing(self, target: str, patience: float) -> Iterator[bool]:
        """The one place of a target for a fix, which needs two connections, or a verification."""
        with self._any([f"writing:{target}"], patience) as got:
            yield got

    @contextmanager
    def _any(self, names: list[str], patience: float) -> Iterator[bool]:
        until = time.monotonic() + patience
        name = self._try(names)
        while name is None and time.monotonic() < until:
            time.sleep(_POLL)
            name = self._try(names)
        try:
            yield name is not None
        finally:
            if name is not None:
                self._release(name)

    def _try(self, names: list[str]) -> str | None:
        with self._lock:
            for name in names:
                if name not in self._held and self._ask("try_slot", name):
                    self._held.add(name)
                    return name
        return None

    def _release(self, name: str) -> None:
        with self._lock:
            self._held.discard(name)
            try:
                self._ask("free_slot", name)
            except StoreAway:
                return  # the session is gone, and its locks with it

    def beat(self) -> None:
        """This process is alive, and keeps what it holds. StoreAway."""
        with self._lock:
            if self._connection is not None:
                self._ask("beat", "")

    def _ask(self, query: str, name: str) -> bool:
        """Runs on the one session; after it broke, all its slots are free and a new one begins.

        One in which nothing was held may have been ended for its silence, which is no error.
        """
        again = not self._held
        while True:
            try:
                return self._said(query, name)
            except psycopg.OperationalError as error:
                self._connection = None
                if not again:
                    raise StoreAway(f"our database: {type(error).__name__}") from error
                again = False

    def _said(self, query: str, name: str) -> bool:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._url, autocommit=True, options=OPTIONS, **CONNECT
            )
            with within(self._connection, DEADLINE):
                self._connection.execute(QUERIES["leave_when_silent"].sql)
        with within(self._connection, DEADLINE):
            row = self._connection.execute(QUERIES[query].sql, {"name": name}).fetchone()
        return row is not None and row[0]

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
