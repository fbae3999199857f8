"""How values are said on a page: times, rows, links. Everything here gives plain text or data."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import g, request

Row = Mapping[str, Any]
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
#: Columns that name a row.
_NAMES = ("id",)
#: Characters; an id and a time are shorter.
_SHORT = 40
#: As databases write one.
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: So long a time is said in two units, and in days alone from then on.
_TWO_UNITS = 7 * 86400


def moment(value: datetime | str) -> str:
    """A time as machines read it."""
    return _time(value).isoformat()


def exactly(value: datetime | str) -> str:
    """A time to the second, in UTC."""
    return _time(value).strftime("%Y-%m-%d %H:%M:%S UTC")


def relative(value: datetime | str) -> str:
    """How long ago, or in how long, as seen from the page's own time."""
    seconds = (g.now - _time(value)).total_seconds()
    if abs(seconds) < 5:
        return "just now"
    words = duration(abs(seconds))
    return f"{words} ago" if seconds > 0 else f"in {words}"


def duration(seconds: float) -> str:
    """The two largest units; minutes and more without seconds, so that a page rests."""
    said: list[str] = []
    left = int(seconds)
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count and not (unit == "s" and said):
            said.append(f"{count} {unit}")
        if said and seconds >= _TWO_UNITS:
            break
    return " ".join(said[:2]) or "0 s"


def columns(rows: Sequence[Row]) -> list[str]:
    """The names of all columns, in their order."""
    return list(dict.fromkeys(name for row in rows for name in row))


def changed_first(pairs: Sequence[tuple[Row | None, Row | None]]) -> list[str]:
    """The names of the columns of rows before and after: the id, what changed, the rest."""
    names = columns([row for pair in pairs for row in pair if row is not None])
    changed = {
        name
        for was, now in pairs
        if was is not None and now is not None
        for name in names
        if was.get(name) != now.get(name)
    }
    return sorted(names, key=lambda name: (name not in _NAMES, name not in changed))


def pairs(before: Sequence[Row], after: Sequence[Row]) -> list[tuple[Row | None, Row | None]]:
    """Each row before with itself after, None for one that came or went.

    Rows with ids meet by id, others by their place.
    """
    key = next((name for name in _NAMES if _identifies(name, before)), None)
    if key is None or not _identifies(key, after):
        return list(zip_longest(before, after))
    was, now = ({row[key]: row for row in rows} for rows in (before, after))
    return [(was.get(each), now.get(each)) for each in dict.fromkeys((*was, *now))]


def compact(value: Any) -> str:
    """A structure as JSON on one line."""
    return json.dumps(value, ensure_ascii=False, default=str)


def shape(value: Any) -> str:
    """How a cell holds a value: a number, an id, short text that is not broken, or long text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    if isinstance(value, str) and _ID.fullmatch(value):
        return "id"
    return "short" if len(value if isinstance(value, str) else compact(value)) <= _SHORT else "long"


def web(url: Any) -> bool:
    """Whether a link from outside may be followed: http or https, to a host."""
    if not isinstance(url, str) or not url.isprintable():
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def here(**changes: str | None) -> str:
    """The page in hand with other filters; a list begins anew unless `cursor` is among them."""
    kept = {name: value for name, value in request.args.items() if name != "cursor" and value}
    asked = {name: value for name, value in (kept | changes).items() if value is not None}
    return f"{request.path}?{urlencode(asked)}" if asked else request.path


FILTERS: Mapping[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        moment,
        exactly,
        relative,
        duration,
        columns,
        changed_first,
        pairs,
        compact,
        shape,
        web,
    )
}


def _time(value: datetime | str) -> datetime:
    time = datetime.fromisoformat(value) if isinstance(value, str) else value
    return time.astimezone(UTC)


def _identifies(name: str, rows: Sequence[Row]) -> bool:
    values = [row.get(name) for row in rows]
    return bool(rows) and None not in values and len(set(map(str, values))) == len(values)
