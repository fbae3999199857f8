"""What people hear of a maintenance window: why it is not in force, or not finished."""

from collections.abc import Iterator, Mapping
from typing import Any

from responder.receivers.brief.piece import Part, Piece
from responder.receivers.brief.text import line, mapping, when, words

MAX_NAME = 150
MAX_SENTENCE = 600
MAX_ITEM = 300
MAX_ITEMS = 20


def title(told: Mapping[str, Any]) -> str:
    return " ".join(["Maintenance", *_named(told)])


def state(told: Mapping[str, Any]) -> str:
    """Where it stands, and its time."""
    word = line(told.get("state"), 40).replace("_", " ").capitalize() or "Not known"
    times = [when(told.get("starts_at")), when(told.get("ends_at"))]
    return f"{word}; {' to '.join(times)}" if all(times) else word


def parts(document: Mapping[str, Any]) -> Iterator[Part]:
    told = mapping(document.get("maintenance"))
    yield Part("Maintenance", (Piece(line(told.get("sentence"), MAX_SENTENCE)),))
    left = [line(item, MAX_ITEM) for item in words(told.get("open"))]
    if left:
        shown = [f"[ ] {item}" for item in left[:MAX_ITEMS]]
        if len(left) > MAX_ITEMS:
            shown.append(f"... {len(left) - MAX_ITEMS} more")
        yield Part("Still open", (Piece("\n".join(shown)),))


def around(document: Mapping[str, Any]) -> str:
    """That an incident began in a maintenance or shortly after one; empty for most."""
    told = mapping(document.get("maintenance"))
    if not told:
        return ""
    named, ended = " ".join(["maintenance", *_named(told)]), when(told.get("ends_at"))
    if told.get("during") is True:
        return f"It began during {named}."
    return f"It began shortly after {named}" + (f", which ended {ended}." if ended else ".")


def _named(told: Mapping[str, Any]) -> list[str]:
    name, reason = line(told.get("name"), MAX_NAME), line(told.get("reason"), MAX_NAME)
    return [*filter(None, (name, reason and f"({reason})"))]
