"""What a change does behind the back of its statement, and what others do at the same time."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from tests.house import House, alert
from tests.small_rules import TABLE, small_rule
from tests.walks import BAD, SLOWLY, fixes, meanwhile, until

Start = Callable[..., House]
Statements = Mapping[str, str]


@pytest.fixture
def start(make_house: Callable[..., House], tmp_path: Path) -> Start:
    """A house with a small rule over a shop in which this was set up."""

    def started(setup: str, statements: Statements, changes: str = '("thing",)') -> House:
        rule = small_rule(
            tmp_path, statements=dict(statements), changes=changes, max_rows=100, within="1m"
        )
        house = make_house([rule])
        house.shop.run(TABLE)
        if setup:
            house.shop.run(setup)
        house.promote(rule)
        return house

    return started


def test_what_turns_bad_during_a_fix_is_not_changed_by_it(start: Start) -> None:
    """Under READ COMMITTED 3 rows would be looked at before, and 10 changed."""
    house = start("", {"mend_before": SLOWLY})
    house.post(alert("Thing"))
    house.run_triage()
    with meanwhile(house.run_walks):
        until(lambda: house.shop.rows(ASLEEP)[0])
        house.shop.run("INSERT INTO thing SELECT n, 'bad' FROM generate_series(21, 27) n")
    (fix,) = fixes(house)
    assert (fix["status"], fix["counts"]) == ("committed", {"thing": 3})
    assert {row["id"] for row in fix["after_rows"]} == {1, 2, 3}
    assert house.shop.rows(BAD) == [*range(21, 28)]
    house.later(timedelta(minutes=2))
    house.settle()
    assert [fix["verification"] for fix in fixes(house)] == ["failed"]
    assert house.decision() == ("hand_over", "not_verified")


ASLEEP = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
#: 100 rows are updated and a trigger writes 2,000 more, into a table that the option names.
SPILLING = """
INSERT INTO thing SELECT n, 'bad' FROM generate_series(101, 197) n;
CREATE FUNCTION spill() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO other (note) SELECT 'x' FROM generate_series(1, 20); RETURN NULL; END $$;
CREATE TRIGGER spill AFTER UPDATE ON thing FOR EACH ROW EXECUTE FUNCTION spill();
"""
#: A function deletes, and what hangs on it goes with it.
CASCADING = """
CREATE TABLE part (id int PRIMARY KEY, thing_id int REFERENCES thing ON DELETE CASCADE);
INSERT INTO part SELECT n, 1 + n % 3 FROM generate_series(1, 6) n;
CREATE FUNCTION purge() RETURNS SETOF int LANGUAGE sql SECURITY DEFINER AS
$$ DELETE FROM public.thing WHERE state = 'bad' RETURNING id $$;
GRANT EXECUTE ON FUNCTION purge TO responder_writing;
"""
#: What is good at the end of the statement is bad again at the commit.
UNDOING = """
CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN UPDATE thing SET state = 'bad' WHERE id = NEW.id AND state <> 'bad'; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER undo AFTER UPDATE ON thing DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (OLD.state = 'bad') EXECUTE FUNCTION undo();
"""
#: No counter of rows counts what is emptied at once.
EMPTYING = """
INSERT INTO other (note) SELECT 'x' FROM generate_series(1, 200);
CREATE FUNCTION empty() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN TRUNCATE public.other; RETURN NULL; END $$;
CREATE TRIGGER empty AFTER UPDATE ON thing FOR EACH STATEMENT EXECUTE FUNCTION empty();
"""
#: Nor what is altered.
ALTERING = """
CREATE FUNCTION alter_it() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN ALTER TABLE public.other DROP COLUMN note; RETURN NULL; END $$;
CREATE TRIGGER alter_it AFTER UPDATE ON thing FOR EACH STATEMENT EXECUTE FUNCTION alter_it();
"""
#: The question whether the cause is gone makes it go.
CHEATING = """
CREATE FUNCTION gone() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.other (note) VALUES ('asked'); RETURN true; END $$;
"""
TRAPS = [
    pytest.param(
        SPILLING, {}, '("thing", "other")', "it changed 2100 rows", id="2,000 by a trigger"
    ),
    pytest.param(
        CASCADING,
        {"mend": "SELECT purge() AS id"},
        '("thing",)',
        "it also changed part",
        id="a cascade",
    ),
    pytest.param(UNDOING, {}, '("thing",)', "it changed 6 rows", id="a deferred trigger"),
    pytest.param(EMPTYING, {}, '("thing",)', "emptied or altered other", id="a TRUNCATE"),
    pytest.param(ALTERING, {}, '("thing",)', "emptied or altered other", id="an ALTER TABLE"),
    pytest.param(
        CHEATING,
        {"mend_verify": "SELECT gone()"},
        '("thing",)',
        "it also changed other",
        id="a verification that writes",
    ),
]


@pytest.mark.parametrize(("setup", "statements", "changes", "why"), TRAPS)
def test_it_is_rolled_back_and_handed_over(
    start: Start, setup: str, statements: Statements, changes: str, why: str
) -> None:
    house = start(setup, statements, changes)
    before = house.shop.rows("SELECT to_jsonb(t) FROM thing t ORDER BY id")
    others = house.shop.rows("SELECT to_jsonb(o) FROM other o ORDER BY id")
    house.post(alert("Thing"))
    house.settle()
    (fix,) = fixes(house)
    assert fix["status"] == "rolled_back"
    assert why in fix["reason"]
    assert house.shop.rows("SELECT to_jsonb(t) FROM thing t ORDER BY id") == before
    assert house.shop.rows("SELECT to_jsonb(o) FROM other o ORDER BY id") == others
    assert house.decision() == ("hand_over", "fix_failed")
    assert [after for what, after in house.trail() if what == "fix"] == ["started", "rolled_back"]


def test_a_deferred_trigger_that_undoes_is_seen_by_the_verification(start: Start) -> None:
    """Also where it changes no more rows than allowed."""
    undoing = UNDOING.replace(
        "UPDATE thing SET state = 'bad' WHERE id = NEW.id AND state <> 'bad'",
        "INSERT INTO other (note) VALUES ('late')",
    )
    house = start(
        undoing,
        {"mend_verify": "SELECT NOT EXISTS (SELECT FROM other WHERE note = 'late') AS gone"},
        '("thing", "other")',
    )
    house.post(alert("Thing"))
    house.settle()
    (fix,) = fixes(house)
    assert fix["status"] == "rolled_back"
    assert "the cause would still be there" in fix["reason"]
    assert house.shop.rows("SELECT note FROM other") == []
