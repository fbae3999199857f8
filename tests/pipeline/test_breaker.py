"""The breaker of a key: what opens it, whom it holds back, and the person who closes it again."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.ids import new_id
from responder.domain.incident import Stage
from responder.pipeline.breaker import Breaker, NotOpen, breaker_of, reset
from responder.pipeline.by_hand import Asked, ask
from responder.receivers.brief import breaker_of as told_by
from responder.store.queries import QUERIES
from tests.house import House, alert
from tests.walks import BAD, fixes, reasons

ANN = Actor(ActorKind.PERSON, "ann")
Start = Callable[..., House]
#: It holds in the transaction of the fix, and never after it.
NEVER = {"mend_verify": "SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS gone"}
FAILS = {"statements": NEVER, "within": "1m", "cooldown": "1m"}


def fires(house: House) -> None:
    """It breaks and is told; a fix that is made then is verified until its time is over."""
    house.shop.run("UPDATE thing SET state = 'bad' WHERE id = 2")
    house.post(alert("Thing"))
    house.settle()
    for _ in range(3):
        house.later(timedelta(seconds=31))
        house.settle()


def ends(house: House) -> None:
    house.post(alert("Thing", status="resolved"))
    house.settle()
    house.later(timedelta(hours=1))


def opened(start: Start) -> House:
    """Two fixes did not hold; it fires for the third time."""
    house = start(**FAILS)
    for _ in range(2):
        fires(house)
        ends(house)
    fires(house)
    return house


def breaker(house: House) -> Breaker:
    with house.services.store.transaction() as tx:
        return breaker_of(tx, house.incidents()[-1].key)


def resets(house: House) -> list[dict[str, Any]]:
    return house.sql("SELECT * FROM audit_event WHERE what = 'breaker' ORDER BY id")


def reset_last(house: House) -> None:
    assert reset(house.services.store, house.incidents()[-1].id, ANN, "the disk was full")


def test_two_fixes_that_did_not_hold_open_it(start: Start) -> None:
    house = opened(start)
    assert [fix["verification"] for fix in fixes(house)] == ["failed"] * 2
    assert reasons(house) == ["allowed", "not_verified"] * 2 + ["breaker"]
    assert house.shop.rows(BAD) == [2]
    assert breaker(house) == Breaker(failed_fixes=2)
    told = house.hook.got[-1].document
    assert (told["breaker"]["open"], told["breaker"]["failed_fixes"]) == (True, 2)
    how = f"responder fixes reset {house.incidents()[-1].id} --reason WHY"
    assert told_by(told).endswith(how)


def test_one_does_not(start: Start) -> None:
    house = start(**FAILS)
    fires(house)
    assert breaker(house) == Breaker(failed_fixes=1)
    assert (house.document()["breaker"]["open"], told_by(house.document())) == (False, "")
    with pytest.raises(NotOpen, match="is closed"):
        reset_last(house)
    assert (resets(house), house.sql("SELECT * FROM breaker_reset")) == ([], [])


def test_a_person_closes_it_and_it_is_decided_anew(start: Start) -> None:
    house = opened(start)
    reset_last(house)
    assert house.incidents()[-1].stage == Stage.DIAGNOSE
    house.settle()
    assert reasons(house)[-1] == "allowed"
    assert len(fixes(house)) == 3
    assert breaker(house) == Breaker()
    (event,) = resets(house)
    assert (event["actor"], event["before"], event["after"]) == ("ann", "open", "closed")
    counted = {"failed_fixes": 2, "unknown_fixes": 0, "undone_fixes": 0}
    assert event["details"] == {"why": "the disk was full", **counted}
    assert event["incident_id"] == house.incidents()[-1].id
    with pytest.raises(NotOpen):
        reset_last(house)


def test_after_a_reset_it_takes_two_again(start: Start) -> None:
    house = opened(start)
    reset_last(house)
    house.settle()
    for _ in range(3):
        house.later(timedelta(seconds=31))
        house.settle()
    assert breaker(house) == Breaker(failed_fixes=1)
    ends(house)
    fires(house)
    assert breaker(house) == Breaker(failed_fixes=2)
    ends(house)
    fires(house)
    assert reasons(house)[-1] == "breaker"
    assert len(fixes(house)) == 4
    reset_last(house)
    assert [event["after"] for event in resets(house)] == ["closed", "closed"]
    assert breaker(house) == Breaker(), "the latest reset counts"


def test_one_fix_whose_fate_is_unknown_opens_it(start: Start) -> None:
    house = start(cooldown="1m")
    fires(house)
    house.sql("UPDATE fix SET status = 'unknown', verification = NULL")
    ends(house)
    fires(house)
    assert (reasons(house)[-1], len(fixes(house))) == ("breaker", 1)
    assert breaker(house) == Breaker(unknown_fixes=1)
    reset_last(house)
    house.settle()
    assert (reasons(house)[-1], house.shop.rows(BAD)) == ("allowed", [])


def test_it_may_be_closed_by_an_incident_that_is_over(start: Start) -> None:
    """The key's open incident is decided anew, whichever of them somebody looked at."""
    house = opened(start)
    first, *_, last = house.incidents()
    assert first.id != last.id
    assert reset(house.services.store, first.id, ANN, "I looked")
    house.settle()
    assert reasons(house)[-1] == "allowed"
    (event,) = resets(house)
    assert event["incident_id"] == last.id


def test_it_may_be_closed_when_nothing_is_open(start: Start) -> None:
    house = opened(start)
    ends(house)
    reset_last(house)
    assert house.jobs() == []
    fires(house)
    assert reasons(house)[-2:] == ["allowed", "not_verified"]


def test_other_keys_have_their_own(start: Start) -> None:
    house = opened(start)
    house.sql(
        "INSERT INTO incident SELECT (jsonb_populate_record(i, jsonb_build_object('id', %s::text,"
        " 'key', 'other'))).* FROM incident i ORDER BY id DESC LIMIT 1",
        str(other := new_id()),
    )
    with pytest.raises(NotOpen):
        reset(house.services.store, other, ANN, "not this one")
    assert breaker(house).open is False, "the newest is the other one"
    assert house.sql("SELECT key FROM breaker_reset") == []


def test_a_persons_fix_counts_and_a_dry_run_does_not(start: Start) -> None:
    house = start(promoted=False, **FAILS)
    for dry_run in (True, False):
        fires(house)
        incident = house.incidents()[-1]
        asked = Asked(incident.id, "mend", incident.decision_id, dry_run=dry_run)
        ask(house.services, asked, ANN, "operator")
        house.settle()
        for _ in range(3):
            house.later(timedelta(seconds=31))
            house.settle()
        ends(house)
    assert breaker(house) == Breaker(failed_fixes=1)


def test_an_incident_that_is_not_there(start: Start) -> None:
    assert reset(start().services.store, new_id(), ANN, "why") is False


def test_it_is_found_by_its_index(start: Start) -> None:
    with start().services.store.transaction() as tx:
        tx.connection.execute("SET LOCAL enable_seqscan = off")
        asked = "EXPLAIN " + QUERIES["breaker"].sql
        rows = tx.connection.execute(asked, {"key": "k", "now": datetime.now(UTC)}).fetchall()
    assert "fix_against" in str(rows)
    assert "breaker_reset_pkey" in str(rows)
