"""Between decision and fix the world goes on: rules are edited, alerts join, windows begin."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from responder.domain.ids import new_id
from responder.domain.incident import Stage
from responder.pipeline import STAGES, walk
from responder.pipeline.settle import decide_again
from responder.runbook.catalogue import Catalogue
from responder.runbook.loader import LoadedRule, load
from tests.house import House, alert
from tests.small_rules import small_rule
from tests.walks import BAD, SLOWLY, fixes, meanwhile, reasons, timers, until, walk_to

GONE_WRONG = {"mend": "UPDATE thing SET state = 'good' WHERE state <> 'worse' RETURNING *"}


def deployed(house: House, *rules: LoadedRule) -> None:
    """From now on these are the rules; nobody has promoted them."""
    catalogue = Catalogue(rules, house.services.settings.targets)
    house.services = replace(house.services, catalogue=catalogue)


# Rules


@pytest.mark.parametrize("stage", [Stage.PLAN, Stage.FIX])
def test_an_edited_rule_is_not_what_was_decided(
    start: Callable[..., House], tmp_path: Path, stage: Stage
) -> None:
    house = start()
    incident = walk_to(house, stage)
    deployed(house, small_rule(tmp_path, statements=GONE_WRONG))
    walk(house.services, incident.id, 0)
    assert (fixes(house), house.shop.rows(BAD)) == ([], [1, 2, 3])
    assert house.decision() == ("propose", "autonomy")
    checksum = house.services.catalogue.rules["thing"].checksum
    assert house.incident().rule_checksum == checksum, "its findings are those of the new text"
    assert house.sql("SELECT count(DISTINCT attempt) AS asked FROM answer") == [{"asked": 2}]


def test_the_option_that_was_decided_may_be_gone(
    start: Callable[..., House], tmp_path: Path
) -> None:
    house = start()
    incident = walk_to(house, Stage.FIX)
    module, sql = tmp_path / "rules/p2/thing.py", tmp_path / "sql/rules/thing.sql"
    module.write_text(module.read_text().replace('"mend"', '"mend_all"'))
    sql.write_text(sql.read_text().replace("-- name: mend", "-- name: mend_all"))
    deployed(house, *load(tmp_path))
    walk(house.services, incident.id, 0)
    assert (fixes(house), house.shop.rows(BAD)) == ([], [1, 2, 3])
    assert house.decision() == ("propose", "autonomy")


@pytest.mark.parametrize("stage", [Stage.DIAGNOSE, Stage.PLAN, Stage.FIX])
def test_an_incident_whose_rule_is_gone_is_handed_over(
    start: Callable[..., House], stage: Stage
) -> None:
    house = start()
    incident = walk_to(house, stage)
    deployed(house)
    walk(house.services, incident.id, 0)
    assert (fixes(house), house.shop.rows(BAD)) == ([], [1, 2, 3])
    assert house.decision() == ("hand_over", "no_rule")
    assert "The rule thing is no longer loaded." in house.document()["decision"]["sentence"]
    assert house.incident().stage == Stage.WATCH


def test_a_rule_that_is_back_answers_again(start: Callable[..., House]) -> None:
    house = start()
    rule = house.services.catalogue.rules["thing"]
    incident = walk_to(house, Stage.DIAGNOSE)
    deployed(house)
    walk(house.services, incident.id, 0)
    assert house.decision() == ("hand_over", "no_rule")
    deployed(house, rule)
    house.post(alert("Thing", severity="critical"))
    house.settle()
    assert house.decision() == ("propose", "severity")


def test_a_verification_goes_on_without_its_rule(start: Callable[..., House]) -> None:
    house = start()
    incident = walk_to(house, Stage.VERIFY)
    deployed(house)
    walk(house.services, incident.id, 0)
    assert [fix["verification"] for fix in fixes(house)] == ["held"]


# A severity that nobody can read


def banana(house: House) -> None:
    house.post(alert("Thing", severity="banana", instance="b"))
    house.run_triage()


def test_an_unreadable_severity_that_comes_before_the_gate_stops_the_fix(
    start: Callable[..., House],
) -> None:
    house = start(statements={"mend_before": SLOWLY})
    house.post(alert("Thing", severity="warning"))
    house.run_triage()
    with meanwhile(house.run_walks):
        until(lambda: fixes(house))
        banana(house)
    house.settle()
    assert {fix["status"] for fix in fixes(house)} == {"refused"}
    assert house.shop.rows(BAD) == [1, 2, 3]
    assert house.decision() == ("propose", "severity_unreadable")
    assert house.pager.happenings() == ["opened"]


def test_an_unreadable_severity_that_waits_for_triage_holds_the_gate_shut(
    start: Callable[..., House],
) -> None:
    house = start()
    incident = walk_to(house, Stage.FIX)
    house.post(alert("Thing", severity="banana", instance="b"))
    walk(house.services, incident.id, 0)
    assert [fix["status"] for fix in fixes(house)] == ["refused"]
    assert house.shop.rows(BAD) == [1, 2, 3]
    house.later(timedelta(seconds=6))
    house.settle()
    assert house.decision() == ("propose", "severity_unreadable")


def test_an_unreadable_severity_that_joins_wakes_somebody_at_once(
    start: Callable[..., House],
) -> None:
    """The incident was decided and rests; from now on nothing fixes it."""
    house = start(promoted=False)
    house.post(alert("Thing"))
    house.settle()
    assert (house.decision(), house.pager.got) == (("propose", "autonomy"), [])
    house.promote(house.services.catalogue.rules["thing"])
    banana(house)
    house.later(timedelta(seconds=1))
    house.watch()
    assert house.pager.happenings() == ["opened"]
    (event,) = house.sql("SELECT details FROM audit_event WHERE what = 'severity'")
    assert event["details"]["declared"] == "banana"
    house.settle()
    house.later(timedelta(hours=2))
    house.settle()
    assert house.decision() == ("propose", "severity_unreadable")
    assert (fixes(house), house.shop.rows(BAD)) == ([], [1, 2, 3])
    assert house.pager.happenings() == ["opened"], "who was woken is not woken as unattended"


# Somebody else at work


@contextmanager
def at_work(house: House) -> Iterator[None]:
    """Another fix of the same key has its lock on the target."""
    with psycopg.connect(house.shop.url("responder_writing")) as other:
        other.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('responder:fix:' || %s, 0))",
            [house.incident().key],
        )
        yield


def test_a_busy_fix_respects_the_window_that_began_meanwhile(start: Callable[..., House]) -> None:
    house = start()
    incident = walk_to(house, Stage.FIX)
    with at_work(house):
        walk(house.services, incident.id, 0)
    assert (house.incident().stage, timers(house)) == (Stage.PLAN, ["settle"])
    house.sql(
        "INSERT INTO maintenance_window VALUES (%s, now(), now() + interval '1 day', '[]', true,"
        " true, false, 'ann', 'a test')",
        new_id(),
    )
    house.later(timedelta(seconds=6))
    house.settle()
    assert house.decision() == ("propose", "window")
    assert [fix["status"] for fix in fixes(house)] == ["refused"]
    assert house.shop.rows(BAD) == [1, 2, 3]


def test_who_is_refused_three_times_hands_over(start: Callable[..., House]) -> None:
    house = start()
    house.post(alert("Thing"))
    house.run_triage()
    with at_work(house):
        for _ in range(5):
            house.settle()
            house.later(timedelta(seconds=6))
    assert [fix["status"] for fix in fixes(house)] == ["refused"] * 3
    assert reasons(house) == ["allowed"] * 3 + ["fix_failed"]
    assert house.shop.rows(BAD) == [1, 2, 3]
    assert house.pager.happenings() == ["opened"]


def test_refusals_before_there_is_a_row_count_too(start: Callable[..., House]) -> None:
    house = start()
    incident = walk_to(house, Stage.FIX)
    for _ in range(2):
        incident = decide_again(incident, house.services, None, "no connection became free")
        incident = STAGES[incident.stage](incident, house.services)
        assert incident.stage == Stage.FIX
    assert decide_again(incident, house.services, None, "again").stage == Stage.WATCH
    assert house.decision() == ("hand_over", "fix_failed")
    assert fixes(house) == []


def test_nobody_is_woken_for_what_was_proposed_and_then_fixed(
    start: Callable[..., House],
) -> None:
    """It flaps while its walk is about to rest; by then the rule may act."""
    house = start(promoted=False)
    incident = walk_to(house, Stage.WATCH)
    assert timers(house) == ["escalate"]
    house.post(alert("Thing", status="resolved"))
    house.run_triage()
    house.later(timedelta(minutes=2))
    house.post(alert("Thing", starts_at=incident.opened_at + timedelta(minutes=1)))
    house.run_triage()
    assert house.incident().again
    house.promote(house.services.catalogue.rules["thing"])
    walk(house.services, incident.id, 0)
    assert reasons(house) == ["autonomy", "allowed"]
    assert [fix["verification"] for fix in fixes(house)] == ["held"]
    house.later(timedelta(hours=2))
    house.settle()
    assert house.pager.got == []


# At the last gate itself


WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%autofix%'"


def test_a_page_that_is_accepted_while_the_gate_waits_for_a_row_stops_the_fix(
    start: Callable[..., House],
) -> None:
    house = start()
    house.post(alert("Thing", severity="warning"))
    house.run_triage()
    with psycopg.connect(house.services.store.url) as other:
        other.execute("SELECT FROM responder.autofix FOR UPDATE")
        with meanwhile(house.run_walks):
            until(lambda: house.sql(WAITING))
            house.post(alert("Thing", severity="critical"))
            other.rollback()
    (fix,) = fixes(house)
    assert (fix["status"], house.shop.rows(BAD)) == ("refused", [1, 2, 3])
    assert fix["reason"] == "an alert that may be a P0 or P1 is waiting for triage"
    house.settle()
    assert house.decision() == ("propose", "severity")
