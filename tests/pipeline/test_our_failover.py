"""Our own database failed over: what was recorded of a fix may be lost; nothing is made again."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.incident import Incident, Stage
from responder.pipeline import switch, walk
from responder.pipeline.by_hand import Asked, ask
from responder.pipeline.fix import _start, change_of
from tests.house import House
from tests.walks import BAD, fixes, reasons, walk_to

Start = Callable[..., House]
ANN = Actor(ActorKind.PERSON, "ann")


def fail_over(house: House) -> None:
    """The next one who looks finds our database on another timeline."""
    house.sql("UPDATE autofix SET timeline = timeline + 1")


def notice(house: House) -> None:
    """Somebody looks, and a person switches automatic fixes on again."""
    switch.start(house.services.store, ANN, "it is the right server")


def started(house: House) -> Incident:
    """The intent of the decided fix is all that is left of it."""
    incident = walk_to(house, Stage.FIX)
    rule = house.services.catalogue.rules["thing"]
    option = rule.options["mend"]
    change = change_of(incident, house.services, rule, option, {})
    _start(incident, house.services, rule, option, change)
    return incident


@pytest.mark.parametrize("switched_on", [False, True])
@pytest.mark.parametrize("tries", [0, 3])
def test_what_was_begun_before_it_is_unknown(start: Start, switched_on: bool, tries: int) -> None:
    """It may have been decided and committed: what says so was not on this server yet."""
    house = start()
    incident = started(house)
    fail_over(house)
    if switched_on:
        notice(house)
    house.later(timedelta(minutes=1))
    walk(house.services, incident.id, tries)
    assert [fix["status"] for fix in fixes(house)] == ["unknown"]
    assert house.decision() == ("hand_over", "unknown")
    house.later(timedelta(hours=2))
    house.settle()
    assert (len(fixes(house)), house.shop.rows(BAD)) == (1, [1, 2, 3])
    assert house.trail().count(("fix", "unknown")) == 1
    assert house.pager.happenings() == ["opened"]


def test_what_a_person_began_before_it_is_unknown_too(start: Start) -> None:
    """Its walk is still queued here, though there it may have been walked to the end."""
    house = start(promoted=False)
    walk_to(house, Stage.WATCH)
    house.sql("UPDATE incident SET walking = false")
    incident = house.incident()
    asked = Asked(incident.id, "mend", incident.decision_id)
    ask(house.services, asked, ANN, "operator")
    fail_over(house)
    house.run_jobs()
    assert [fix["status"] for fix in fixes(house)] == ["unknown"]
    assert house.shop.rows(BAD) == [1, 2, 3]
    assert house.decision() == ("hand_over", "unknown")


def test_what_a_person_begins_after_it_is_made(start: Start) -> None:
    house = start(promoted=False)
    walk_to(house, Stage.WATCH)
    house.sql("UPDATE incident SET walking = false")
    fail_over(house)
    incident = house.incident()
    ask(house.services, Asked(incident.id, "mend", incident.decision_id), ANN, "operator")
    house.run_jobs()
    assert [fix["status"] for fix in fixes(house)] == ["committed"]
    assert ("autofix", "off") in house.trail()


def test_a_decision_whose_intent_is_lost_is_not_carried_out(start: Start) -> None:
    """Somebody has switched on again by then: at the last gate it is still of before."""
    house = start()
    incident = walk_to(house, Stage.FIX)
    fail_over(house)
    notice(house)
    walk(house.services, incident.id, 0)
    assert [fix["status"] for fix in fixes(house)] == ["refused"]
    assert house.shop.rows(BAD) == [1, 2, 3]
    assert reasons(house) == ["allowed", "our_failover"]


def test_a_second_failover_is_noticed_while_all_is_off(start: Start) -> None:
    house = start()
    fail_over(house)
    assert switch.standing(house.services.store)["enabled"] is True
    with house.services.store.transaction() as tx:
        assert switch.notice_failover(tx)
        assert not switch.notice_failover(tx)
    fail_over(house)
    with house.services.store.transaction() as tx:
        assert switch.notice_failover(tx)
    turned = house.sql("SELECT before, after FROM audit_event WHERE what = 'autofix' ORDER BY id")
    assert turned == [{"before": "on", "after": "off"}, {"before": "off", "after": "off"}]
