"""A server that is silent frees no thread of ours by itself: its connections are cut in time.

statement_timeout is the server's promise; this holds also when the server itself stands still.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import psycopg

_TICK = 0.25
_lock = threading.Lock()
_open: dict[int, tuple[float, psycopg.Connection[Any]]] = {}
_numbers = count()
_thread: threading.Thread | None = None


@contextmanager
def within(connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """Cut the connection when the block takes longer; its statement then fails as a lost one."""
    number = next(_numbers)
    with _lock:
        _open[number] = (time.monotonic() + seconds, connection)
        _start()
    try:
        yield
    finally:
        with _lock:
            del _open[number]


def _start() -> None:
    """One thread in each process, from the first use on, so that none is lost in a fork."""
    global _thread
    if _thread is None or not _thread.is_alive():
        _thread = threading.Thread(target=_watch, name="deadline", daemon=True)
        _thread.start()


def _watch() -> None:
    while True:
        time.sleep(_TICK)
        now = time.monotonic()
        with _lock:
            late = [connection for until, connection in _open.values() if until < now]
            for connection in late:
                _cut(connection)


def _cut(connection: psycopg.Connection[Any]) -> None:
    """Closing would pull the descriptor from under the thread that waits on it."""
    with (
        suppress(OSError, psycopg.OperationalError),
        socket.socket(fileno=os.dup(connection.fileno())) as wire,
    ):
        wire.shutdown(socket.SHUT_RDWR)
