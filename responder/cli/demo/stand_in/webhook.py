"""A receiver of webhooks that verifies Standard Webhooks v1 by itself."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence

from responder.cli.demo.stand_in.http import NOT_FOUND, Reply, Request
from responder.cli.demo.stand_in.kept import Kept

TOLERANCE_SECONDS = 300


class Webhook:
    """secrets: any of them may have signed, as `whsec_<base64>`."""

    def __init__(self, secrets: Sequence[str], kept: Kept, clock: Callable[[], float]) -> None:
        self._keys = [base64.b64decode(each.removeprefix("whsec_")) for each in secrets]
        self._kept = kept
        self._clock = clock

    def __call__(self, request: Request) -> Reply:
        if (request.method, request.path) != ("POST", "/webhook"):
            return NOT_FOUND
        wrong = self._unverified(request.headers, request.body)
        if wrong:
            return Reply(401, {"error": wrong})
        try:
            event = request.json()
            told = {name: event[name] for name in ("type", "timestamp", "data")}
        except (ValueError, TypeError, KeyError):
            return Reply(400, {"error": "not {type, timestamp, data}"})
        self._kept.keep("webhook", id=request.headers["webhook-id"], **told)
        return Reply(200, {})

    def _unverified(self, headers: Mapping[str, str], body: bytes) -> str:
        """What is wrong with the signature, empty when it is right."""
        identifier = headers.get("webhook-id", "")
        timestamp = headers.get("webhook-timestamp", "")
        if not identifier or not timestamp.isdecimal():
            return "webhook-id or webhook-timestamp is missing"
        if abs(self._clock() - int(timestamp)) > TOLERANCE_SECONDS:
            return "the timestamp is too old or too new"
        signed = f"{identifier}.{timestamp}.".encode() + body
        right = [_signature(key, signed) for key in self._keys]
        given = headers.get("webhook-signature", "").encode().split()
        if not any(hmac.compare_digest(one, other) for one in given for other in right):
            return "no signature matches"
        return ""


def _signature(key: bytes, signed: bytes) -> bytes:
    return b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256))
