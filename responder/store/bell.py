"""A signal from those who accept to those who triage: something waits.

It saves workers from looking many times a second. One that is lost does no harm, since they look by
themselves, too. No commit carries it: a NOTIFY in each would let them commit one after the other.
"""

import threading
from collections.abc import Callable
from contextlib import closing

import psycopg

from responder.deadline import within
from responder.store import CONNECT, OPTIONS
from responder.store.queries import QUERIES

#: Seconds between two signals of one process, however much it accepts.
_REST = 0.025
#: So long a listener waits before it looks whether it is stopped.
_LISTEN = 0.5
_AGAIN = 1.0
_DEADLINE = 2.0
_URGENT = "urgent"

_Connection = psycopg.Connection[tuple[object, ...]]


def _connect(url: str) -> _Connection:
    """For signals, which need not outlive a crash."""
    options = f"{OPTIONS} -c synchronous_commit=off"
    return psycopg.connect(url, autocommit=True, options=options, **CONNECT)


class Bell:
    """Rings from a thread of its own, so that nobody waits for it; silent until it is started."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._rung = threading.Event()
        self._urgent = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bell", daemon=True)

    def ring(self, urgent: bool) -> None:
        """Something was committed that waits for a worker; urgent: P0 or P1."""
        if urgent:
            self._urgent.set()
        self._rung.set()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._rung.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                with closing(_connect(self._url)) as connection:
                    self._ring_on(connection)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                self._stopped.wait(_AGAIN)  # workers look by themselves meanwhile

    def _ring_on(self, connection: _Connection) -> None:
        while self._rung.wait() and not self._stopped.is_set():
            self._rung.clear()
            urgent = self._urgent.is_set()
            self._urgent.clear()
            with within(connection, _DEADLINE):
                connection.execute(QUERIES["ring"].sql, {"what": _URGENT if urgent else ""})
            self._stopped.wait(_REST)


def listen(url: str, stopped: threading.Event, wake: Callable[[bool], None]) -> None:
    """Call `wake` whenever a bell rings, with whether it is urgent; returns when it is stopped."""
    while not stopped.is_set():
        try:
            with closing(_connect(url)) as connection:
                connection.execute(QUERIES["hear_bells"].sql)
                while not stopped.is_set():
                    for told in connection.notifies(timeout=_LISTEN):
                        wake(told.payload == _URGENT)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            stopped.wait(_AGAIN)
