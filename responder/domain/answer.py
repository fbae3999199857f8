"""An answer: what came back when a diagnostic asked a target one read-only question."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class AnswerStatus(StrEnum):
    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"


class ErrorKind(StrEnum):
    """Why a question has no rows, in words that a rule can conclude from."""

    UNREACHABLE = "unreachable"  # the host is silent, or its name is unknown
    REFUSED = "refused"  # the host answers, the port is closed
    TIMEOUT = "timeout"  # connected, then silent; or the statement took too long
    LOGIN = "login"  # the server refuses this login or this database
    TOO_MANY = "too_many"  # out of connections
    STARTING = "starting"  # starting up, shutting down or in recovery
    DISK_FULL = "disk_full"
    LOST = "lost"  # the connection broke in the middle
    DENIED = "denied"  # a missing grant, or row security would hide rows
    READ_ONLY = "read_only"  # the statement tried to write
    STATEMENT = "statement"  # the statement itself is wrong for this target
    HTTP = "http"  # the endpoint answered with 4xx or 5xx
    BUSY = "busy"  # no diagnosing connection became free within the budget
    BEHIND = "behind"  # an earlier question failed that this one stands on
    PARAMETER = "parameter"  # the alert lacks a label that the question needs
    WINDOW = "window"  # a maintenance window keeps questions off
    NO_INDEX = "no_index"  # the table is large and lacks the index that the question needs


@dataclass(frozen=True)
class Error:
    """kind: for rules; code: SQLSTATE or HTTP status, or empty; message: a line for people."""

    kind: ErrorKind
    code: str
    message: str


@dataclass(frozen=True)
class Answer:
    """Rows or an error; rows are plain JSON objects, capped; truncated: there are more."""

    status: AnswerStatus
    asked_at: datetime
    ms: float = 0.0
    rows: Sequence[Mapping[str, Any]] = ()
    row_count: int = 0
    truncated: bool = False
    error: Error | None = None
    shared: bool = False  # asked by another incident within the last seconds

    def to_json(self) -> dict[str, Any]:
        """Plain data, the inverse of `answer_from_json`."""
        return {
            **asdict(self),
            "asked_at": self.asked_at.isoformat(),
            "rows": [dict(row) for row in self.rows],
        }


def answer_from_json(plain: Mapping[str, Any]) -> Answer:
    """The answer that `Answer.to_json` wrote down."""
    error = plain["error"]
    return Answer(
        **{
            **plain,
            "status": AnswerStatus(plain["status"]),
            "asked_at": datetime.fromisoformat(plain["asked_at"]),
            "error": error and Error(**{**error, "kind": ErrorKind(error["kind"])}),
        }
    )
