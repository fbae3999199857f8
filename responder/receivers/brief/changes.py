"""What a fix changed, as a small table: row, column, before and after; never all there is."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from responder.receivers.brief.table import cell
from responder.receivers.brief.text import line, mapping, records

MAX_ROWS = 5
#: Lines of changed columns; a row is never cut in the middle, but for one that has more.
MAX_LINES = 15
#: So that a line of all columns fits into the width of a table.
_SHORT = 19
_ID = 12
_NAMES = ("row", "column", "before", "after")

#: A row's id, and its changed columns with what they were and what they are.
Changed = tuple[str, list[tuple[str, str, str]]]


def changes(fix: Mapping[str, Any]) -> str:
    """The changed columns of the first rows, and how many more rows there are; empty without any.

    Of many rows, what changed alike in all of them stands once, in front.
    """
    changed = list(_changed(fix))
    if not changed:
        return ""
    alike = _alike(changed) if len(changed) > MAX_ROWS else []
    lines = [(f"all {len(changed):,}", *change) for change in alike]
    different = [(name, [each for each in row if each not in alike]) for name, row in changed]
    left = [(name, row) for name, row in different if row]
    shown = _fitting(left, MAX_LINES - len(lines))
    for name, row in shown:
        lines += [(name if place == 0 else "", *each) for place, each in enumerate(row)]
    more = len(left) - len(shown)
    told = _aligned([_NAMES, *lines[:MAX_LINES]])
    if len(lines) > MAX_LINES:
        told.append(f"... {len(lines) - MAX_LINES:,} more columns")
    if more:
        told.append(f"... {more:,} more {'row' if more == 1 else 'rows'}")
    return "\n".join(told)


def has_rows(fix: Mapping[str, Any]) -> bool:
    """Whether the rows of a fix say what it did, or would do: it was made, or tried."""
    return fix.get("status") in ("committed", "undone") or fix.get("dry_run") is True


def _changed(fix: Mapping[str, Any]) -> Iterator[Changed]:
    """Rows are told by their id; what only one of the images has cannot be compared."""
    after = {_id(row): row for row in records(fix.get("after"))}
    for row in records(fix.get("before")):
        now = mapping(after.get(_id(row)))
        columns = [
            (line(name, _SHORT), *_shown(row[name], now[name]))
            for name in row
            if name in now and row[name] != now[name]
        ]
        if columns and _id(row):
            yield line(cell(row.get("id")), _ID), columns


def _id(row: Mapping[str, Any]) -> str:
    return line(row.get("id"), 200)


def _shown(before: object, after: object) -> tuple[str, str]:
    """Two values that differ look different, also when both are too long."""
    old, new = (line(cell(each), _SHORT) or "empty" for each in (before, after))
    return (old, new) if old != new else (old, "differs further on")


def _alike(changed: Sequence[Changed]) -> list[tuple[str, str, str]]:
    first = changed[0][1]
    others = [set(row) for _, row in changed[1:]]
    return [each for each in first if all(each in row for row in others)][:MAX_LINES]


def _fitting(changed: Sequence[Changed], room: int) -> Sequence[Changed]:
    """The first rows that fit; one at least."""
    count, used = 0, 0
    for _, row in changed[:MAX_ROWS]:
        used += len(row)
        if count and used > room:
            break
        count += 1
    return changed[:count]


def _aligned(lines: Sequence[tuple[str, ...]]) -> list[str]:
    wide = [max(len(each[place]) for each in lines) for place in range(len(_NAMES))]
    return [
        "  ".join(f"{each:<{wide[place]}}" for place, each in enumerate(cells)).rstrip()
        for cells in lines
    ]
