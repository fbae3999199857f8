"""The keys of [[windows]]: maintenance that comes again."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from marshmallow import ValidationError, post_load

from responder.domain.settings import Expect, Item, RecurringWindow
from responder.recurrence import Recurrence
from responder.settings.fields import NAME, Items, Keys, Table, Value
from responder.settings.values import (
    one_of,
    read_duration,
    read_filled_text,
    read_matcher,
    read_switch,
    read_text,
)

LONGEST = timedelta(days=30)
LONGEST_WATCH = timedelta(days=1)
MOST_ITEMS = 50
_ITEM_KEYS = ("item", "check", "target", "expect")


def read_item(value: object) -> Item:
    """A line of a checklist: its text, or a table that says how it is answered."""
    if isinstance(value, str):
        return Item(_line(value))
    if not isinstance(value, dict) or "item" not in value:
        raise ValueError('must be text in quotes, or {item = "...", check = "rule.diagnostic"}')
    for key in value:
        if key not in _ITEM_KEYS:
            raise ValueError(f"unknown key {key!r}; known are {', '.join(_ITEM_KEYS)}")
    if "check" not in value and len(value) > 1:
        raise ValueError("target and expect are of no use without check")
    read = {key: read_text(value[key]) for key in value}
    expect = one_of(Expect)(read.get("expect", Expect.ANSWER))
    return Item(_line(read["item"]), read.get("check", ""), read.get("target", ""), expect)


def _line(text: str) -> str:
    if not text.strip() or len(text) > 500 or not text.isprintable():
        raise ValueError("an item is one line of at most 500 characters")
    return text


def _read_name(value: object) -> str:
    if not NAME.fullmatch(read_text(value)):
        raise ValueError("not a name; write a-z, 0-9, _ and -, with a letter or digit first")
    return read_text(value)


def _read_start(value: object) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is not None:
        raise ValueError("must be a local time without quotes, for example 2026-01-04T02:00:00")
    return value


def _at_most(longest: timedelta, told: str) -> Any:
    def read(value: object) -> timedelta:
        duration = read_duration(value)
        if duration > longest:
            raise ValueError(f"must be at most {told}")
        return duration

    return read


def _not_too_many(items: Sequence[Item]) -> None:
    if len(items) > MOST_ITEMS:
        raise ValidationError(f"must be at most {MOST_ITEMS}")


class WindowKeys(Keys):
    name = Value(_read_name, required=True)
    reason = Value(read_filled_text, required=True)
    starts = Value(_read_start, required=True)
    rrule = Value(read_filled_text, required=True)
    zone = Value(read_text, load_default="UTC")
    duration = Value(_at_most(LONGEST, "30d"), required=True)
    matches = Items(
        Value(read_matcher),
        required=True,
        error_messages={"required": "missing; write [] if it is about everything"},
    )
    page = Value(read_switch)
    diagnose = Value(read_switch)
    fix = Value(read_switch)
    before = Items(Value(read_item), validate=_not_too_many)
    after = Items(Value(read_item), validate=_not_too_many)
    watch = Value(_at_most(LONGEST_WATCH, "1d"))

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> RecurringWindow:
        window = RecurringWindow(**data)
        try:
            Recurrence(window.rrule, window.starts, window.zone)
        except ValueError as error:
            raise ValidationError({_blamed(str(error)): [str(error)]}) from None
        if window.page and window.diagnose and window.fix and not window.before:
            raise ValidationError({"fix": ["a window that leaves everything on does nothing"]})
        return window


def _blamed(mistake: str) -> str:
    """The key whose value the mistake is about."""
    if mistake.startswith("must be in the years"):
        return "starts"
    return "zone" if mistake.startswith("not a time zone") else "rrule"


def no_twins(windows: Sequence[RecurringWindow]) -> None:
    """An occurrence is known by the name of its window."""
    counts = Counter(window.name for window in windows)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValidationError(f"has two of the name {', '.join(twice)}")


WINDOWS = Items(Table(WindowKeys), validate=no_twins)
