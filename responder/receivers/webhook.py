"""A signed webhook in the format of Standard Webhooks v1: the incident document, as it is."""

import base64
import hashlib
import hmac
import json
from datetime import datetime

from responder.domain import settings
from responder.domain.notification import Message
from responder.domain.secret import SecretMissing
from responder.receivers.http import Refused, post
from responder.receivers.receiver import Undelivered

MIN_SECRET_BYTES = 16


class Webhook:
    """Signs with every live secret, so that the other side can change to a new one in peace."""

    def __init__(self, receiver: settings.Receiver) -> None:
        self._receiver = receiver

    def deliver(self, message: Message, now: datetime, timeout: float) -> None:
        """The same webhook-id at every attempt, a new timestamp at each."""
        happened = {
            "type": f"incident.{message.happening}",
            "timestamp": now.isoformat(),
            "data": message.document,
        }
        body = json.dumps(happened, ensure_ascii=False, default=str).encode()
        timestamp = int(now.timestamp())
        headers = {
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": self._signatures(message.id, timestamp, body),
        }
        try:
            post(self._receiver.url, body, headers, now=now, timeout=timeout)
        except Refused as refused:
            if refused.status == 410:
                raise Undelivered(
                    f"the receiver {self._receiver.name!r} says it is gone (410)", permanent=True
                ) from None
            raise

    def _signatures(self, identifier: str, timestamp: int, body: bytes) -> str:
        """A secret is a file that may be mended at any time, so a wrong one is tried again."""
        secret = self._receiver.secret
        signatures = []
        try:
            values = secret.values()
        except SecretMissing as missing:
            raise Undelivered(str(missing), permanent=False) from None
        for reference, value in zip(secret.references, values, strict=True):
            try:
                signatures.append(sign(value, identifier, timestamp, body))
            except ValueError as error:
                raise Undelivered(f"{reference}: {error}", permanent=False) from None
        return " ".join(signatures)


def sign(secret: str, identifier: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over id, timestamp and raw body, joined by dots.

    secret: base64, with or without `whsec_`; ValueError, without the secret, when it is not.
    """
    signed = b".".join((identifier.encode(), str(timestamp).encode(), body))
    digest = hmac.digest(_key(secret), signed, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def _key(secret: str) -> bytes:
    encoded = secret.strip().removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        raise ValueError("the signing secret is not base64; write whsec_<base64>") from None
    if len(key) < MIN_SECRET_BYTES:
        raise ValueError(f"the signing secret is shorter than {MIN_SECRET_BYTES} bytes")
    return key
