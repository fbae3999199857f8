"""What every pager's file offers."""

from datetime import datetime
from typing import Protocol

from responder.domain.notification import Message


class Receiver(Protocol):
    """One configured pager, channel, mailbox or webhook."""

    def deliver(self, message: Message, now: datetime, timeout: float) -> None:
        """Hand the message over within `timeout` seconds, or raise Undelivered.

        A message that this receiver has no use for is delivered by doing nothing.
        """
