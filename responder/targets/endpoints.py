"""The two questions that need no login: does the port answer, and does the web endpoint?"""

import socket
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import requests

from responder.domain.answer import Error, ErrorKind
from responder.domain.settings import Target
from responder.targets.errors import Unanswered

HTTP_BYTE_CAP = 4_000


def knock(options: Mapping[str, Any], timeout: float) -> Mapping[str, Any]:
    """Which of a database's hosts answers first: host, port, ms. Unanswered.

    options: those of libpq, so several hosts with commas between them, or a socket's folder.
    """
    unanswered = _failure(ErrorKind.UNREACHABLE, "no host is configured")
    for host, port in _places(options):
        started = time.perf_counter()
        try:
            _open(host, port, timeout).close()
        except (ConnectionRefusedError, FileNotFoundError):
            message = f"nothing listens on port {port} of {host}"
            unanswered = _failure(ErrorKind.REFUSED, message)
        except socket.gaierror:
            # The name may be a part of a password that holds an @.
            message = "the host's name cannot be resolved"
            unanswered = _failure(ErrorKind.UNREACHABLE, message)
        except OSError as error:
            message = f"{host} does not answer: {error.strerror or 'timed out'}"
            unanswered = _failure(ErrorKind.UNREACHABLE, message)
        else:
            return {"host": host, "port": port, "ms": _since(started)}
    raise unanswered


def _places(options: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    hosts = str(options.get("hostaddr") or options.get("host") or "localhost").split(",")
    ports = str(options.get("port") or 5432).split(",")
    for host, port in zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False):
        yield host, int(port or 5432)


def _open(host: str, port: int, timeout: float) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, port), timeout)
    opened = socket.socket(socket.AF_UNIX)
    opened.settimeout(timeout)
    try:
        opened.connect(f"{host}/.s.PGSQL.{port}")
    except OSError:
        opened.close()
        raise
    return opened


def fetch(
    target: Target, method: str, path: str, connect_timeout: float, timeout: float
) -> tuple[Mapping[str, Any], Error | None]:
    """status, ms and (of a GET) the body's begin; an error too from status 400 on. Unanswered.

    Only HEAD and GET, only paths that the target's configuration lists as harmless, no redirects.
    """
    if path not in target.http_paths or method not in ("HEAD", "GET"):
        message = f"{method} {path} is not listed in http_paths of target {target.name}"
        raise _failure(ErrorKind.DENIED, message)
    started = time.perf_counter()
    try:
        with requests.request(
            method,
            target.http_base + path,
            timeout=(connect_timeout, timeout),
            allow_redirects=False,
            stream=True,
        ) as response:
            row: dict[str, Any] = {"status": response.status_code}
            if method == "GET":
                row["body"] = _body(response, started + timeout)
    except requests.RequestException as error:
        raise _http_failure(error, target) from None
    row["ms"] = _since(started)
    if row["status"] < 400:
        return row, None
    said = f"{row['status']} {_phrase(row['status'])}".strip()
    return row, Error(ErrorKind.HTTP, str(row["status"]), f"{path} answered {said}")


def _body(response: requests.Response, deadline: float) -> str:
    """At most the first 4 kB, and no more than arrives in time: a drip must not hold us."""
    body = b""
    for chunk in response.iter_content(1):
        body += chunk
        if len(body) >= HTTP_BYTE_CAP or time.perf_counter() > deadline:
            break
    return body.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _http_failure(error: requests.RequestException, target: Target) -> Unanswered:
    """In our own words: those of requests may repeat the URL with a password."""
    who = f"the endpoint of target {target.name}"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return _failure(ErrorKind.UNREACHABLE, f"{who} does not answer")
    if isinstance(error, requests.exceptions.Timeout) or "Read timed out" in str(error):
        return _failure(ErrorKind.TIMEOUT, f"{who} takes the connection, then says nothing")
    if not isinstance(error, requests.exceptions.ConnectionError):
        return _failure(ErrorKind.STATEMENT, f"{who} cannot be asked: {type(error).__name__}")
    if "Connection refused" in str(error):
        return _failure(ErrorKind.REFUSED, f"{who} refuses connections")
    if "NewConnectionError" in str(error) or "NameResolutionError" in str(error):
        return _failure(ErrorKind.UNREACHABLE, f"{who} cannot be reached")
    return _failure(ErrorKind.LOST, f"the connection to {who} broke: {type(error).__name__}")


def _failure(kind: ErrorKind, message: str) -> Unanswered:
    return Unanswered(Error(kind, "", message))


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
