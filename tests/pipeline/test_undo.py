"""Undo of a fix: what it restores, what it leaves, and what becomes of the fix and its incident."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from responder.domain.ids import new_id
from responder.domain.incident import IncidentStatus, Stage
from responder.pipeline import walk
from responder.pipeline.breaker import reset
from responder.pipeline.by_hand import Asked, Objection, ask
from responder.pipeline.people import close
from responder.pipeline.undo import AskedUndo, ask_undo
from responder.runbook.catalogue import Catalogue
from tests.house import House, alert
from tests.small_rules import TABLE, small_rule
from tests.undoing import ANN, UNDO, made, refused, things, undo_of, undoable
from tests.walks import BAD, fixes, reasons, timers, walk_to

Start = Callable[..., House]
STATES = "SELECT id || ' ' || state FROM thing WHERE id < 10 ORDER BY id"


def events(house: House) -> list[tuple[str, str | None, str | None, str]]:
    """What happened to fixes and verifications, by whom."""
    rows = house.sql(
        "SELECT what, before, after, actor FROM audit_event"
        " WHERE what IN ('fix', 'verification') ORDER BY id"
    )
    return [(row["what"], row["before"], row["after"], row["actor"]) for row in rows]


def test_an_undo_restores_the_rows_and_says_so(start: Start) -> None:
    house = start(**undoable())
    before = things(house)
    house.post(alert("Thing"))
    house.settle()
    assert things(house) != before
    undo_of(house)
    house.settle()
    fix, undo = fixes(house)
    assert things(house) == before
    assert (fix["status"], fix["verification"]) == ("undone", "held")
    assert (undo["status"], undo["verification"], undo["undoes"]) == ("committed", None, fix["id"])
    assert (undo["actor_kind"], undo["actor"], undo["counts"]) == ("person", "ann", {"thing": 3})
    assert (undo["before_rows"], undo["after_rows"]) == (fix["after_rows"], fix["before_rows"])
    assert events(house)[-4:] == [
        ("fix", None, "started", "ann"),
        ("fix", "started", "recorded", "ann"),
        ("fix", "recorded", "committed", "ann"),
        ("fix", "committed", "undone", "ann"),
    ]
    told = house.document()["fixes"]
    assert [(each["undoes"], each["left"]) for each in told] == [(None, []), (str(fix["id"]), [])]
    (event,) = house.sql("SELECT details FROM audit_event WHERE after = 'undone'")
    assert (event["details"]["why"], event["details"]["left"]) == ("all rows are as before", [])


def test_rows_that_changed_or_are_gone_are_left_and_named(start: Start) -> None:
    house = made(start)
    house.shop.run("UPDATE thing SET state = 'sold' WHERE id = 2")
    house.shop.run("DELETE FROM thing WHERE id = 3")
    undo_of(house)
    house.settle()
    fix, undo = fixes(house)
    assert house.shop.rows(STATES) == ["1 bad", "2 sold"]
    assert (fix["status"], undo["status"], undo["left_rows"]) == ("undone", "committed", ["2", "3"])
    assert [row["id"] for row in undo["after_rows"]] == [1]
    assert house.document()["fixes"][1]["left"] == ["2", "3"]
    (event,) = house.sql("SELECT details FROM audit_event WHERE after = 'undone'")
    assert event["details"]["left"] == ["2", "3"]
    assert event["details"]["why"] == "2 rows left: changed since the fix, or gone"


def test_where_all_has_changed_the_fix_stands(start: Start) -> None:
    house = made(start)
    house.shop.run("UPDATE thing SET state = 'sold' WHERE id < 10")
    undo_of(house)
    house.settle()
    fix, undo = fixes(house)
    assert (fix["status"], undo["status"]) == ("committed", "refused")
    assert undo["reason"] == "all rows changed since the fix, or are gone"
    assert house.document()["fixes"][1]["left"] == ["1", "2", "3"]
    assert (house.incident().stage, reasons(house)) == (Stage.WATCH, ["allowed"])
    undo_of(house)  # what came to nothing may be asked for again


def test_a_dry_run_says_what_it_would_restore_and_leaves_all(start: Start) -> None:
    house = made(start)
    house.shop.run("UPDATE thing SET state = 'sold' WHERE id = 2")
    before = things(house)
    undo_of(house, dry_run=True)
    house.settle()
    fix, undo = fixes(house)
    assert things(house) == before
    assert (fix["status"], undo["status"], undo["reason"]) == (
        "committed",
        "rolled_back",
        "dry run",
    )
    assert (undo["counts"], undo["left_rows"]) == ({"thing": 2}, ["2"])
    assert [row["state"] for row in undo["after_rows"]] == ["bad", "bad"]
    undo_of(house)
    house.settle()
    assert (fixes(house)[0]["status"], house.shop.rows(STATES)) == (
        "undone",
        ["1 bad", "2 sold", "3 bad"],
    )


# What it checks before it commits

KEEPS = """
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.made_at := clock_timestamp(); RETURN NEW; END $$;
CREATE TRIGGER keep BEFORE UPDATE ON thing FOR EACH ROW EXECUTE FUNCTION keep();
"""
LATER = """
CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE thing SET made_at = '2020-01-01' WHERE id = NEW.id; RETURN NULL; END $$;
CREATE TRIGGER later AFTER UPDATE OF state ON thing FOR EACH ROW WHEN (NEW.state = 'bad')
EXECUTE FUNCTION later();
"""
SPILL = """
CREATE FUNCTION spill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO other (note) VALUES ('x'); RETURN NULL; END $$;
CREATE TRIGGER spill AFTER UPDATE ON thing FOR EACH ROW WHEN (NEW.state = 'bad')
EXECUTE FUNCTION spill();
"""
UNLIKE = "rows 1, 2, 3 would not be as before the fix, byte for byte"


@pytest.mark.parametrize(
    ("statement", "trigger", "why"),
    [
        pytest.param(UNDO, KEEPS, UNLIKE, id="a trigger keeps a column"),
        pytest.param(
            UNDO.replace("b.state", "'worse'"), "", UNLIKE, id="the statement does otherwise"
        ),
        pytest.param(UNDO, LATER, "it changed 6 rows", id="a trigger changes it once more"),
        pytest.param(UNDO, SPILL, "it also changed other", id="another table"),
        pytest.param(
            UNDO.replace("WHERE t.id = b.id AND", "WHERE (t.id = b.id OR t.id = 11) OR"),
            "",
            "byte for byte",
            id="rows of others",
        ),
        pytest.param(UNDO.replace("b.state", "NULL"), "", "not-null", id="it fails"),
    ],
)
def test_what_it_would_do_else_is_rolled_back(
    start: Start, statement: str, trigger: str, why: str
) -> None:
    house = made(start, **undoable(mend_undo=statement))
    if trigger:
        house.shop.run(trigger)
    before = things(house)
    undo_of(house)
    house.settle()
    fix, undo = fixes(house)
    assert (things(house), fix["status"]) == (before, "committed")
    assert undo["status"] == "rolled_back"
    assert why in undo["reason"]
    assert (house.incident().stage, reasons(house)) == (Stage.WATCH, ["allowed"])


def test_a_volatile_column_need_not_be_as_it_was(start: Start) -> None:
    house = start(**undoable(', volatile=("made_at",)'))
    house.shop.run(KEEPS)
    before = house.shop.rows("SELECT made_at FROM thing WHERE id = 1")
    house.post(alert("Thing"))
    house.settle()
    undo_of(house)
    house.settle()
    assert [fix["status"] for fix in fixes(house)] == ["undone", "committed"]
    assert house.shop.rows(BAD) == [1, 2, 3]
    assert house.shop.rows("SELECT made_at FROM thing WHERE id = 1") != before


BY_FUNCTION = {
    "mend": "SELECT mend_all()",
    "mend_after": "SELECT t.* FROM thing t, jsonb_to_recordset(%(before)s) b (id int)"
    " WHERE t.id = b.id",
}


def test_what_a_function_changed_is_looked_at_afterwards(start: Start) -> None:
    house = start(**undoable(**BY_FUNCTION))
    house.shop.run(
        "CREATE FUNCTION mend_all() RETURNS void LANGUAGE sql AS"
        " $$ UPDATE thing SET state = 'good' WHERE state = 'bad' $$"
    )
    before = things(house)
    house.post(alert("Thing"))
    house.settle()
    assert [row["state"] for row in fixes(house)[0]["after_rows"]] == ["good"] * 3
    undo_of(house)
    house.settle()
    assert (fixes(house)[0]["status"], things(house)) == ("undone", before)


# What keeps it from being fixed again, and what becomes of the incident


def test_it_is_diagnosed_anew_and_nobody_fixes_it_again_by_itself(start: Start) -> None:
    house = made(start)
    undo_of(house)
    house.settle()
    assert (house.incident().stage, house.decision()) == (Stage.WATCH, ("propose", "breaker"))
    close(house.services, house.incident().id, ANN)
    house.later(timedelta(days=2))
    house.post(alert("Thing", instance="another"))
    house.settle()
    assert reasons(house) == ["allowed", "breaker", "breaker"]
    assert (len(fixes(house)), house.shop.rows(BAD)) == (2, [1, 2, 3])
    assert house.gap() == (0, 0)


def test_no_other_rule_makes_at_once_what_was_taken_back(
    make_house: Callable[..., House], tmp_path: Path
) -> None:
    rules = [small_rule(tmp_path, **undoable()), small_rule(tmp_path, name="Other")]
    house = make_house(rules)
    house.shop.run(TABLE)
    for rule in rules:
        house.promote(rule)
    house.post(alert("Thing"))
    house.settle()
    undo_of(house)
    house.settle()
    house.post(alert("Other"))
    house.settle()
    assert (reasons(house)[-1], house.shop.rows(BAD)) == ("cooldown", [1, 2, 3])
    close(house.services, house.incidents()[1].id, ANN)
    house.later(timedelta(minutes=31))
    house.post(alert("Other", instance="another"))
    house.settle()
    assert (reasons(house)[-1], house.shop.rows(BAD)) == ("allowed", [])


def test_a_person_who_resets_the_breaker_lets_it_be_fixed_again(start: Start) -> None:
    house = made(start)
    undo_of(house)
    house.settle()
    house.later(timedelta(hours=2))
    assert reset(house.services.store, house.incident().id, ANN, "the rows were right after all")
    house.settle()
    assert [fix["status"] for fix in fixes(house)] == ["undone", "committed", "committed"]
    assert (reasons(house)[-1], house.shop.rows(BAD)) == ("allowed", [])


def test_an_incident_that_is_over_stays_over(start: Start) -> None:
    house = made(start)
    house.post(alert("Thing", status="resolved"))
    house.settle()
    assert house.incident().stage == Stage.DONE
    undo_of(house)
    house.settle()
    over = house.incident()
    assert (over.status, over.stage) == (IncidentStatus.RESOLVED, Stage.DONE)
    assert (fixes(house)[0]["status"], house.shop.rows(BAD)) == ("undone", [1, 2, 3])
    assert house.gap() == (0, 0)


# A verification that still waits


def verifying(start: Start, **of_rule: Any) -> House:
    """A fix of which it is still asked whether it held: something else is bad meanwhile."""
    house = start(**(of_rule or undoable()))
    incident = walk_to(house, Stage.VERIFY)
    house.shop.run("INSERT INTO thing (id, state) VALUES (4, 'bad')")
    walk(house.services, incident.id, 0)
    assert (fixes(house)[0]["verification"], timers(house)) == ("waiting", ["verify"])
    return house


def test_an_undo_ends_a_verification_that_waits(start: Start) -> None:
    house = verifying(start)
    undo_of(house)
    house.settle()
    fix, undo = fixes(house)
    assert (fix["status"], fix["verification"], undo["status"]) == (
        "undone",
        "not_asked",
        "committed",
    )
    assert events(house)[-2:] == [
        ("verification", "waiting", "not_asked", "ann"),
        ("fix", "committed", "undone", "ann"),
    ]
    assert "verify" not in timers(house)
    assert house.decision() == ("propose", "breaker")


@pytest.mark.parametrize(
    ("of_rule", "dry_run", "status"),
    [
        (undoable(), True, "rolled_back"),
        (undoable(mend_undo=UNDO.replace("b.state", "'worse'")), False, "rolled_back"),
    ],
)
def test_an_undo_that_comes_to_nothing_lets_the_verification_go_on(
    start: Start, of_rule: dict[str, Any], dry_run: bool, status: str
) -> None:
    house = verifying(start, **of_rule)
    undo_of(house, dry_run=dry_run)
    house.settle()
    fix, undo = fixes(house)
    assert (fix["status"], fix["verification"], undo["status"]) == ("committed", "waiting", status)
    assert (house.incident().stage, "verify" in timers(house)) == (Stage.VERIFY, True)
    house.shop.run("UPDATE thing SET state = 'good' WHERE id = 4")
    house.later(timedelta(minutes=1))
    house.settle()
    assert fixes(house)[0]["verification"] == "held"


# What cannot be undone says why


def test_what_was_not_made_is_not_undone(start: Start) -> None:
    house = start(**undoable(mend_verify="SELECT false AS gone"))
    house.post(alert("Thing"))
    house.settle()
    why = refused(house)
    assert (why.objection, str(why)) == (
        Objection.NOT_POSSIBLE,
        "it was rolled back, so there is nothing to undo",
    )
    house.sql("UPDATE fix SET status = 'unknown'")
    assert "nobody can say whether it was made" in str(refused(house))
    house.sql("UPDATE fix SET status = 'recorded'")
    assert refused(house).objection == Objection.CONFLICT


def test_what_is_undone_is_not_undone_again(start: Start) -> None:
    house = made(start)
    undo = undo_of(house)
    assert "being undone by ann" in str(refused(house))
    house.settle()
    why = refused(house)
    assert (str(why), why.more) == ("it was undone by ann", {"fix": str(undo)})
    house.sql("UPDATE fix SET status = 'unknown' WHERE id = %s", undo)
    house.sql("UPDATE fix SET status = 'committed' WHERE undoes IS NULL")
    assert str(refused(house)) == "it may have been undone by ann"
    assert "an undo itself" in str(refused(house, fix=undo))


def test_two_who_ask_at_once_are_one_undo(start: Start) -> None:
    house = made(start)
    fix_id = fixes(house)[0]["id"]
    asked = AskedUndo(fix_id, key="a key")
    first = ask_undo(house.services, asked, ANN, "operator")
    assert not first.again
    assert ask_undo(house.services, asked, ANN, "operator") == first._replace(again=True)
    house.settle()
    assert ask_undo(house.services, asked, ANN, "operator") == first._replace(again=True)
    assert len(fixes(house)) == 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            "UPDATE fix SET before_rows = '[]', after_rows = '[]', image_sha256 = NULL",
            "no rows were kept of it",
        ),
        ("UPDATE fix SET statements = statements - 'undo'", "had no undo when this fix was made"),
        (
            """UPDATE fix SET before_rows = '[{"state": "bad"}]', image_sha256 = NULL""",
            "its rows have no id",
        ),
        ("UPDATE fix SET target = 'gone'", "the target has no fixing role"),
    ],
)
def test_what_cannot_be_undone_says_why(start: Start, change: str, why: str) -> None:
    house = made(start)
    house.sql(change)
    told = refused(house)
    assert told.objection == Objection.NOT_POSSIBLE
    assert why in str(told)


def test_an_old_fix_is_not_undone(start: Start) -> None:
    house = made(start)
    house.later(timedelta(hours=72, minutes=1))
    assert "can be undone for 72 hours" in str(refused(house))


def test_nobody_undoes_what_they_may_not_do(start: Start) -> None:
    house = made(start)
    house.sql("""UPDATE fix SET statements = jsonb_set(statements, '{undo,role}', '"admin"')""")
    assert refused(house).objection == Objection.FORBIDDEN
    assert refused(house, fix=new_id()).objection == Objection.NOT_FOUND
    undo_of(house, "admin")


def test_while_another_fix_of_the_key_is_open_nothing_is_undone(start: Start) -> None:
    house = made(start)
    house.sql("UPDATE incident SET walking = true")
    assert "in hand" in str(refused(house))
    house.sql("UPDATE incident SET walking = false")
    incident = house.incident()
    house.shop.run("UPDATE thing SET state = 'bad' WHERE id = 11")
    first = fixes(house)[0]["id"]
    ask(house.services, Asked(incident.id, "mend", incident.decision_id), ANN, "operator")
    house.sql("UPDATE incident SET walking = false, stage = 'watch'")
    why = refused(house, fix=first)
    assert (why.objection, why.more) == (Objection.CONFLICT, {"fix": str(fixes(house)[1]["id"])})


def test_a_fix_is_undone_by_the_code_that_made_it(start: Start, tmp_path: Path) -> None:
    """The rule was edited since, and is gone at last: what was kept with the fix still holds."""
    house = made(start)
    worse = undoable(mend_undo=UNDO.replace("b.state", "'worse'"))
    edited = small_rule(tmp_path / "edited", **worse)
    targets = house.services.settings.targets
    house.services = replace(house.services, catalogue=Catalogue([edited], targets))
    undo_of(house, dry_run=True)
    house.settle()
    house.services = replace(house.services, catalogue=Catalogue([], targets))
    undo_of(house)
    house.settle()
    made_first, tried, undo = fixes(house)
    assert (made_first["status"], undo["status"]) == ("undone", "committed")
    assert (tried["status"], tried["reason"]) == ("rolled_back", "dry run")
    assert house.shop.rows(BAD) == [1, 2, 3]
