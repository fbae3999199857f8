"""An undo whose process dies between two of its steps, or whose target does: at most once."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from responder.domain.incident import Incident, Stage
from responder.pipeline import walk
from tests.house import House
from tests.undoing import made, things, undo_of, undoable
from tests.walks import BAD, dies, fixes, meanwhile, reasons, refusing, timers, until, walk_to

Start = Callable[..., House]


def begun(house: House) -> Incident:
    """An undo is asked for; its walk has no job any more, so a test takes it step by step."""
    undo_of(house)
    house.sql("DELETE FROM procrastinate_jobs")
    return house.incident()


def statuses(house: House) -> list[tuple[str, str | None]]:
    return [(fix["status"], fix["verification"]) for fix in fixes(house)]


def test_a_crash_before_its_gate_is_rolled_back_and_may_be_asked_for_again(start: Start) -> None:
    house = made(start)
    before = things(house)
    incident = begun(house)
    with refusing(house, "fix", "NEW.status = 'recorded'"):
        dies(lambda: walk(house.services, incident.id, 0))
    assert (things(house), statuses(house)[1]) == (before, ("started", None))
    house.later(timedelta(minutes=1))
    walk(house.services, incident.id, 1)
    undo = fixes(house)[1]
    assert (undo["status"], undo["reason"]) == (
        "rolled_back",
        "interrupted before it was decided",
    )
    assert (things(house), house.incident().stage) == (before, Stage.WATCH)
    undo_of(house)
    house.settle()
    assert statuses(house) == [("undone", "held"), ("rolled_back", None), ("committed", None)]
    assert house.shop.rows(BAD) == [1, 2, 3]


@pytest.mark.parametrize(
    ("table", "condition"),
    [
        ("fix", "NEW.status = 'committed' AND NEW.undoes IS NOT NULL"),
        ("fix", "NEW.status = 'undone'"),
        ("audit_event", "NEW.after = 'undone'"),
        ("incident", "NEW.stage = 'diagnose'"),
    ],
)
def test_a_crash_after_the_targets_commit_is_no_second_undo(
    start: Start, table: str, condition: str
) -> None:
    house = made(start)
    incident = begun(house)
    with refusing(house, table, condition):
        dies(lambda: walk(house.services, incident.id, 0))
    assert statuses(house) == [("committed", "held"), ("recorded", None)]
    assert house.shop.rows(BAD) == [1, 2, 3]
    house.shop.run("UPDATE thing SET state = 'sold' WHERE id = 1")  # a second one would change it
    sold = things(house)
    walk(house.services, incident.id, 1)
    assert statuses(house) == [("undone", "held"), ("committed", None)]
    assert things(house) == sold
    assert house.trail().count(("fix", "undone")) == 1
    assert reasons(house)[-1] == "breaker"


def test_a_fate_that_nobody_knows_is_handed_over_and_never_tried_again(start: Start) -> None:
    house = start(**undoable())
    first = walk_to(house, Stage.VERIFY)
    house.shop.run("INSERT INTO thing (id, state) VALUES (4, 'bad')")
    walk(house.services, first.id, 0)
    incident = begun(house)
    house.sql(
        "UPDATE fix SET status = 'recorded', xid = '3', system_identifier = '1', timeline = 9"
        " WHERE undoes IS NOT NULL"
    )
    walk(house.services, incident.id, 0)
    assert statuses(house) == [("committed", "not_asked"), ("unknown", None)]
    assert house.decision() == ("hand_over", "unknown")
    assert house.shop.rows(BAD) == [4]
    house.run_jobs()
    assert len(fixes(house)) == 2


def test_an_undo_that_is_given_up_leaves_its_fix_unverified(start: Start) -> None:
    house = start(**undoable())
    first = walk_to(house, Stage.VERIFY)
    house.shop.run("INSERT INTO thing (id, state) VALUES (4, 'bad')")
    walk(house.services, first.id, 0)
    incident = begun(house)
    walk(house.services, incident.id, 3)
    assert statuses(house) == [("committed", "not_asked"), ("rolled_back", None)]
    assert house.decision() == ("hand_over", "gave_up")
    assert timers(house) == ["escalate", "quiet"]


def test_who_was_taken_over_undoes_nothing(start: Start) -> None:
    house = made(start, **undoable(mend_undo=_SLOWLY))
    before = things(house)
    incident = begun(house)
    with meanwhile(lambda: walk(house.services, incident.id, 0)):
        until(lambda: house.incident().attempt > incident.attempt)
        house.sql("UPDATE incident SET attempt = attempt + 1")
    assert (things(house), statuses(house)[1]) == (before, ("started", None))


_SLOWLY = """
UPDATE thing t SET state = b.state, made_at = b.made_at
FROM jsonb_populate_recordset(NULL::thing, %(before)s) b
WHERE t.id = b.id AND (SELECT pg_sleep(1)) IS NOT NULL
    AND to_jsonb(t)::text IN (SELECT value::text FROM jsonb_array_elements(%(after)s))
RETURNING t.*
"""


_SLEEPS = """
SELECT 1 FROM pg_stat_activity
WHERE query ~ 'pg_sleep' AND state = 'active' AND pid <> pg_backend_pid()
    AND datname = current_database()
"""


def test_who_changes_the_rows_meanwhile_wins(start: Start) -> None:
    """Their commit comes between the look at the rows and the change: nothing is overwritten."""
    house = made(start, **undoable(mend_undo=_SLOWLY))
    begun(house)
    incident = house.incident()
    with meanwhile(lambda: walk(house.services, incident.id, 0)):
        until(lambda: house.shop.rows(_SLEEPS))
        house.shop.run("UPDATE thing SET state = 'sold' WHERE id = 2")
    fix, undo = fixes(house)
    assert (fix["status"], undo["status"]) == ("committed", "rolled_back")
    assert undo["reason"].startswith("outrun")
    assert house.shop.rows("SELECT state FROM thing WHERE id < 10 ORDER BY id") == [
        "good",
        "sold",
        "good",
    ]
