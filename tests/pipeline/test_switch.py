"""The switch of automatic fixes: off at once, and never before what was decided is known."""

from collections.abc import Callable
from typing import Any

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.ids import new_id
from responder.pipeline import switch
from tests.house import House, alert
from tests.walks import BAD, SLOWLY, fixes, meanwhile, until

ANN = Actor(ActorKind.PERSON, "ann")
Start = Callable[..., House]


def turned(house: House) -> list[dict[str, Any]]:
    return house.sql(
        "SELECT actor_kind, actor, before, after, details->>'why' AS why FROM audit_event"
        " WHERE what = 'autofix' ORDER BY id"
    )


def fires_anew(house: House) -> None:
    """What fired is over, and much later it fires again."""
    house.post(alert("Thing", status="resolved"))
    house.settle()
    house.later(house.services.settings.flap_window * 2)
    house.post(alert("Thing", instance="b"))
    house.settle()


def test_off_and_on_again(start: Start) -> None:
    house = start()
    assert switch.stop(house.services.store, ANN, "a release") == []
    house.post(alert("Thing"))
    house.settle()
    assert house.decision() == ("propose", "stopped")
    assert (fixes(house), house.shop.rows(BAD)) == ([], [1, 2, 3])
    switch.start(house.services.store, ANN, "the release is over")
    fires_anew(house)
    assert [fix["status"] for fix in fixes(house)] == ["committed"]
    ann = {"actor_kind": "person", "actor": "ann"}
    assert turned(house) == [
        {**ann, "before": "on", "after": "off", "why": "a release"},
        {**ann, "before": "off", "after": "on", "why": "the release is over"},
    ]
    standing = switch.standing(house.services.store)
    assert (standing["enabled"], standing["actor"]) == (True, "ann")


def test_on_takes_over_the_server_that_our_database_is_on_now(start: Start) -> None:
    """After a failover of ours only a person allows fixes again."""
    house = start()
    house.sql("UPDATE autofix SET system_identifier = '1', timeline = 7")
    house.post(alert("Thing"))
    house.settle()
    assert house.decision() == ("hand_over", "our_failover")
    switch.start(house.services.store, ANN, "it is the right server")
    fires_anew(house)
    assert house.shop.rows(BAD) == []
    assert [each["after"] for each in turned(house)] == ["off", "on"]


@pytest.mark.parametrize("turn", [switch.stop, switch.start])
def test_nobody_can_pretend_a_failover(start: Start, turn: Callable[..., object]) -> None:
    house = start()
    with pytest.raises(ValueError, match="in other words"):
        turn(house.services.store, ANN, "our_failover")
    assert turned(house) == []


def left(house: House) -> Any:
    """A fix that was decided, and nobody knows yet whether it was committed."""
    house.post(alert("Thing"))
    house.run_triage()
    fix_id = new_id()
    house.sql(
        "INSERT INTO fix (id, incident_id, key, rule, rule_checksum, option, target, parameters,"
        " actor_kind, actor, severity, status, attempt, started_at)"
        " SELECT %s, id, key, 'thing', '', 'mend', 'shop_eu', '{}', 'responder', 'responder',"
        " 'P2', 'recorded', 1, now() FROM incident",
        fix_id,
    )
    return fix_id


def test_what_is_not_known_in_time_is_named(start: Start) -> None:
    house = start()
    fix_id = left(house)
    assert switch.stop(house.services.store, ANN, "stop", patience=0.3) == [fix_id]
    assert switch.standing(house.services.store)["enabled"] is False, "off all the same"


def test_what_was_decided_is_waited_for(start: Start) -> None:
    house = start()
    fix_id = left(house)
    got: list[Any] = []
    with meanwhile(lambda: got.append(switch.stop(house.services.store, ANN, "stop", patience=20))):
        until(lambda: not switch.standing(house.services.store)["enabled"])
        assert got == []
        house.sql("UPDATE fix SET status = 'committed' WHERE id = %s", fix_id)
    assert got == [[]]


def test_nothing_is_committed_after_the_switch_is_off(start: Start) -> None:
    """A fix is in the middle of its change: the switch is off before its gate."""
    house = start(statements={"mend_before": SLOWLY})
    house.post(alert("Thing"))
    house.run_triage()
    with meanwhile(house.run_walks):
        until(lambda: fixes(house))
        assert switch.stop(house.services.store, ANN, "stop") == []
        assert house.shop.rows(BAD) == [1, 2, 3]
    assert [fix["status"] for fix in fixes(house)] == ["refused"]
    assert house.shop.rows(BAD) == [1, 2, 3]
