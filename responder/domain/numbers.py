"""JSON that PostgreSQL wrote, read without losing a digit: its numbers have no end."""

import json
import math
from decimal import Decimal
from typing import Any

#: Every number of so many digits is smaller than the largest float.
LONGEST = 300


def exact(text: str | bytes) -> Any:
    """The value of a JSON text; a number that no float holds exactly stays the text that it is."""
    return json.loads(text, parse_float=_float, parse_int=short)


def short(text: str) -> int | str:
    """Python reads no integer of more than 4300 digits, and few receivers one beyond a float."""
    return int(text) if len(text) <= LONGEST else text


def _float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) and Decimal(repr(number)) == Decimal(text) else text
