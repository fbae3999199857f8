"""Rows as a small table of aligned columns: enough to believe a cause, never all there is."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from responder.receivers.brief.text import cut, line

#: What a phone shows at once, and a terminal without wrapping.
WIDTH = 76
MAX_ROWS = 5
MAX_CELL = 44
MAX_COLUMNS = 20
#: So many rows are compared to see what is the same in all of them.
_COMPARED = 100
_GAP = "  "

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?([+-]00(:?00)?|Z)?")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def table(rows: Sequence[Mapping[str, Any]], in_all: int = 0, most: int = MAX_ROWS) -> str:
    """The first rows; what is the same in all of them stands once, below. Empty without rows.

    in_all: how many there are where they come from.
    """
    compared = rows[:_COMPARED]
    names = list(dict.fromkeys(name for row in compared for name in list(row)[:MAX_COLUMNS]))
    columns = {
        line(name, MAX_CELL): [cell(row.get(name)) for row in compared]
        for name in names[:MAX_COLUMNS]
    }
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    if not columns:
        return ""
    if len(compared) == 1:
        return _one_row({name: cells[0] for name, cells in columns.items()})
    same = {name: cells[0] for name, cells in columns.items() if len(set(cells)) == 1}
    differing = {name: cells[:most] for name, cells in columns.items() if name not in same}
    shown = _fitting(differing)
    lines = _aligned(shown)
    more = max(in_all, len(rows)) - most
    if shown and more > 0:
        lines.append(f"... {more} more")
    told = ", ".join(f"{name} {value}" for name, value in same.items())
    if told:
        lines.append(cut(f"all {max(in_all, len(rows))}: {told}", 2 * WIDTH))
    return "\n".join(lines)


def cell(value: object) -> str:
    """One value, as short as it stays recognisable: eight digits of a UUID, a time in seconds."""
    text = line(value, MAX_CELL)
    if _UUID.fullmatch(text):
        return text[:8] + "…"
    time = _TIME.fullmatch(text)
    return f"{time[1]} {time[2]}" if time else text


def _one_row(values: Mapping[str, str]) -> str:
    """Below each other, since next to each other one row is hard to read."""
    shown = {name: value for name, value in list(values.items())[: 2 * MAX_ROWS] if value}
    wide = max(len(name) for name in shown)
    return "\n".join(f"{name:<{wide}}{_GAP}{value}" for name, value in shown.items())


def _fitting(columns: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The columns that fit into the width, in their order; one that is too wide lets others by."""
    left, shown = WIDTH, {}
    for name, cells in columns.items():
        wide = max(map(len, [name, *cells]))
        if wide <= left:
            shown[name] = cells
            left -= wide + len(_GAP)
    return shown


def _aligned(columns: Mapping[str, list[str]]) -> list[str]:
    """A line of names and one for each row; numbers stand on the right."""
    padded = []
    for name, cells in columns.items():
        wide = max(map(len, [name, *cells]))
        right = all(_NUMBER.fullmatch(each) for each in cells if each)
        padded.append(
            [f"{each:>{wide}}" if right else f"{each:<{wide}}" for each in [name, *cells]]
        )
    return [_GAP.join(parts).rstrip() for parts in zip(*padded, strict=True)]
