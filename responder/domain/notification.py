"""A notification: one message to one receiver, with its attempts and outcome."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class NotificationStatus(StrEnum):
    DUE = "due"
    SENDING = "sending"
    SENT = "sent"
    DEAD = "dead"
    SUPERSEDED = "superseded"


class Happening(StrEnum):
    """What a message tells; a pager knows the first, second and last, a webhook all."""

    OPENED = "opened"
    ACKNOWLEDGED = "acknowledged"
    UPDATED = "updated"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Message:
    """What a receiver is asked to deliver: the same id at every attempt.

    dedup_key: the pager's key of the incident; document: the incident document (DESIGN 8).
    """

    id: str
    happening: Happening
    dedup_key: str
    document: Mapping[str, Any]
