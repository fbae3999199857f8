"""Rows of a target as rules see them, which our own database can hold too."""

import json
import math
from typing import Any

from responder.domain.numbers import short


def loads(text: str | bytes) -> Any:
    """Rules compare numbers, so these are floats; what no float can hold stays the text it is."""
    return json.loads(text, parse_float=_finite, parse_int=short)


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text
