"""What fires while a window keeps everything back is no incident; at its end it is taken up."""

from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import Any
from uuid import UUID

import pytest

from responder.pipeline.held import LEASE, _take_up, take_up_held
from responder.pipeline.maintenance import end_window
from responder.pipeline.pages import page_stuck
from tests.house import House, alert
from tests.pipeline.test_maintenance import ANN, HOUR, announce, now, row
from tests.walks import BAD, dies, refusing

MINUTE = timedelta(minutes=1)
Start = Callable[..., House]


def silence(house: House, **changes: Any) -> UUID:
    """An hour in which everything is off."""
    return announce(house, page=False, diagnose=False, fix=False, **changes)


def held(house: House) -> list[dict[str, Any]]:
    return house.sql(
        "SELECT fingerprint, held_until, held_by FROM condition WHERE held_until IS NOT NULL"
    )


def told(house: House) -> list[tuple[str, str | None]]:
    """What was recorded of conditions that were kept back, with the actor."""
    found = house.sql("SELECT actor, after FROM audit_event WHERE what = 'held' ORDER BY id")
    return [(each["actor"], each["after"]) for each in found]


def fires(house: House, name: str = "Thing", **labels: str) -> None:
    house.post(alert(name, **labels))
    house.settle()


def test_it_is_suppressed_and_at_the_end_it_is_an_incident_like_any_other(start: Start) -> None:
    house = start()
    window_id = silence(house)
    for _ in range(3):  # its sender says it again and again
        fires(house)
    assert (house.outcomes(), house.incidents()) == (["suppressed"] * 3, [])
    assert house.sql("SELECT FROM notification") == []
    (kept,) = held(house)
    assert (kept["held_until"], kept["held_by"]) == (row(house, window_id)["ends_at"], window_id)
    assert told(house) == [("prometheus", "suppressed")]
    house.later(HOUR)
    house.settle()
    house.settle()
    assert house.outcomes() == [*["suppressed"] * 3, "opened"]
    assert (house.decision(), house.shop.rows(BAD)) == (("fix", "allowed"), [])
    assert (held(house), house.gap()) == ([], (0, 0))
    assert told(house)[1:] == [("maintenance", "taken_up")]
    assert ("opened", "open") in house.trail()
    document = house.document()
    assert [each["outcome"] for each in document["alerts"]] == ["opened"]
    assert (document["maintenance"]["id"], document["maintenance"]["during"]) == (
        str(window_id),
        False,
    )


def test_a_p0_is_paged_when_the_window_ends(start: Start) -> None:
    house = start()
    silence(house)
    fires(house, severity="critical")
    house.later(30 * MINUTE)
    house.watch()
    assert (house.pager.got, house.incidents()) == ([], [])
    house.later(30 * MINUTE)
    house.watch()
    house.watch()
    assert house.pager.happenings() == ["opened"]


def test_what_ended_meanwhile_is_never_heard_of(start: Start) -> None:
    house = start()
    silence(house)
    fires(house)
    house.post(alert("Thing", status="resolved"))
    house.settle()
    assert (house.outcomes(), held(house)) == (["suppressed", "cleared"], [])
    house.later(HOUR)
    house.settle()
    assert (house.incidents(), house.sql("SELECT FROM notification")) == ([], [])


def test_an_end_that_an_older_release_heard_is_respected(start: Start) -> None:
    """It does not know `held_until`, and leaves it as it is."""
    house = start()
    silence(house)
    fires(house)
    house.sql("UPDATE condition SET firing = false")
    house.later(HOUR)
    house.settle()
    assert (house.incidents(), held(house)) == ([], [])


def test_what_ended_and_fires_again_is_taken_up(start: Start) -> None:
    house = start()
    silence(house)
    fires(house)
    house.post(alert("Thing", status="resolved"))
    house.settle()
    house.later(6 * MINUTE)
    house.post(alert("Thing", starts_at=now(house)))
    house.settle()
    assert len(held(house)) == 1
    house.later(HOUR)
    house.settle()
    assert len(house.incidents()) == 1


def test_a_notice_right_after_the_end_takes_it_up_itself(start: Start) -> None:
    house = start()
    silence(house)
    fires(house)
    house.later(HOUR)
    house.post(alert("Thing"))
    house.run_jobs()
    house.settle()
    assert (house.outcomes(), len(house.incidents())) == (["suppressed", "opened"], 1)
    assert held(house) == []


def test_many_conditions_of_one_fault_are_one_incident(start: Start) -> None:
    house = start()
    silence(house)
    house.post(*(alert("Thing", pod=f"p{n}") for n in range(5)))
    house.settle()
    house.later(HOUR)
    house.settle()
    assert len(house.incidents()) == 1
    assert sorted(house.outcomes()) == ["joined"] * 4 + ["opened"] + ["suppressed"] * 5
    incidents = house.sql("SELECT DISTINCT incident_id FROM condition")
    assert [each["incident_id"] for each in incidents] == [house.incident().id]


def test_an_open_incident_goes_on_in_the_window(start: Start) -> None:
    house = start()
    fires(house)
    silence(house)
    fires(house, severity="critical")
    assert house.outcomes() == ["opened", "joined"]
    assert held(house) == []


def test_what_was_resolved_before_is_kept_back_and_reopened(start: Start) -> None:
    house = start()
    fires(house)
    house.post(alert("Thing", status="resolved"))
    house.settle()
    first = house.incident().id
    silence(house, duration=5 * MINUTE)
    house.post(alert("Thing", starts_at=now(house) + MINUTE))
    house.settle()
    assert house.outcomes()[-1] == "suppressed"
    assert house.incident().status == "resolved"
    house.later(5 * MINUTE)
    house.settle()
    assert (house.incident().id, house.incident().status) == (first, "open")
    assert house.outcomes()[-1] == "joined"


@pytest.mark.parametrize("switch", ["page", "diagnose", "fix"])
def test_a_window_with_anything_on_keeps_nothing_out(start: Start, switch: str) -> None:
    house = start()
    announce(house, **{"page": False, "diagnose": False, "fix": False, switch: True})
    fires(house)
    assert house.outcomes() == ["opened"]


def test_others_are_not_kept_back(start: Start) -> None:
    house = start()
    silence(house)
    fires(house, env="staging")
    assert house.outcomes() == ["opened"]


# Ends: early, overlapping, with nobody alive


def test_an_end_before_its_time_takes_it_up_at_once(start: Start) -> None:
    house = start()
    window_id = silence(house)
    fires(house)
    house.later(10 * MINUTE)
    end_window(house.services, window_id, ANN)
    house.settle()
    assert (len(house.incidents()), held(house)) == (1, [])


@pytest.mark.parametrize("early", [False, True])
def test_where_windows_overlap_the_last_one_counts(start: Start, early: bool) -> None:
    house = start()
    longer = silence(house, duration=2 * HOUR)
    silence(house)
    fires(house)
    if early:
        end_window(house.services, longer, ANN)
        house.settle()
        assert house.incidents() == [], "the shorter one still keeps it back"
    house.later(HOUR)
    house.settle()
    assert len(house.incidents()) == early
    house.later(HOUR)
    house.settle()
    assert len(house.incidents()) == 1
    assert house.outcomes() == ["suppressed", "opened"]


def test_a_window_that_begins_before_the_other_ends_keeps_it_longer(start: Start) -> None:
    house = start()
    first = silence(house)
    second = silence(house, starts_at=now(house) + 50 * MINUTE)
    fires(house)
    assert held(house)[0]["held_by"] == first
    house.later(HOUR + MINUTE)
    house.settle()
    assert (house.incidents(), held(house)[0]["held_by"]) == ([], second)
    assert told(house) == [("prometheus", "suppressed")]
    house.later(HOUR)
    house.settle()
    assert len(house.incidents()) == 1


def test_a_page_waits_for_the_window_that_only_keeps_pages_off(start: Start) -> None:
    house = start()
    silence(house)
    announce(house, page=False, duration=2 * HOUR)
    fires(house, severity="critical")
    house.later(HOUR)
    house.settle()
    house.settle()
    assert (len(house.incidents()), house.pager.got) == (1, [])
    house.later(HOUR)
    house.settle()
    assert house.pager.happenings() == ["opened"]


def test_it_is_taken_up_after_a_time_in_which_nobody_lived(start: Start) -> None:
    house = start()
    silence(house)
    fires(house)
    house.later(timedelta(days=3))
    house.settle()
    assert len(house.incidents()) == 1


@pytest.mark.parametrize(
    ("table", "condition"),
    [
        ("incident", "true"),
        ("alert", "NEW.note <> ''"),
        ("audit_event", "NEW.after = 'taken_up'"),
        ("condition", "NEW.held_until IS NULL AND NEW.incident_id IS NOT NULL"),
    ],
)
def test_a_process_that_dies_while_it_takes_up_leaves_nothing_half_done(
    start: Start, table: str, condition: str
) -> None:
    house = start()
    silence(house)
    fires(house)
    house.later(HOUR)
    with refusing(house, table, condition):
        dies(lambda: take_up_held(house.services))
    assert (house.incidents(), house.outcomes()) == ([], ["suppressed"])
    take_up_held(house.services)
    assert house.incidents() == [], "another one waits for the lease"
    house.later(LEASE)
    house.settle()
    assert (len(house.incidents()), house.outcomes()) == (1, ["suppressed", "opened"])
    assert told(house).count(("maintenance", "taken_up")) == 1


def test_one_that_fails_does_not_hold_up_the_others(start: Start) -> None:
    house = start()
    silence(house)
    fires(house)
    fires(house, "Nobody")
    house.later(HOUR)
    with refusing(house, "incident", "NEW.rule IS NOT NULL"):
        dies(lambda: take_up_held(house.services))
        take_up_held(house.services)
        assert len(house.incidents()) == 1


def test_a_notice_that_comes_between_lease_and_taking_up_wins(start: Start) -> None:
    house = start()
    silence(house)
    fires(house)
    house.later(HOUR)
    with house.services.store.transaction() as tx:
        leased = tx.one("lease_held", lease=LEASE)
    house.post(alert("Thing"))
    house.run_jobs()
    with house.services.store.transaction() as tx:
        _take_up(house.services, tx, leased)
    assert (house.outcomes(), len(house.incidents())) == (["suppressed", "opened"], 1)


def test_many_processes_take_it_up_once(start: Start) -> None:
    house = start()
    silence(house)
    house.post(*(alert("Nobody", shop=f"s{n}") for n in range(8)))
    house.settle()
    house.later(HOUR)
    threads = [Thread(target=take_up_held, args=(house.services,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(house.incidents()) == 8
    assert sorted(house.outcomes()) == ["opened"] * 8 + ["suppressed"] * 8


def test_a_list_that_is_not_ticked_keeps_nothing_out(start: Start) -> None:
    house = start()
    silence(house)
    house.sql("UPDATE maintenance_window SET ready_at = NULL")
    fires(house)
    assert house.outcomes() == ["opened"]


def test_a_bare_page_that_waits_is_taken_back(start: Start) -> None:
    """The page of a delivery that stuck, before its triage found that a window keeps it back."""
    house = start()
    silence(house)
    house.post(alert("Thing", severity="critical"))
    house.later(timedelta(seconds=3))
    page_stuck(house.services)
    assert [each["status"] for each in house.sql("SELECT status FROM notification")] == ["due"]
    house.run_jobs()
    assert [each["status"] for each in house.sql("SELECT status FROM notification")] == [
        "superseded"
    ]
    house.post(alert("Thing", status="resolved", severity="critical"))
    house.later(HOUR)
    house.settle()
    assert (house.outcomes(), house.pager.got) == (["suppressed", "cleared"], [])


# Afterwards


@pytest.mark.parametrize(
    ("later", "marked", "during"),
    [
        (timedelta(), True, True),
        (HOUR + MINUTE, True, False),
        (HOUR + 59 * MINUTE, True, False),
        (2 * HOUR + MINUTE, False, False),
    ],
)
def test_an_incident_says_that_maintenance_was_here(
    start: Start, later: timedelta, marked: bool, during: bool
) -> None:
    house = start()
    window_id = announce(house)
    house.later(later)
    fires(house)
    told = house.document()["maintenance"]
    assert (told is not None) == marked
    if told:
        assert (told["id"], told["reason"], told["during"]) == (str(window_id), "a test", during)
        assert house.hook.got[-1].document["maintenance"] == told


@pytest.mark.parametrize("why", ["another's", "not ready", "cancelled"])
def test_a_maintenance_that_was_none_marks_nothing(start: Start, why: str) -> None:
    house = start()
    window_id = announce(house, matchers=('env="staging"',) if why == "another's" else ())
    if why == "not ready":
        house.sql("UPDATE maintenance_window SET ready_at = NULL")
    if why == "cancelled":
        house.sql("UPDATE maintenance_window SET starts_at = now() + interval '1 s'")
        end_window(house.services, window_id, ANN)
        house.later(MINUTE)
    fires(house)
    assert house.document()["maintenance"] is None
