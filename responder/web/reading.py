"""Callers who are slow to say what they want: they hold a few threads, and those not for long.

A thread reads one request at a time. Whoever opens many connections and sends a byte now and then
would hold them all, before anybody has looked at a signature.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socket import SHUT_RD, socket
from typing import Any

from flask import Flask, current_app, request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from responder.pipeline.accept import Overloaded
from responder.sources import Unreadable
from responder.web.waiting import THREADS

#: Seconds after which a request that has not come whole is cut off.
LONGEST = 10.0
#: Seconds after which it counts as slow, and how many threads may wait for such.
PATIENCE = 1.0
MANY = THREADS // 4
EVERY = 0.1


class Reading:
    """The requests of one process that have not come whole, by the socket they come from."""

    def __init__(self) -> None:
        self._since: dict[socket, float] = {}
        self._cut: set[socket] = set()
        self._changing = threading.Lock()

    @contextmanager
    def of(self, sock: socket) -> Iterator[None]:
        """While a thread has a request of this socket in hand."""
        with self._changing:
            self._since[sock] = time.monotonic()
        try:
            yield
        finally:
            with self._changing:
                self._since.pop(sock, None)
                self._cut.discard(sock)

    def ended(self, sock: socket) -> bool:
        """It has come as far as it will: what takes longer now is our doing. False: cut off."""
        with self._changing:
            self._since.pop(sock, None)
            return sock not in self._cut

    def cut(self, now: float) -> None:
        """End what takes too long, and the slowest ones while they hold too many threads.

        Nothing more of it is read; what we answer still reaches the caller.
        """
        with self._changing:
            slow = sorted(
                (at, sock.fileno(), sock) for sock, at in self._since.items() if now - at > PATIENCE
            )
            late = sum(now - at > LONGEST for at, _, _ in slow)
            for _, _, sock in slow[: max(late, len(slow) - MANY)]:
                del self._since[sock]
                self._cut.add(sock)
                with suppress(OSError):  # it has gone away by itself
                    sock.shutdown(SHUT_RD)


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threads, which know what they are reading."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.reading = Reading()

    def handle(self, conn: Any) -> Any:
        with self.reading.of(conn.sock):
            return super().handle(conn)


def mark_bodiless(app: Flask) -> None:
    """Whoever sends no body has said all."""

    @app.before_request
    def bodiless() -> None:
        if not request.content_length and "Transfer-Encoding" not in request.headers:
            _ended()


def whole_body() -> bytes:
    """The body of the request in hand. Unreadable when it is cut short; Overloaded: by us."""
    try:
        body = request.get_data(cache=False)
    except (ParseException, OSError):  # chunks that are none, a connection that broke
        body = None
    if not _ended():
        raise Overloaded(1.0, "the body came too slowly; send it again")
    if body is None or request.content_length not in (None, len(body)):
        raise Unreadable("the body did not come whole")
    return body


def _ended() -> bool:
    reading: Reading | None = current_app.extensions.get("responder.reading")
    return reading is None or reading.ended(request.environ["gunicorn.socket"])
