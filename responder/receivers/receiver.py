"""What every pager's file offers, and the one way in which it fails."""

from datetime import datetime
from typing import Protocol

from responder.domain.notification import Message


class Undelivered(Exception):
    """The message did not arrive, as far as we know; it never holds a secret or a whole URL.

    permanent: trying again is useless; retry_after: seconds that the receiver asks us to wait.
    """

    def __init__(self, message: str, *, permanent: bool, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after = retry_after


class Receiver(Protocol):
    """One configured pager or webhook."""

    def deliver(self, message: Message, now: datetime, timeout: float) -> None:
        """Hand the message over within `timeout` seconds, or raise Undelivered."""
