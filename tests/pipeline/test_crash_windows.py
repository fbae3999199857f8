"""Between two commits a process may die, so an outcome and what follows from it are one commit."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.incident import Incident, Stage
from responder.pipeline import STAGES, walk
from responder.pipeline.fix import _start, change_of
from responder.pipeline.people import close
from responder.store import Fenced, Refused
from tests.house import House, alert
from tests.walks import BAD, dies, fixes, reasons, refusing, timers, walk_to

PERSON = Actor(ActorKind.PERSON, "ann")
#: A fix that was made and whose target has failed over since: nobody can say what became of it.
FAILED_OVER = "UPDATE fix SET status = 'recorded', xid = '3', system_identifier = '1', timeline = 9"


def started(house: House, incident: Incident) -> None:
    """Step 1 of the decided fix, after which the process is gone."""
    rule = house.services.catalogue.rules["thing"]
    option = rule.options["mend"]
    _start(
        incident,
        house.services,
        rule,
        option,
        change_of(incident, house.services, rule, option, {}),
    )


def unknown(house: House) -> Incident:
    incident = walk_to(house, Stage.FIX)
    started(house, incident)
    house.sql(FAILED_OVER)
    return incident


def test_what_is_unknown_is_never_made_again_whatever_fails_right_after(
    start: Callable[..., House],
) -> None:
    house = start()
    incident = unknown(house)
    with refusing(house, "decision", "NEW.reason = 'unknown'"):
        dies(lambda: walk(house.services, incident.id, 0))
        dies(lambda: walk(house.services, incident.id, 1))
    walk(house.services, incident.id, 2)
    assert [fix["status"] for fix in fixes(house)] == ["unknown"]
    assert house.shop.rows(BAD) == [1, 2, 3]
    assert house.decision() == ("hand_over", "unknown")
    house.send()
    assert house.pager.happenings() == ["opened"]
    assert house.trail().count(("fix", "unknown")) == 1


def test_an_unknown_fix_opens_the_breaker_of_its_key(start: Callable[..., House]) -> None:
    house = start()
    incident = unknown(house)
    walk(house.services, incident.id, 0)
    close(house.services, incident.id, PERSON)
    house.later(timedelta(hours=2))
    house.post(alert("Thing", instance="another"))
    house.settle()
    assert [row["reason"] for row in house.sql("SELECT reason FROM decision ORDER BY at")] == [
        "allowed",
        "unknown",
        "breaker",
    ]
    assert len(house.incidents()) == 2
    assert len(fixes(house)) == 1
    assert house.shop.rows(BAD) == [1, 2, 3]


@pytest.mark.parametrize(
    ("status", "another"),
    [("unknown", False), ("committed", False), ("rolled_back", True), ("refused", True)],
)
def test_one_decision_is_made_once(start: Callable[..., House], status: str, another: bool) -> None:
    """Whatever brings a walk back to the stage, a second row of what may be made is refused."""
    house = start()
    incident = walk_to(house, Stage.FIX)
    started(house, incident)
    house.sql("UPDATE fix SET status = %s", status)
    if another:
        started(house, incident)
    else:
        with pytest.raises(Refused, match="fix_one_per_decision"):
            started(house, incident)
    assert len(fixes(house)) == 1 + another


def test_a_walk_that_finds_its_decision_made_does_not_make_it_again(
    start: Callable[..., House],
) -> None:
    house = start()
    incident = unknown(house)
    house.sql("UPDATE fix SET status = 'unknown', ended_at = now()")
    walk(house.services, incident.id, 0)
    assert [fix["status"] for fix in fixes(house)] == ["unknown"]
    assert house.shop.rows(BAD) == [1, 2, 3]
    assert house.decision() == ("propose", "breaker")


def test_a_fix_that_was_rolled_back_is_handed_over_in_the_same_commit(
    start: Callable[..., House],
) -> None:
    house = start(max_rows=2)
    incident = walk_to(house, Stage.FIX)
    with refusing(house, "decision", "NEW.reason = 'fix_failed'"):
        dies(lambda: walk(house.services, incident.id, 0))
    assert [fix["status"] for fix in fixes(house)] == ["started"]
    house.later(timedelta(minutes=1))
    walk(house.services, incident.id, 1)
    house.send()
    assert [fix["status"] for fix in fixes(house)] == ["rolled_back", "rolled_back"]
    assert house.decision() == ("hand_over", "fix_failed")
    assert house.pager.happenings() == ["opened"]


def judged_too_late(house: House) -> Incident:
    """Its verification's time is over, and the cause is still there."""
    incident = walk_to(house, Stage.VERIFY)
    house.shop.run("UPDATE thing SET state = 'bad' WHERE id = 2")
    house.later(timedelta(minutes=3))
    return incident


@pytest.mark.parametrize("resolved", [True, False])
def test_who_was_taken_over_leaves_no_verdict(start: Callable[..., House], resolved: bool) -> None:
    """A worker that stood still judges a fix which another one is verifying by now."""
    house = start()
    old = judged_too_late(house)
    if resolved:
        house.post(alert("Thing", status="resolved"))
        house.run_triage()
    with house.services.store.transaction() as tx:
        tx.one("take_walk", id=old.id)
    before = house.trail()
    with pytest.raises(Fenced):
        STAGES[Stage.VERIFY](old, house.services)
    assert [fix["verification"] for fix in fixes(house)] == ["waiting"]
    assert house.incident().status == ("resolved" if resolved else "open")
    assert house.trail() == before
    assert (reasons(house), timers(house)) == (["allowed"], [])
    house.send()
    assert house.pager.got == []


def test_a_failed_verification_is_handed_over_in_the_same_commit(
    start: Callable[..., House],
) -> None:
    house = start()
    incident = judged_too_late(house)
    with refusing(house, "decision", "NEW.reason = 'not_verified'"):
        dies(lambda: walk(house.services, incident.id, 0))
    assert [fix["verification"] for fix in fixes(house)] == ["waiting"]
    walk(house.services, incident.id, 1)
    house.send()
    assert [fix["verification"] for fix in fixes(house)] == ["failed"]
    assert house.decision() == ("hand_over", "not_verified")
    assert house.pager.happenings() == ["opened"]


def test_whose_fix_was_not_recorded_in_time_has_not_changed_the_target(
    start: Callable[..., House],
) -> None:
    """The last gate cannot commit: the target is rolled back, and later it is tried once more."""
    house = start()
    incident = walk_to(house, Stage.FIX)
    with refusing(house, "fix", "NEW.status = 'recorded'"):
        dies(lambda: walk(house.services, incident.id, 0))
    assert house.shop.rows(BAD) == [1, 2, 3]
    house.later(timedelta(minutes=1))
    walk(house.services, incident.id, 1)
    assert [fix["status"] for fix in fixes(house)] == ["rolled_back", "committed"]
    assert house.shop.rows(BAD) == []


def test_a_crash_after_the_targets_commit_is_no_second_fix(start: Callable[..., House]) -> None:
    house = start()
    incident = walk_to(house, Stage.FIX)
    with refusing(house, "fix", "NEW.status = 'committed'"):
        dies(lambda: walk(house.services, incident.id, 0))
    assert house.shop.rows(BAD) == []
    house.shop.run("UPDATE thing SET made_at = NULL")
    walk(house.services, incident.id, 1)
    assert [fix["status"] for fix in fixes(house)] == ["committed"]
    assert [fix["verification"] for fix in fixes(house)] == ["held"]
