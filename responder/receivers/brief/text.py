"""Values from a document, whatever they are, as text that is fit to be read by people.

A document holds text from outside; a field may be missing, of an odd type or very long.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

#: What a log, a terminal or a reader could mistake for something else: control characters, marks
#: that turn the direction of writing, halves of a surrogate pair.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_SPACE = re.compile(r"\s+")
_URL = re.compile(r"https?://[!#-;=?-\[\]^_a-z~]+")  # no blanks, quotes, <>, \, `, {, | or }
_DEEPEST = 50
_LARGEST = 10**15
MAX_URL = 1_000

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def records(value: object) -> list[Mapping[str, Any]]:
    """The objects of a list; nothing of anything else."""
    listed = value if isinstance(value, list | tuple) else ()
    return [each for each in listed if isinstance(each, Mapping)]


def words(value: object) -> list[str]:
    """The texts of a list."""
    listed = value if isinstance(value, list | tuple) else ()
    return [each for each in listed if isinstance(each, str)]


def number(value: object) -> int:
    """A count; 0 when it is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return min(max(value, 0), _LARGEST)


def cut(text: str, limit: int) -> str:
    """The text, or its beginning and an ellipsis; never longer than `limit`."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def line(value: object, limit: int) -> str:
    """The value on one line."""
    text = _said(value)[: 10 * limit]  # so that a very long one costs nothing
    return cut(_SPACE.sub(" ", _UNSEEN.sub(" ", text)).strip(), limit)


def command(value: object) -> str:
    """Several lines exactly as they are, but for what nobody sees."""
    return (
        _UNSEEN.sub("", value.replace("\r\n", "\n")).strip("\n") if isinstance(value, str) else ""
    )


def moment(value: object) -> datetime | None:
    """The time that a document tells, None when it does not tell one."""
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) else None
        return read and (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def when(value: object) -> str:
    """A time for people, empty when there is none."""
    at = moment(value)
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else ""


def lasted(start: object, end: object) -> str:
    """How long it took, in the two largest units; empty when that is not known."""
    began, ended = moment(start), moment(end)
    if began is None or ended is None or ended < began:
        return ""
    left = int((ended - began).total_seconds())
    said = []
    for seconds, unit in _UNITS:
        if left >= seconds:
            said.append(f"{left // seconds} {unit}")
            left %= seconds
    return " ".join(said[:2]) or "less than 1 s"


def links(value: object, most: int) -> dict[str, str]:
    """The links that a browser can open, by name."""
    named = ((line(name, 40), href) for name, href in mapping(value).items())
    return dict([(name, href) for name, href in named if is_link(href)][:most])


def is_link(href: object) -> bool:
    if not isinstance(href, str) or len(href) > MAX_URL or not _URL.fullmatch(href):
        return False
    try:
        return bool(urlsplit(href).hostname)
    except ValueError:
        return False


def as_json(value: object) -> bytes:
    """JSON for anything; what JSON or UTF-8 does not know is told as text."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    except (ValueError, TypeError, RecursionError):
        text = json.dumps(_tamed(value, 0), ensure_ascii=False)
    return text.encode(errors="replace")


def _tamed(value: object, depth: int) -> object:
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {str(name): _tamed(each, depth + 1) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_tamed(each, depth + 1) for each in value]
    if isinstance(value, int | float) and -_LARGEST < value < _LARGEST:
        return value
    return value if value is None or isinstance(value, str) else _said(value)


def _said(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        if isinstance(value, Mapping | list | tuple):
            return as_json(value).decode()
        return str(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a very large number"
