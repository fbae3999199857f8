"""Rows of a target as JSON that our own database can hold too."""

import json
import math
from typing import Any

#: Every number of so many digits is smaller than the largest float.
LONGEST = 300


def loads(text: str | bytes) -> Any:
    """PostgreSQL's numbers have no end; what no float can hold stays the text that it is."""
    return json.loads(text, parse_float=_finite, parse_int=_short)


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _short(text: str) -> int | str:
    """Python reads no integer of more than 4300 digits, and few receivers one beyond a float."""
    return int(text) if len(text) <= LONGEST else text
