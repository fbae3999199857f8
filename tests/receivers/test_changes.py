"""What a fix changed, as people read it: capped, with a true count of the rest, and harmless."""

from typing import Any

import pytest

from responder.domain.notification import Happening
from responder.receivers import slack
from responder.receivers.brief.changes import MAX_LINES, MAX_ROWS, changes
from responder.receivers.brief.table import WIDTH
from tests.receivers.documents import FIXED, message
from tests.receivers.test_brief import part


def fix(before: list[Any], after: list[Any], **more: Any) -> dict[str, Any]:
    return {"status": "committed", "before": before, "after": after, **more}


def things(count: int, **columns: Any) -> list[dict[str, Any]]:
    return [{"id": number, **columns} for number in range(1, count + 1)]


def test_each_row_with_its_changed_columns() -> None:
    before = [
        {"id": 7, "state": "bad", "note": None, "price": 1.5},
        {"id": 8, "state": "bad", "note": "x"},
    ]
    after = [
        {"id": 8, "state": "good", "note": "x"},
        {"id": 7, "state": "good", "note": "y", "price": 1.5},
    ]
    assert changes(fix(before, after)) == (
        "row  column  before  after\n"
        "7    state   bad     good\n"
        "     note    empty   y\n"
        "8    state   bad     good"
    )


def test_of_many_rows_what_changed_alike_stands_once() -> None:
    told = changes(fix(things(1200, state="bad"), things(1200, state="good")))
    assert told == "row        column  before  after\nall 1,200  state   bad     good"


def test_the_rest_is_counted() -> None:
    before = [{"id": n, "n": n, "m": n} for n in range(1, 41)]
    after = [{"id": n, "n": -n, "m": -n} for n in range(1, 41)]
    lines = changes(fix(before, after)).splitlines()
    assert (len(lines), lines[-1]) == (1 + 2 * MAX_ROWS + 1, "... 35 more rows")


def test_a_row_of_many_columns_is_cut_and_counted() -> None:
    before, after = ({"id": 1, **{f"c{n}": value for n in range(40)}} for value in (1, 2))
    lines = changes(fix([before], [after])).splitlines()
    assert (len(lines), lines[-1]) == (MAX_LINES + 2, "... 25 more columns")


def test_long_values_that_differ_look_different() -> None:
    before, after = [{"id": 1, "text": "x" * 200 + "a"}], [{"id": 1, "text": "x" * 200 + "b"}]
    told = changes(fix(before, after))
    assert "differs further on" in told
    assert max(map(len, told.splitlines())) <= WIDTH


@pytest.mark.parametrize(
    ("before", "after"),
    [([], []), (things(2, a=1), []), (things(2, a=1), [{"cleared": 2}]), ([{"a": 1}], [{"a": 2}])],
)
def test_what_cannot_be_compared_is_not_shown(before: list[Any], after: list[Any]) -> None:
    assert changes(fix(before, after)) == ""


def told(**changed: Any) -> str:
    """The part of a document whose fix is another one."""
    last = FIXED["fixes"][-1]
    return part({**FIXED, "fixes": [last, {**last, **changed}]}, "Fix")


def test_a_dry_run_says_what_it_would_change() -> None:
    shown = told(status="rolled_back", reason="dry run", dry_run=True, verification=None)
    assert "A dry run: made, looked at and taken back; nothing was changed." in shown
    assert "It would change: 12 rows of shopify_sync_queue." in shown
    assert "all 12     status       failed" in shown


def test_an_undo_says_what_it_left() -> None:
    shown = told(undoes="0190", left=[str(n) for n in range(1, 14)], verification=None)
    assert shown.startswith("Undo of: Queue the failed items again")
    assert (
        "Left as they are, since they changed after the fix or are gone: "
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 3 more." in shown
    )


@pytest.mark.parametrize(
    ("status", "said"),
    [("started", "Under way."), ("committed", "Made."), ("unknown", "Nobody can say")],
)
def test_what_a_person_does_is_not_taken_for_what_was_decided(status: str, said: str) -> None:
    last, ann = FIXED["fixes"][-1], {"kind": "person", "name": "ann"}
    theirs = {**last, "actor": ann, "status": status, "verification": None}
    undo = {**FIXED, "fixes": [{**last, "status": "undone"}, {**theirs, "undoes": "0190"}]}
    title = "Queue the failed items again whose error may pass"
    assert part(undo, "Decision").startswith(f"Undo of: {title}, by ann: {said}")
    other = {**FIXED, "fixes": [last, {**theirs, "option": "clear_failed"}]}
    title = "Delete all failed items from the queue"
    assert part(other, "Decision").startswith(f"{title}, by ann: {said}")


def test_a_dry_run_hides_no_fix_that_held() -> None:
    last = FIXED["fixes"][-1]
    tried = {**last, "status": "rolled_back", "reason": "dry run", "dry_run": True}
    document = {**FIXED, "fixes": [last, tried]}
    assert "Nothing is left to do" in part(document, "Decision")


def test_values_from_outside_are_no_markup() -> None:
    evil = "<!channel> ``` <b>\n\u202e"
    rows = fix([{"id": 1, "a`\n": "x"}], [{"id": 1, "a`\n": evil}])
    shown = changes(rows)
    assert len(shown.splitlines()) == 2
    assert "\u202e" not in shown
    document = {**FIXED, "fixes": [{**FIXED["fixes"][-1], **rows}]}
    blocks = slack.encode(message(document, Happening.UPDATED))["blocks"]
    (block,) = [each for each in blocks if "row" in str(each) and "before" in str(each)]
    assert block["text"]["text"].count("```") == 2
    assert "&lt;\u200b!channel&gt;" in block["text"]["text"]
