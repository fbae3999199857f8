"""A fix: one execution of an option, by the responder or a person."""

from enum import StrEnum


class FixStatus(StrEnum):
    """`recorded`: decided, about to be committed; `unknown`: nobody can tell, never tried again."""

    STARTED = "started"
    RECORDED = "recorded"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    UNDONE = "undone"


class Verification(StrEnum):
    WAITING = "waiting"
    HELD = "held"
    FAILED = "failed"
    NOT_ASKED = "not_asked"
