"""One message that stands for many: how many, how grave, and the gravest of them by name."""

from collections.abc import Iterator, Mapping
from typing import Any

from responder.receivers.brief.piece import Part, Piece
from responder.receivers.brief.table import table
from responder.receivers.brief.text import mapping, number, records, when

MAX_INCIDENTS = 20
SEVERITIES = ("P0", "P1", "P2", "P3")
HAPPENINGS = ("opened", "updated", "acknowledged", "resolved")
_COLUMNS = ("severity", "status", "title", "target", "rule")


def gravest(told: Mapping[str, Any]) -> str:
    """The most severe that is counted, `P?` when none is."""
    counts = mapping(told.get("by_severity"))
    return next((each for each in SEVERITIES if number(counts.get(each))), "P?")


def title(told: Mapping[str, Any]) -> str:
    return _number(number(told.get("incidents")), "more incident")


def state(told: Mapping[str, Any]) -> str:
    """Why there is no message for each."""
    since, until = when(told.get("since")), when(told.get("until"))
    span = f", {since} to {until}" if since and until else ""
    return f"Instead of {_number(number(told.get('messages')), 'message')}{span}"


def by_severity(told: Mapping[str, Any]) -> str:
    return _counts(told.get("by_severity"), SEVERITIES)


def parts(document: Mapping[str, Any]) -> Iterator[Part]:
    told = mapping(document.get("summary"))
    counts = [by_severity(told), _counts(told.get("by_happening"), HAPPENINGS)]
    pieces = tuple(Piece(count) for count in counts if count)
    yield Part("How many", pieces or (Piece("Not counted."),))
    incidents = records(document.get("incidents"))[:MAX_INCIDENTS]
    rows = [{name: each.get(name) for name in _COLUMNS} for each in incidents]
    if rows:
        yield Part("The gravest", (Piece(rows=table(rows, len(rows), most=MAX_INCIDENTS)),))


def _counts(value: object, names: tuple[str, ...]) -> str:
    counted = {name: number(mapping(value).get(name)) for name in names}
    return ", ".join(f"{count:,} {name}" for name, count in counted.items() if count)


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
