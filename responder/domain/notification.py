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
    """What a message tells; `summary` stands for many messages that would have been too many.

    `maintenance`: of a window, `digest`: of a morning; not of an incident.
    """

    OPENED = "opened"
    ACKNOWLEDGED = "acknowledged"
    UPDATED = "updated"
    RESOLVED = "resolved"
    SUMMARY = "summary"
    MAINTENANCE = "maintenance"
    DIGEST = "digest"


@dataclass(frozen=True)
class Message:
    """What a receiver is asked to deliver: the same id at every attempt.

    dedup_key: the pager's key of the incident; document: the incident document (DESIGN 8), or that
    of a summary. repeated: an earlier attempt may have arrived; said where the receiver has no key.
    """

    id: str
    happening: Happening
    dedup_key: str
    document: Mapping[str, Any]
    repeated: bool = False
