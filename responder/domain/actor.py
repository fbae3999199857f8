"""Who did it."""

from dataclasses import dataclass
from enum import StrEnum


class ActorKind(StrEnum):
    RESPONDER = "responder"
    PERSON = "person"
    SENDER = "sender"
    SYSTEM = "system"


@dataclass(frozen=True)
class Actor:
    kind: ActorKind
    name: str


RESPONDER = Actor(ActorKind.RESPONDER, "responder")
