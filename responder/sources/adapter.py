"""What every sender's file offers, and the ways in which it says no."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from responder.domain.alert import Notice
from responder.domain.settings import Source


class Unauthenticated(Exception):
    """The request does not prove who sent it (401); the message never holds a credential."""


class TooLarge(Exception):
    """The body is larger than we take (413)."""


class Unreadable(Exception):
    """The body is not JSON that we can read (400)."""


class NotUnderstood(Exception):
    """JSON, but not of the shape that this source knows: accepted and quarantined (202)."""


@dataclass(frozen=True)
class Request:
    """headers: names in lower case; body: the raw bytes, which signatures are made over.

    at: this host's clock, for signature windows alone.
    """

    headers: Mapping[str, str]
    body: bytes
    at: datetime


class Adapter(Protocol):
    """One kind of sender. `authenticate` comes first, on the raw request."""

    def authenticate(self, request: Request, source: Source) -> None:
        """Unauthenticated unless the sender is the configured one; SecretMissing may pass."""

    def delivery_key(self, request: Request, payload: Any, source: Source) -> str | None:
        """The sender's own id of this delivery, the same at each of its retries; None without."""

    def parse(self, payload: Any, source: Source, at: datetime) -> list[Notice]:
        """The notices in the order of the payload; NotUnderstood when it is another shape.

        An event that tells nothing of a condition is no notice: then the list is empty.
        """
