"""Plain webhooks, which are most requests by far, are answered before Flask is asked.

Its routing, contexts and hooks cost more than all that we must do for one. Whatever else comes, or
becomes of it, is Flask's: what was raised here is raised there again, so it leaves as a problem.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flask import Flask

from responder.pipeline.services import Services
from responder.sources import Request
from responder.web.headers import plain
from responder.web.reading import Reading, body_of
from responder.web.webhooks import REFUSED, take, told

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_PATH = "/v1/webhooks/"


class Door:
    """The WSGI application around Flask's own."""

    def __init__(self, app: Flask, inner: "WSGIApplication") -> None:
        self._extensions, self._inner = app.extensions, inner
        always = plain(app.extensions["responder"].settings.public_url)
        self._headers = [("Content-Type", "application/json"), *always.items()]

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        services: Services = self._extensions["responder"]
        source = _plain(environ, services)
        if source is None:
            return self._inner(environ, start_response)
        reading: Reading | None = self._extensions.get("responder.reading")
        try:
            accepted = take(services, source, lambda: _read(environ, reading))
        except Exception as error:  # whatever it is, it is answered where all errors are
            environ[REFUSED] = error
            return self._inner(environ, start_response)
        body = json.dumps(told(services, accepted)).encode() + b"\n"
        if reading is not None:
            reading.answers(environ["gunicorn.socket"])
        start_response("202 ACCEPTED", [*self._headers, ("Content-Length", str(len(body)))])
        return [body]


def _plain(environ: "WSGIEnvironment", services: Services) -> str | None:
    """The source of a webhook with a body of a known length, whose sender waits for no more."""
    path = environ.get("PATH_INFO", "")
    if not path.startswith(_PATH) or environ["REQUEST_METHOD"] not in ("POST", "PUT"):
        return None
    source = services.settings.sources.get(path[len(_PATH) :])
    if source is None or source.wait is not None or "HTTP_PREFER" in environ:
        return None
    length = environ.get("CONTENT_LENGTH") or ""
    if "HTTP_TRANSFER_ENCODING" in environ or not (length.isascii() and length.isdecimal()):
        return None
    return source.name if 0 < int(length) <= services.settings.max_body else None


def _read(environ: "WSGIEnvironment", reading: Reading | None) -> Request:
    length = int(environ["CONTENT_LENGTH"])
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    body = body_of(environ, reading, lambda: environ["wsgi.input"].read(length), length)
    return Request(headers, body, datetime.now(UTC))
