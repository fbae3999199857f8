"""A signed webhook in the format of Standard Webhooks v1: the incident document, as it is."""

from datetime import datetime

from responder.domain import settings
from responder.domain.notification import Happening, Message
from responder.domain.secret import SecretMissing
from responder.domain.signing import sign
from responder.outbound import Refused, Undelivered, post
from responder.receivers.brief.text import as_json

#: What is not about one incident.
_TYPES = {
    Happening.SUMMARY: "messages.summary",
    Happening.MAINTENANCE: "maintenance.changed",
    Happening.DIGEST: "digest",
}


class Webhook:
    """Signs with every live secret, so that the other side can change to a new one in peace."""

    def __init__(self, receiver: settings.Receiver) -> None:
        self._receiver = receiver

    def deliver(self, message: Message, now: datetime, timeout: float) -> None:
        """The same webhook-id at every attempt, a new timestamp at each."""
        happened = {
            "type": _TYPES.get(message.happening, f"incident.{message.happening}"),
            "timestamp": now.isoformat(),
            "data": message.document,
        }
        body = as_json(happened)
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
        assert secret is not None
        signatures = []
        try:
            versions = secret.versions()
        except SecretMissing as missing:
            raise Undelivered(str(missing), permanent=False) from None
        # Which of the signatures is looked at, nobody here can know: the newest is meant to be.
        secret.use(versions[0][1])
        for reference, value in versions:
            try:
                signatures.append(sign(value, identifier, str(timestamp), body))
            except ValueError as error:
                raise Undelivered(f"{reference}: {error}", permanent=False) from None
        return " ".join(signatures)
