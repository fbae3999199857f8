"""A sign: one thing that was looked at, how it is, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum

from responder.cli.common import seen

_LONGEST = 300


class Status(StrEnum):
    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True)
class Sign:
    """`what` is one word, `says` what was seen, `do` what helps (nothing when it is well)."""

    status: Status
    what: str
    says: str
    do: str = ""


def ok(what: str, says: str) -> Sign:
    return Sign(Status.OK, what, says)


def warn(what: str, says: str, do: str) -> Sign:
    return Sign(Status.WARN, what, says, do)


def bad(what: str, says: str, do: str) -> Sign:
    return Sign(Status.BAD, what, says, do)


def quoted(text: str) -> str:
    """What somebody outside said, and not more than a person reads."""
    return seen(text[:_LONGEST]).strip()


def some(count: int, thing: str) -> str:
    """0 keys, 1 key, 2 keys."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def ago(seconds: float) -> str:
    """A duration as people say it: 40 s, 7 min, 3 h, 2 days."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
