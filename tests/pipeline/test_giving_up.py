"""A walk that failed three times hands over, and what its target knows of a fix is asked first."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import psycopg

from responder.domain.incident import Incident, Stage
from responder.pipeline import walk
from tests.house import House
from tests.walks import BAD, dies, fixes, refusing, timers, walk_to

Start = Callable[..., House]


def decided(house: House, committed: bool) -> Incident:
    """Its worker died right after the last gate, or right after the target's commit."""
    incident = walk_to(house, Stage.FIX)
    if committed:
        with refusing(house, "fix", "NEW.status = 'committed'"):
            dies(lambda: walk(house.services, incident.id, 0))
    else:
        with refusing(house, "fix", "NEW.status = 'recorded'"):
            dies(lambda: walk(house.services, incident.id, 0))
        with psycopg.connect(house.shop.url("postgres")) as other:
            row = other.execute(
                "SELECT pg_current_xact_id()::text, system_identifier::text"
                " FROM pg_control_system()"
            ).fetchone()
            other.rollback()
        assert row is not None
        house.sql(
            "UPDATE fix SET status = 'recorded', timeline = 1, xid = %s, system_identifier = %s",
            *row,
        )
    return incident


def test_a_commit_that_the_target_knows_is_no_unknown(start: Start) -> None:
    house = start()
    incident = decided(house, committed=True)
    walk(house.services, incident.id, 3)
    (fix,) = fixes(house)
    assert (fix["status"], fix["verification"]) == ("committed", "not_asked")
    assert house.decision() == ("hand_over", "not_verified")
    assert ("fix", "committed") in house.trail()
    assert house.shop.rows(BAD) == []


def test_nor_is_what_never_was_committed(start: Start) -> None:
    house = start()
    incident = decided(house, committed=False)
    walk(house.services, incident.id, 3)
    (fix,) = fixes(house)
    assert fix["status"] == "rolled_back"
    assert house.decision() == ("hand_over", "gave_up")
    assert house.shop.rows(BAD) == [1, 2, 3]


def test_what_is_still_open_on_the_target_is_waited_for(start: Start) -> None:
    """Its worker stands still: it could commit after all, so nothing is said of it yet."""
    house = start()
    incident = decided(house, committed=False)
    with psycopg.connect(house.shop.url("postgres")) as slow:
        row = slow.execute("SELECT pg_current_xact_id()::text").fetchone()
        assert row is not None
        house.sql("UPDATE fix SET xid = %s", row[0])
        walk(house.services, incident.id, 3)
        assert [fix["status"] for fix in fixes(house)] == ["recorded"]
        assert (house.incident().stage, timers(house)) == (Stage.FIX, ["settle"])
    house.later(timedelta(seconds=6))
    walk(house.services, incident.id, 3)
    assert [fix["status"] for fix in fixes(house)] == ["committed"]


def test_a_target_that_is_no_longer_configured_cannot_be_asked(start: Start) -> None:
    house = start()
    incident = decided(house, committed=True)
    house.services = replace(house.services, settings=replace(house.services.settings, targets={}))
    walk(house.services, incident.id, 0)
    assert [fix["status"] for fix in fixes(house)] == ["unknown"]
    assert house.decision() == ("hand_over", "unknown")
