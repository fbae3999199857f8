"""JSON pointers (RFC 6901): where something stands in a payload, and what it says there."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from responder.sources.payload import text

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
#: What monitors leave in place of a variable that they did not fill: `$ALERT_PRIORITY` of
#: Datadog's templates, `*monitorURL*` of UptimeRobot's.
_PLACEHOLDER = re.compile(r"\$[A-Z_]+|\*\w+\*")


def find(document: Any, pointer: str) -> Any:
    """The value that the pointer leads to; None when it leads nowhere, or to null."""
    for step in _steps(pointer):
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and _INDEX.fullmatch(step) and int(step) < len(document):
            document = document[int(step)]
        else:
            return None
    return document


def said(document: Any, pointer: str) -> str:
    """What stands there as text; empty for null, objects, lists and unfilled placeholders."""
    found = (text(find(document, pointer)) or "").strip()
    return "" if _PLACEHOLDER.fullmatch(found) else found


def first_said(document: Any, pointers: Iterable[str]) -> str:
    """The first text that these pointers lead to, else empty."""
    return next((found for pointer in pointers if (found := said(document, pointer))), "")


@lru_cache(maxsize=1024)
def _steps(pointer: str) -> tuple[str, ...]:
    escaped = pointer.split("/")[1:]
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in escaped)
