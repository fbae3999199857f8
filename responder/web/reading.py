"""Callers who are slow to speak or to listen: they hold a few threads, and those not for long.

A thread has one request in hand at a time. Whoever opens many connections and sends a byte now and
then, or takes none of the answer, would hold them all, before anybody has looked at a signature.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from socket import SHUT_RD, SHUT_RDWR, socket
from typing import Any

from flask import Flask, Response, current_app, request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from gunicorn.workers.gthread import _DEFER, ThreadWorker  # type: ignore[import-untyped]

from responder.pipeline.accept import Overloaded
from responder.sources import Unreadable
from responder.web.waiting import THREADS

#: Seconds after which a request that has not come whole is cut off, and an answer not taken.
LONGEST = 10.0
LONGEST_ANSWER = 30.0
#: Seconds after which either counts as slow, and how many threads may wait for such.
PATIENCE = 1.0
MANY = THREADS // 4
EVERY = 0.1
#: So long a thread waits for the first byte of a connection; then the main thread watches it.
_AT_ONCE = 0.02
#: The same of a process on its way out, whose main thread watches no new ones any more.
_AT_LAST = 2.0
#: New connections that the main thread takes before it looks at the others.
_AT_A_TIME = 100


class Reading:
    """What one process waits for its callers to say or to take, by the socket they come from."""

    def __init__(self) -> None:
        #: Since when, for how long at most, and what is shut when that is over.
        self._since: dict[socket, tuple[float, float, int]] = {}
        self._cut: set[socket] = set()
        self._changing = threading.Lock()
        self._turn = threading.local()
        self._cut_at = -math.inf

    @property
    def waited(self) -> float:
        """Seconds for which the request that this thread has in hand waited for a thread, since
        more come than are taken; 0 when it was for slow callers, who are cut off by now.
        """
        return getattr(self._turn, "waited", 0.0)

    @contextmanager
    def of(self, sock: socket, waited: float = 0.0) -> Iterator[None]:
        """While a thread has a request of this socket in hand; waited: for this thread."""
        now = time.monotonic()
        self._turn.waited = waited if now - waited > self._cut_at else 0.0
        with self._changing:
            self._since[sock] = (now, LONGEST, SHUT_RD)
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

    def answers(self, sock: socket) -> None:
        """The answer is made: what takes longer now is the caller's doing again."""
        with self._changing:
            self._since[sock] = (time.monotonic(), LONGEST_ANSWER, SHUT_RDWR)

    def cut(self, now: float) -> None:
        """End what takes too long, and the slowest ones while they hold too many threads.

        Nothing more of a request is read; what we answer still reaches the caller.
        """
        with self._changing:
            slow = sorted(
                (now - at < longest, at, sock.fileno(), how, sock)
                for sock, (at, longest, how) in self._since.items()
                if now - at > PATIENCE
            )
            late = sum(not in_time for in_time, *_ in slow)
            for *_, how, sock in slow[: max(late, len(slow) - MANY)]:
                del self._since[sock]
                self._cut.add(sock)
                self._cut_at = now
                with suppress(OSError):  # it has gone away by itself
                    sock.shutdown(how)


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threads, which know what they wait for; its main thread waits for nobody."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.reading = Reading()

    def is_parent_alive(self) -> bool:
        """Whose master was killed is on its way out, too: gunicorn would let it go on for as long
        as somebody asks over an open connection.
        """
        if super().is_parent_alive():
            return True
        self.alive = False
        return False

    def accept(self, listener: Any) -> None:
        """Many that wait at the door; gunicorn takes one, then looks at all the others."""
        for _ in range(_AT_A_TIME):
            there = self.nr_conns
            super().accept(listener)
            if self.nr_conns in (there, self.worker_connections):
                break

    def set_accept_enabled(self, enabled: bool) -> None:
        """On its way out it takes all that wait at the door, and closes that at once: whoever comes
        then is taken by another process, where gunicorn would leave the door open and cut them off.
        """
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            there = -1
            while self.nr_conns != there:
                there = self.nr_conns
                super().accept(listener)
            listener.close()

    def enqueue_req(self, conn: Any) -> None:
        conn.queued_at = time.monotonic()
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        waited = time.monotonic() - conn.queued_at
        patience = _AT_ONCE if self.alive else _AT_LAST
        if not conn.initialized and not conn.wait_for_data(patience):
            return _DEFER
        with self.reading.of(conn.sock, waited):
            goes_on = super().handle(conn)
        if not goes_on:
            _leave(conn.sock)
        return goes_on


def _leave(sock: socket) -> None:
    """The main thread, which takes up all connections, closes this one and would wait two seconds
    for the caller to do so first; a socket of which nothing can be read is closed at once.
    """
    with suppress(OSError):
        sock.shutdown(SHUT_RD)


def mark_turns(app: Flask) -> None:
    """Whoever sends no body has said all; whoever is answered is to listen."""

    @app.before_request
    def bodiless() -> None:
        if not request.content_length and "Transfer-Encoding" not in request.headers:
            _ended()

    @app.after_request
    def answered(response: Response) -> Response:
        if reading := _reading():
            reading.answers(request.environ["gunicorn.socket"])
        return response


def whole_body() -> bytes:
    """The body of the request in hand. Unreadable when it is cut short; Overloaded: by us."""
    return body_of(
        request.environ,
        _reading(),
        lambda: request.get_data(cache=False),
        request.content_length,
    )


def body_of(
    environ: Mapping[str, Any],
    reading: Reading | None,
    read: Callable[[], bytes],
    length: int | None,
) -> bytes:
    """The same of any request. reading: None where there is no gunicorn."""
    try:
        body = read()
    except (ParseException, OSError):  # chunks that are none, a connection that broke
        body = None
    if reading is not None and not reading.ended(environ["gunicorn.socket"]):
        raise Overloaded(1.0, "the body came too slowly; send it again")
    if body is None or length not in (None, len(body)):
        raise Unreadable("the body did not come whole")
    return body


def _ended() -> None:
    if reading := _reading():
        reading.ended(request.environ["gunicorn.socket"])


def _reading() -> Reading | None:
    """None where there is no gunicorn."""
    found: Reading | None = current_app.extensions.get("responder.reading")
    return found
