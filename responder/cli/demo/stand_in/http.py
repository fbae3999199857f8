"""The wire of HTTP: a request in, a reply out, or the fault that was asked for."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, NoReturn
from urllib.parse import parse_qs

from responder.cli.demo.stand_in.faults import RETRY_AFTER_SECONDS, Drip, Faults, hang, reset

MAX_BODY = 32 * 1024 * 1024


@dataclass(frozen=True)
class Request:
    """path: without the query; headers: by their names in lower case."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """ValueError when it is none, as strictly as RFC 8259 wants it."""
        try:
            return json.loads(self.body, parse_constant=_no_number)
        except RecursionError:
            raise ValueError("too deep") from None


@dataclass(frozen=True)
class Reply:
    """body: a text is sent as text/plain, all else as JSON."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


NOT_FOUND = Reply(404, {"error": "no such path"})
Service = Callable[[Request], Reply]


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


class Handler(BaseHTTPRequestHandler):
    """All requests of one connection, kept alive."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, service: Service, faults: Faults, *connection: Any) -> None:
        self._service, self._faults = service, faults
        super().__init__(*connection)  # which answers all requests of the connection

    def do_POST(self) -> None:
        request = self._read()
        if request is None:
            self.close_connection = True
            self._answer(Reply(411, {"error": "Content-Length is missing or too large"}))
            return
        fault = self._faults.take(request.path)
        if fault in ("reset", "hang"):
            self.close_connection = True
            (reset if fault == "reset" else hang)(self.connection)
            return
        reply = _spoiled(fault, request.path) or self._service(request)
        if fault in ("lost", "drip"):
            self.close_connection = True
        if fault == "drip":
            self.wfile = Drip(self.connection)
        if fault != "lost":
            self._answer(reply)

    do_GET = do_PUT = do_DELETE = do_POST

    def _read(self) -> Request | None:
        """None when nobody can say where the body ends."""
        length = self.headers.get("content-length", "" if self.command == "POST" else "0")
        chunked = "transfer-encoding" in self.headers
        if chunked or not length.isdecimal() or int(length) > MAX_BODY:
            return None
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, path, parse_qs(query), headers, self.rfile.read(int(length)))

    def _answer(self, reply: Reply) -> None:
        plain = isinstance(reply.body, str)
        body = (reply.body if plain else json.dumps(reply.body)).encode()
        self.send_response(reply.status)
        self.send_header("content-type", "text/plain" if plain else "application/json")
        self.send_header("content-length", str(len(body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the story has the terminal."""


def _spoiled(fault: str | None, path: str) -> Reply | None:
    """The reply of a receiver that does not take the message; None for all other faults."""
    if fault == "redirect":
        return Reply(302, "", {"location": f"/redirected{path}"})
    if fault == "200-error":
        return Reply(200, _said(path, "invalid_blocks", "Invalid Input Provided", 2001))
    if fault == "429":
        said = _said(path, "rate_limited", "Rate Limit Exceeded", 2020)
        return Reply(429, said, {"retry-after": str(RETRY_AFTER_SECONDS)})
    if fault in ("500", "503"):
        status = HTTPStatus(int(fault))
        return Reply(status, _said(path, "fatal_error", status.phrase, 2000))
    return None


def _said(path: str, plain: str, message: str, code: int) -> Any:
    """Slack answers in plain text, PagerDuty's REST API by an error object, others by a status."""
    if path.startswith("/services/"):
        return plain
    if path.startswith("/incidents"):
        return {"error": {"message": message, "code": code, "errors": [message]}}
    return {"status": "error", "message": message, "errors": [message]}
