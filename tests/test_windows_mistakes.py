"""Mistakes in [[windows]]: each has its key, and says what to write instead."""

import pytest

from responder import settings
from responder.domain.settings import Expect, Item

GOOD = {
    "name": '"weekly"',
    "reason": '"Database maintenance"',
    "starts": "2026-01-04T02:00:00",
    "rrule": '"FREQ=WEEKLY;BYDAY=SU"',
    "duration": '"2h"',
    "matches": "[]",
}


def window(**changes: str | None) -> str:
    keys = {key: value for key, value in (GOOD | changes).items() if value is not None}
    return "\n".join(["[[windows]]", *(f"{key} = {value}" for key, value in keys.items())])


def mistakes(text: str) -> list[str]:
    with pytest.raises(settings.SettingsWrong) as wrong:
        settings.read(text, "responder.toml")
    return wrong.value.mistakes


def test_the_smallest_window() -> None:
    (found,) = settings.read(window(), "responder.toml").windows
    assert (found.zone, found.page, found.diagnose, found.fix) == ("UTC", True, True, False)
    assert (found.before, found.after, found.watch.seconds) == ((), (), 3600)


def test_items_are_texts_or_tables() -> None:
    table = '{item = "look", check = "a.b", target = "t", expect = "no_rows"}'
    (found,) = settings.read(window(before=f'["ask", {table}]'), "responder.toml").windows
    assert found.before == (Item("ask"), Item("look", "a.b", "t", Expect.NO_ROWS))


@pytest.mark.parametrize("key", GOOD)
def test_what_must_be_written(key: str) -> None:
    (line,) = mistakes(window(**{key: None}))
    assert line.startswith(f"windows[0].{key}: missing")


@pytest.mark.parametrize(
    ("key", "value", "wrong"),
    [
        ("name", '"Weekly one"', "name: not a name"),
        ("name", "7", "name: must be text"),
        ("reason", '" "', "reason: must not be empty"),
        ("starts", '"2026-01-04T02:00:00"', "starts: must be a local time without quotes"),
        ("starts", "2026-01-04T02:00:00Z", "starts: must be a local time without quotes"),
        ("starts", "2026-01-04", "starts: must be a local time without quotes"),
        ("starts", "1926-01-04T02:00:00", "starts: must be in the years 2000 to 2100"),
        ("rrule", '"every Sunday"', "rrule: not a part of a rule"),
        ("rrule", '"FREQ=HOURLY"', "rrule: not a value of FREQ"),
        ("rrule", '"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"', "rrule: never happens"),
        ("zone", '"Mars/Olympus"', "zone: not a time zone"),
        ("duration", '"31d"', "duration: must be at most 30d"),
        ("duration", '"0s"', "duration: must be longer than 0"),
        ("matches", '["env"]', "matches[0]: not a matcher"),
        ("watch", '"2d"', "watch: must be at most 1d"),
        ("fix", "true", "fix: a window that leaves everything on does nothing"),
        ("before", '"x"', "before: must be a list"),
        ("before", "[7]", "before[0]: must be text in quotes, or {item"),
        ("before", '["ok", " "]', "before[1]: an item is one line"),
        ("after", '["a\\nb"]', "after[0]: an item is one line"),
        ("after", '[{check = "a.b"}]', "after[0]: must be text in quotes, or {item"),
        ("after", '[{item = "x", colour = "red"}]', "after[0]: unknown key 'colour'"),
        ("after", '[{item = "x", target = "t"}]', "after[0]: target and expect are of no use"),
        (
            "after",
            '[{item = "x", check = "a.b", expect = "luck"}]',
            'after[0]: must be one of "answer", "no_rows", "rows"',
        ),
        ("colour", '"red"', "colour: unknown key"),
    ],
)
def test_a_mistake_has_its_key(key: str, value: str, wrong: str) -> None:
    (line,) = mistakes(window(**{key: value}))
    assert line.startswith(f"windows[0].{wrong}"), line


def test_two_of_a_name() -> None:
    assert mistakes(window() + "\n" + window()) == ["windows: has two of the name weekly"]
