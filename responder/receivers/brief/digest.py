"""The morning digest, part by part, each thing in one line."""

from collections.abc import Iterator, Mapping
from typing import Any

from responder.receivers.brief.piece import Part, Piece
from responder.receivers.brief.text import line, mapping, number, records, when

TITLE = "Morning digest"
MAX_NAME = 150
MAX_LINE = 300
MAX_ITEMS = 20
#: The title of each part, and how it is counted in one line.
_PARTS = {
    "waiting": ("Waiting for a person", "waiting for a person"),
    "p3": ("P3", "at P3"),
    "ended": ("P3 that began and ended", "begun and ended at P3"),
    "taken": ("Taken more than a day ago", "taken more than a day ago"),
    "fixed": ("Fixed by the responder", "fixed by the responder"),
    "reviews": ("Waiting for a verdict", "waiting for a verdict"),
    "secrets": ("Secrets to rotate", "due to be rotated"),
    "maintenance": ("Maintenance", "maintenance ahead"),
    "dead": ("Messages that nobody got", "undelivered"),
    "quarantined": ("Webhooks that were not understood", "not understood"),
}
_WHERE = {
    "ended": "responder incidents list --status resolved --severity P3",
    "dead": "responder notifications list --status dead",
    "quarantined": "responder deliveries list --outcome quarantined",
}


def state(told: Mapping[str, Any]) -> str:
    """All that it counts, in one line."""
    counts = [f"{number(part.get('count')):,} {_PARTS[name][1]}" for name, part in _known(told)]
    since = when(told.get("since"))
    return (f"Since {since}: " if since else "") + (", ".join(counts) or "nothing new")


def parts(document: Mapping[str, Any]) -> Iterator[Part]:
    known = _known(mapping(document.get("digest")))
    if not known:
        yield Part("Nothing", (Piece("Nothing waits for anybody."),))
    for name, part in known:
        items = records(part.get("items"))[:MAX_ITEMS]
        lines = [line(_LINES[name](item), MAX_LINE) for item in items if name in _LINES]
        more = number(part.get("count")) - len(lines)
        if name in _WHERE:
            lines = [f"{number(part.get('count')):,}; see: {_WHERE[name]}"]
        elif more > 0:
            lines.append(f"... {more:,} more")
        yield Part(_PARTS[name][0], (Piece("\n".join(lines)),))


def _known(told: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    found = {part["name"]: part for part in records(told.get("parts")) if _is_known(part)}
    return [(name, found[name]) for name in _PARTS if name in found]


def _is_known(part: Mapping[str, Any]) -> bool:
    return isinstance(part.get("name"), str) and part["name"] in _PARTS


def _incident(item: Mapping[str, Any]) -> str:
    severity, title = line(item.get("severity"), 10), line(item.get("title"), MAX_NAME)
    about = [line(item.get("target"), 60), when(item.get("opened_at"))]
    new = "new: " if item.get("is_new") is True else ""
    return f"{new}[{severity or 'P?'}] {title} ({', '.join(filter(None, about))}){_next(item)}"


def _next(item: Mapping[str, Any]) -> str:
    """What is proposed, or who has it."""
    taken_by, option = line(item.get("acknowledged_by"), 60), line(item.get("option"), 60)
    if taken_by and item.get("acknowledged_at"):
        return f": {taken_by} has it since {when(item.get('acknowledged_at'))}"
    return f": {option} is proposed" if option and item.get("action") == "propose" else ""


def _fix(item: Mapping[str, Any]) -> str:
    counts = mapping(item.get("counts"))
    changed = [f"{number(rows):,} rows of {line(name, 60)}" for name, rows in counts.items()]
    verification = line(item.get("verification"), 20).replace("_", " ")
    about = ", ".join(filter(None, (line(item.get("target"), 60), when(item.get("started_at")))))
    title, option = line(item.get("title"), MAX_NAME), line(item.get("option"), 60)
    said = [option, ", ".join(changed), verification and f"verification {verification}"]
    return f"{title} ({about}): {'; '.join(filter(None, said))}"


def _review(item: Mapping[str, Any]) -> str:
    severity, title = line(item.get("severity"), 10), line(item.get("title"), MAX_NAME)
    about = [line(item.get("target"), 60), when(item.get("resolved_at"))]
    late = "overdue: " if item.get("overdue") is True else ""
    fixed = ": something was fixed" if item.get("picked") == "fixed" else ": one of the sample"
    return f"{late}[{severity or 'P?'}] {title} ({', '.join(filter(None, about))}){fixed}"


def _secret(item: Mapping[str, Any]) -> str:
    key, due = line(item.get("key"), MAX_NAME), when(item.get("due_at"))
    late = "overdue: " if item.get("overdue") is True else ""
    age = f"{number(item.get('days')):,} days old, due {due}"
    return f"{late}{key} is {age}: responder secrets rotate {key}"


def _window(item: Mapping[str, Any]) -> str:
    name, reason = line(item.get("name"), MAX_NAME), line(item.get("reason"), MAX_NAME)
    times = " to ".join(filter(None, (when(item.get("starts_at")), when(item.get("ends_at")))))
    left = number(item.get("open"))
    lists = f"; {left} items of its list are open" if left else ""
    return f"{' '.join(filter(None, (name, reason and f'({reason})')))}: {times}{lists}"


_LINES = {
    "waiting": _incident,
    "p3": _incident,
    "taken": _incident,
    "fixed": _fix,
    "reviews": _review,
    "secrets": _secret,
    "maintenance": _window,
}
