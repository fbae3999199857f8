"""What an event or a row is to its SHA-256: the columns, and the one way to write them as a text.

The text is the one that PostgreSQL gives a `jsonb`, so that the database works it out for millions
of events and any other machine for the few of a bundle. A column that is added later belongs to a
new version; what was witnessed by an older one stays as it is.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any


def _columns(text: str) -> Sequence[str]:
    return tuple(text.split())


#: Of an event, in the order of its text, behind the version 1. Times are microseconds since 1970.
EVENT = _columns(
    "filed_at at id actor_kind actor what incident_id subject before after details code_version xid"
)
#: Of rows, by table and version; the triggers of migration 0011 say the same.
ROWS: Mapping[str, Mapping[int, Sequence[str]]] = {
    "answer": {
        1: _columns(
            "incident_id attempt position name question target sql parameters status answer"
        )
    },
    "decision": {
        1: _columns(
            "id incident_id rule_checksum at attempt action reason sentence finding option"
            " parameters findings facts"
        )
    },
    "fix": {
        1: _columns(
            "id incident_id decision_id key rule rule_checksum option target parameters actor_kind"
            " actor severity status attempt reason dry_run undoes statements xid system_identifier"
            " timeline counts before_rows after_rows left_rows image_sha256 verification"
            " verified_at started_at recorded_at ended_at"
        )
    },
    "note": {1: _columns("id incident_id at actor body")},
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(moment: str) -> Decimal:
    """A time of ISO 8601 in microseconds since 1970. ValueError: it is none."""
    return Decimal((datetime.fromisoformat(moment) - _EPOCH) // timedelta(microseconds=1))


def event_text(event: Mapping[str, Any]) -> str:
    """The canonical text of an event whose times are ISO 8601 and whose numbers are exact."""
    values = {**event, "filed_at": micros(event["filed_at"]), "at": micros(event["at"])}
    return jsonb_text([Decimal(1), *(values[name] for name in EVENT)])


def row_sha256(content: Mapping[str, Any]) -> str:
    """The digest of a row that has the columns of its version and no others."""
    return hashlib.sha256(jsonb_text(content).encode()).hexdigest()


def read_exact(text: str) -> Any:
    """JSON with every digit of its numbers; ValueError also when a name stands there twice."""
    return json.loads(text, parse_int=Decimal, parse_float=Decimal, object_pairs_hook=_members)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two members of one name people would read the first one, and we the last."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name stands in an object twice")
    return members


def jsonb_text(value: Any) -> str:
    """A value as PostgreSQL writes the same `jsonb`: shorter keys first, numbers as they are."""
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
        return "{" + ", ".join(f"{_quoted(key)}: {jsonb_text(value[key])}" for key in keys) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(jsonb_text, value)) + "]"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    return json.dumps(value)  # true, false, null, an int


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
