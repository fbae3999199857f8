"""Who did it, and what they may do."""

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


#: What callers may do: each role all that the ones before it may.
ROLES = ("viewer", "operator", "admin")


def may(role: str, needed: str) -> bool:
    """Whether a role is the needed one or a higher one; nobody has a role that is not ours."""
    return role in ROLES and needed in ROLES and ROLES.index(role) >= ROLES.index(needed)


RESPONDER = Actor(ActorKind.RESPONDER, "responder")
#: A time that was set has come.
TIMER = Actor(ActorKind.SYSTEM, "timer")
