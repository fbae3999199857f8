"""What a web process does when more comes than it can take: it asks most senders to come again.

Requests wait in one queue for a thread, so their wait says how much more comes than is taken.
While it is long, a delivery that wakes nobody needs one of a few places; what gets none is answered
503 at once. That costs little, so the queue stays short. What may have to wake somebody is let in:
this is seen without our database and without Flask.
"""

import json
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from flask import Flask
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]

from responder.pipeline.accept import most_severe, parse_only, refuse
from responder.pipeline.services import Services
from responder.sources import NotUnderstood, Request, TooLarge, Unreadable, decoded
from responder.web.counters import count_busy
from responder.web.problems import SENTENCES, retry_after
from responder.web.waiting import THREADS

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

#: Seconds that a request may wait for a thread before deliveries are sent away.
LONG = 0.5
#: Of a process's threads, those that ordinary deliveries keep even then.
FEW = THREADS // 4
_REMEMBERED = 20_000
_DOOR = "/v1/webhooks/"
_BUSY = json.dumps(
    {"type": "urn:responder:busy", "title": "busy", "status": 503, "detail": SENTENCES["busy"]}
).encode()


class Shedding:
    """Stands before the application, and is out of the way until requests wait for long."""

    def __init__(self, app: Flask, services: Services, inside: Wsgi) -> None:
        self._app, self._inside, self._services = app, inside, services
        self._places = threading.BoundedSemaphore(FEW)
        self._quiet: set[int] = set()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        reading = self._app.extensions.get("responder.reading")
        if reading is None or reading.waited < LONG or not _is_delivery(environ):
            return self._inside(environ, start)
        if self._places.acquire(blocking=False):
            try:
                return self._inside(environ, start)
            finally:
                self._places.release()
        source = environ["PATH_INFO"].removeprefix(_DOOR)
        if source not in self._services.settings.sources or self._wakes(source, environ):
            return self._inside(environ, start)
        return self._come_again(source, environ, start)

    def _wakes(self, source: str, environ: dict[str, Any]) -> bool:
        """Whether people may have to be woken by what it tells; who tells it is asked later."""
        try:
            body = environ["wsgi.input"].read(self._services.settings.max_body + 1)
        except (ParseException, OSError):  # chunks that are none, a connection that broke
            return False
        environ["wsgi.input"] = BytesIO(body)
        request = Request(
            {"content-encoding": environ.get("HTTP_CONTENT_ENCODING", "")}, body, datetime.now(UTC)
        )
        return hash(body) not in self._quiet and self._tells_of_pages(source, request)

    def _tells_of_pages(self, source: str, request: Request) -> bool:
        """What does not is remembered: sent away, it comes again as it was."""
        try:
            body = decoded(request, self._services.settings.max_body)
            notices = parse_only(self._services, source, body, request.at)
        except (TooLarge, Unreadable, NotUnderstood):
            return False
        _, pages = most_severe(self._services, notices, request.at)
        if not pages:
            if len(self._quiet) >= _REMEMBERED:
                self._quiet.clear()
            self._quiet.add(hash(request.body))
        return bool(pages)

    def _come_again(
        self, source: str, environ: dict[str, Any], start: Callable[..., Any]
    ) -> Iterable[bytes]:
        count_busy(source)
        refuse(self._services, source, environ.get("REMOTE_ADDR", ""), "busy")
        headers = [
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(_BUSY))),
            ("Retry-After", retry_after()),
        ]
        start("503 Service Unavailable", headers)
        return [_BUSY]


def _is_delivery(environ: dict[str, Any]) -> bool:
    return str(environ["PATH_INFO"]).startswith(_DOOR)
