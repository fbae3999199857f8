"""A local stand-in for PagerDuty and for the receiver of webhooks, as strict as the real ones.

It keeps PagerDuty's limits (Events API v2) and verifies Standard Webhooks by itself, so that a
message of ours which the real ones would refuse is refused here too.
"""

import base64
import hashlib
import hmac
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROUTING_KEY_LENGTH = 32
MAX_EVENT = 512 * 1024
MAX_CALLS_A_MINUTE = 120
TOLERANCE_SECONDS = 300
#: So many of each are kept, the newest.
_KEPT = 5_000
_WORDS = ("critical", "error", "warning", "info")
_ACTIONS = ("trigger", "acknowledge", "resolve")

Answer = tuple[int, dict[str, Any]]


class StandIn:
    """Listens on a free port of 127.0.0.1 and keeps what it accepted, and what it refused.

    webhook_secrets: any of them may have signed, as `whsec_<base64>`; clock: seconds since 1970.
    """

    def __init__(
        self, webhook_secrets: Sequence[str], clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._keys = [base64.b64decode(each.removeprefix("whsec_")) for each in webhook_secrets]
        self._lock = threading.Lock()
        self._calls: dict[str, deque[float]] = {}
        self._kept: dict[str, deque[dict[str, Any]]] = {
            name: deque(maxlen=_KEPT) for name in ("pagerduty", "webhook", "refused")
        }
        doors = {"/v2/enqueue": self._enqueue, "/webhook": self._hook}
        self._server = _Server(("127.0.0.1", 0), partial(_Handler, doors, self.received))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def received(self) -> dict[str, list[dict[str, Any]]]:
        """All that came, in order, each with the time `at` which it came."""
        with self._lock:
            return {name: list(kept) for name, kept in self._kept.items()}

    def __enter__(self) -> "StandIn":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _keep(self, kind: str, **what: Any) -> None:
        with self._lock:
            at = datetime.fromtimestamp(self._clock(), UTC)
            self._kept[kind].append({"at": at.isoformat(), **what})

    def _refuse(self, path: str, status: int, answer: dict[str, Any]) -> Answer:
        self._keep("refused", path=path, status=status, answer=answer)
        return status, answer

    def _enqueue(self, headers: Mapping[str, str], body: bytes) -> Answer:
        if len(body) > MAX_EVENT:
            return self._refuse("/v2/enqueue", 413, {"status": "event too large"})
        try:
            event = json.loads(body)
        except ValueError:
            event = None
        errors = _mistakes(event) if isinstance(event, dict) else ["the body is no JSON object"]
        if errors:
            answer = {
                "status": "invalid event",
                "message": "Event object is invalid",
                "errors": errors,
            }
            return self._refuse("/v2/enqueue", 400, answer)
        if self._too_many(event["routing_key"]):
            answer = {"status": "throttle exceeded", "message": "Please retry later."}
            return self._refuse("/v2/enqueue", 429, answer)
        self._keep("pagerduty", **event)
        key = event.get("dedup_key")
        return 202, {"status": "success", "message": "Event processed", "dedup_key": key}

    def _too_many(self, routing_key: str) -> bool:
        """A sliding minute for each integration."""
        now = self._clock()
        with self._lock:
            calls = self._calls.setdefault(routing_key, deque())
            while calls and calls[0] < now - 60:
                calls.popleft()
            calls.append(now)
            return len(calls) > MAX_CALLS_A_MINUTE

    def _hook(self, headers: Mapping[str, str], body: bytes) -> Answer:
        wrong = self._unverified(headers, body)
        if wrong:
            return self._refuse("/webhook", 401, {"error": wrong})
        try:
            event = json.loads(body)
            told = {name: event[name] for name in ("type", "timestamp", "data")}
        except (ValueError, TypeError, KeyError):
            return self._refuse("/webhook", 400, {"error": "not {type, timestamp, data}"})
        self._keep("webhook", id=headers["webhook-id"], **told)
        return 200, {}

    def _unverified(self, headers: Mapping[str, str], body: bytes) -> str:
        """What is wrong with the signature, empty when it is right."""
        identifier = headers.get("webhook-id", "")
        timestamp = headers.get("webhook-timestamp", "")
        if not identifier or not timestamp.isdigit():
            return "webhook-id or webhook-timestamp is missing"
        if abs(self._clock() - int(timestamp)) > TOLERANCE_SECONDS:
            return "the timestamp is too old or too new"
        signed = f"{identifier}.{timestamp}.".encode() + body
        right = [_signature(key, signed) for key in self._keys]
        given = headers.get("webhook-signature", "").split()
        if not any(hmac.compare_digest(one, other) for one in given for other in right):
            return "no signature matches"
        return ""


def _signature(key: bytes, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def _mistakes(event: Mapping[str, Any]) -> list[str]:
    """What PagerDuty would not take."""
    found = []
    if len(str(event.get("routing_key") or "")) != ROUTING_KEY_LENGTH:
        found.append("Length of 'routing_key' is incorrect (should be 32 characters)")
    action = event.get("event_action")
    if action not in _ACTIONS:
        found.append("'event_action' is invalid (must be trigger, acknowledge or resolve)")
    if len(str(event.get("dedup_key") or "")) > 255:
        found.append("'dedup_key' is too long (255 characters at most)")
    if action in ("acknowledge", "resolve") and not event.get("dedup_key"):
        found.append("'dedup_key' is missing or blank")
    payload = event.get("payload")
    if action == "trigger":
        found += _payload_mistakes(payload) if isinstance(payload, dict) else ["no 'payload'"]
    return found


def _payload_mistakes(payload: Mapping[str, Any]) -> list[str]:
    found = [
        f"'payload.{name}' is missing or blank"
        for name in ("summary", "source", "severity")
        if not isinstance(payload.get(name), str) or not payload[name].strip()
    ]
    if len(str(payload.get("summary"))) > 1024:
        found.append("'payload.summary' is too long (1024 characters at most)")
    if payload.get("severity") not in _WORDS:
        found.append("'payload.severity' is invalid (critical, error, warning or info)")
    if not isinstance(payload.get("custom_details", {}), dict):
        found.append("'payload.custom_details' is not an object")
    return found


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that does not wait for the rest of our answer is no error of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """The wire: JSON in, JSON out, keep-alive."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(
        self,
        doors: Mapping[str, Callable[[Mapping[str, str], bytes], Answer]],
        received: Callable[[], Mapping[str, Any]],
        *connection: Any,
    ) -> None:
        self._doors, self._received = doors, received
        super().__init__(*connection)  # which answers all requests of the connection

    def do_GET(self) -> None:
        if self.path == "/received":
            self._answer(200, self._received())
        else:
            self._answer(404, {"error": "GET /received, POST /v2/enqueue, POST /webhook"})

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not length.isdigit():
            self.close_connection = True
            self._answer(411, {"error": "Content-Length is missing"})
            return
        body = self.rfile.read(int(length))
        door = self._doors.get(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._answer(*(door(headers, body) if door else (404, {"error": "no such path"})))

    def _answer(self, status: int, answer: Mapping[str, Any]) -> None:
        body = json.dumps(answer, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the story has the terminal."""
