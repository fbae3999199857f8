"""Reading what a sender wrote: nothing here trusts its shape, and nothing fails but the JSON."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from responder.sources.adapter import NotUnderstood, Unreadable

#: The deepest real payload seen has 6 levels.
MAX_DEPTH = 64
#: What is kept of one alert; a longer text is cut.
MAX_LABELS = 100
MAX_LABEL_VALUE = 2_000
MAX_ANNOTATION = 10_000
MAX_TITLE = 300
MAX_FINGERPRINT = 200
_MAX_DIGITS = 4_000
_HOLDERS = {dict, list}
_TOO_DEEP = f"the body is nested deeper than {MAX_DEPTH} levels"

#: PostgreSQL's jsonb refuses NUL, and a lone surrogate cannot be written as UTF-8; in valid
#: UTF-8 both can come by an escape only, which few payloads have.
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
_SUSPECT_ESCAPE = re.compile(r"\\u(?:0000|d[89a-f])", re.IGNORECASE)

_LINK = re.compile(r"""https?://[^\s\x00-\x1f\x7f<>"']{1,2000}""", re.IGNORECASE)


def read_json(body: bytes) -> Any:
    """The payload with every text storable: NUL and lone surrogates become U+FFFD.

    Unreadable when it is not UTF-8 or not JSON, NotUnderstood when it is nested deeper than
    MAX_DEPTH. NaN and Infinity, which some senders write though JSON has no such words, and
    numbers of more digits than Python reads become texts.
    """
    try:
        written = body.decode("utf-8-sig")
        payload = json.loads(written, parse_constant=str, parse_int=_whole)
    except UnicodeDecodeError:
        raise Unreadable("the body is not UTF-8") from None
    except RecursionError:
        raise NotUnderstood(_TOO_DEEP) from None
    except ValueError as error:
        raise Unreadable(f"the body is not JSON: {error}") from None
    if written.count("{") + written.count("[") > MAX_DEPTH:  # else it cannot be that deep
        _refuse_depth(payload)
    return _storable(payload) if _SUSPECT_ESCAPE.search(written) else payload


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


def _refuse_depth(payload: Any) -> None:
    level: list[Any] = [payload]
    for _ in range(MAX_DEPTH):
        held = [each.values() if type(each) is dict else each for each in level]
        level = [each for each in chain(*held) if type(each) in _HOLDERS]
        if not level:
            return
    raise NotUnderstood(_TOO_DEEP)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_storable(element) for element in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(element) for name, element in value.items()}
    return value


def text(value: Any) -> str | None:
    """A scalar as text, empty for null; None for what is no scalar."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else None


def texts(told: Any) -> dict[str, str]:
    """The names that have a text; an empty one means in Prometheus that it is not there."""
    return {
        name: value
        for name, raw in members(told).items()
        if (value := raw if type(raw) is str else text(raw))
    }


def members(value: Any) -> Mapping[str, Any]:
    """What an object holds; nothing when it is no object."""
    return value if isinstance(value, dict) else {}


def first(told: Mapping[str, str], *names: str) -> str:
    """The first text that is there and says something, else empty."""
    for name in names:
        if found := told.get(name, "").strip():
            return found
    return ""


def moment(value: Any) -> datetime | None:
    """An ISO 8601 time in UTC, naive ones taken for UTC; None when absent, zero or no time."""
    try:
        parsed = datetime.fromisoformat(value)
        parsed = parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if parsed.year == 1 else parsed  # Go's zero time is 0001-01-01T00:00:00Z


def link(value: Any) -> str | None:
    """The value if it is an http or https address, else None."""
    return value if isinstance(value, str) and _LINK.fullmatch(value) else None


def one_line(value: str, limit: int = MAX_TITLE) -> str:
    """A title: its words with one space between, cut."""
    return cut(" ".join(value.split()), limit)


def cut(value: str, limit: int) -> str:
    """At most `limit` characters, the last of them an ellipsis when something is missing."""
    return value if len(value) <= limit else value[: limit - 1] + "…"


def cut_each(told: dict[str, str], limit: int) -> dict[str, str]:
    """The same with each text cut; itself when none is longer, as nearly always."""
    if max(map(len, told.values()), default=0) <= limit:
        return told
    return {name: cut(value, limit) for name, value in told.items()}
