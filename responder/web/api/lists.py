"""Lists, the newest first: how much a caller may ask for, and the cursor that goes on from there.

A cursor names the last row that was given, so rows that come in meanwhile shift nothing.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Response, jsonify
from marshmallow import Schema, fields, validate

from responder.pipeline.services import iso

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: Every text of this form is a cursor: a time in microseconds that Python knows, and an id.
_CURSOR = re.compile(r"^([0-9]{1,17})-([0-9a-f]{32})$")


class Page(Schema):
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200))
    cursor = fields.String(
        validate=validate.Regexp(_CURSOR, error="not a cursor of this list"),
        metadata={"description": "`next` of the page before."},
    )


def before(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a list's statement: one row more than asked says whether there are more."""
    parts = _CURSOR.match(asked.get("cursor", ""))
    moment = parts and _EPOCH + int(parts[1]) * _MICROSECOND
    return {
        "limit": asked["limit"] + 1,
        "before": moment,
        "before_id": parts and UUID(parts[2]),
    }


def listed(
    items: Sequence[Any], rows: Sequence[Mapping[str, Any]], asked: Mapping[str, Any], time: str
) -> Response:
    """A page of a list; `time` is the column that orders its rows."""
    return jsonify({"items": items[: asked["limit"]], "next": after(rows, asked, time)})


def after(rows: Sequence[Mapping[str, Any]], asked: Mapping[str, Any], time: str) -> str | None:
    """The cursor of the page that follows, None when this is the last one."""
    limit = asked["limit"]
    last = rows[limit - 1] if len(rows) > limit else None
    return last and _cursor(last[time], last["id"])


def whole(items: Sequence[Any]) -> Response:
    """A list that is given at once."""
    return jsonify({"items": items, "next": None})


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON carries it."""
    return {
        name: iso(value) if isinstance(value, datetime) else value for name, value in row.items()
    }


def _cursor(moment: datetime, row_id: UUID) -> str:
    return f"{(moment - _EPOCH) // _MICROSECOND}-{row_id.hex}"
