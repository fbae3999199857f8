"""Rows of a target as JSON that our own database can hold too."""

import json
import math
from typing import Any


def loads(text: str | bytes) -> Any:
    """PostgreSQL's numbers have no end; what no float can hold stays the text that it is."""
    return json.loads(text, parse_float=_finite)


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text
