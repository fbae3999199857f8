"""An acknowledgement stops the climbing, for a while: what ends it, what renews it, who wins."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import psycopg
import pytest

from responder.pipeline.maintenance import Window, end_window, open_window
from responder.pipeline.people import acknowledge, close, note
from responder.pipeline.timers import fire_timers
from responder.receivers import Undelivered
from tests.house import House
from tests.ladder import (
    ANN,
    HOUR,
    MINUTE,
    NIGHT,
    PAGER,
    Climbing,
    fires,
    heard,
    passes,
    stands,
    steps,
)
from tests.walks import timers, until

LASTS = {"P0": 30 * MINUTE, "P1": 2 * HOUR}


def taken(house: House) -> None:
    assert acknowledge(house.services, house.incident().id, ANN)
    house.settle()


def statuses(house: House) -> list[tuple[str, dict[str, Any]]]:
    rows = house.sql("SELECT after, details FROM audit_event WHERE what = 'status' ORDER BY id")
    return [(row["after"], row["details"]) for row in rows]


@pytest.mark.parametrize("severity", LASTS)
def test_who_is_not_heard_of_any_more_has_it_no_longer(climbing: Climbing, severity: str) -> None:
    """The climbing goes on where it was."""
    house = climbing()
    fires(house, severity)
    taken(house)
    until_then = stands(house)["next_at"]
    passes(house, LASTS[severity] - MINUTE)
    assert (house.incident().status, steps(house)) == ("acknowledged", [])
    passes(house, MINUTE)
    incident = house.incident()
    assert (incident.status, incident.acknowledged_by, incident.acknowledged_at) == (
        *("open", None),
        None,
    )
    assert (steps(house), heard(house, "lead")) == ([("climbed", 3)], ["opened"])
    assert stands(house)["sentence"] == ("ann had it and was not heard of. Level 3: DevOps Lead.")
    (_, given), (status, why) = statuses(house)
    assert given == {"acknowledged_until": until_then}
    assert (status, why) == (
        "open",
        {"why": "nothing was heard of whoever had it: no note, no fix"},
    )
    assert heard(house, "hook")[-1] == "updated", "who follows it hears of that"


@pytest.mark.parametrize("severity", ["P2", "P3"])
def test_below_p1_an_acknowledgement_holds(climbing: Climbing, severity: str) -> None:
    house = climbing()
    fires(house, severity)
    taken(house)
    passes(house, 80 * HOUR)
    assert (house.incident().status, steps(house), timers(house)) == ("acknowledged", [], ["quiet"])


@pytest.mark.parametrize("severity", LASTS)
def test_a_note_renews_it(climbing: Climbing, severity: str) -> None:
    house = climbing()
    fires(house, severity)
    taken(house)
    passes(house, LASTS[severity] - MINUTE)
    note(house.services, house.incident().id, ANN, "still at it")
    passes(house, LASTS[severity] - MINUTE)
    assert (house.incident().status, steps(house)) == ("acknowledged", [])
    (event,) = house.sql("SELECT details FROM audit_event WHERE what = 'note'")
    assert "acknowledged_until" in event["details"]
    passes(house, MINUTE)
    assert (house.incident().status, steps(house)) == ("open", [("climbed", 3)])


def test_to_acknowledge_again_renews_it(climbing: Climbing) -> None:
    house = climbing()
    fires(house, "P0")
    taken(house)
    passes(house, 29 * MINUTE)
    taken(house)
    assert ("acknowledgement", "renewed") in house.trail()
    passes(house, 29 * MINUTE)
    assert (house.incident().status, steps(house)) == ("acknowledged", [])


def test_a_note_about_what_nobody_has_holds_nothing_up(climbing: Climbing) -> None:
    house = climbing()
    fires(house, "P0")
    note(house.services, house.incident().id, ANN, "I only look")
    passes(house, 5 * MINUTE)
    assert steps(house) == [("climbed", 3)]


def test_after_the_last_level_it_begins_again_also_at_p1(climbing: Climbing) -> None:
    house = climbing()
    fires(house, "P1")
    passes(house, 5 * MINUTE)
    taken(house)
    passes(house, 2 * HOUR)
    assert steps(house) == [("climbed", 3), ("repeated", 2)]
    assert heard(house, "pager") == ["opened", "acknowledged", "opened-r1"]


def test_a_pager_with_a_policy_of_its_own_is_woken_once_more(climbing: Climbing) -> None:
    """Under a new key: at the pager the first one is acknowledged and wakes nobody."""
    house = climbing(pager=replace(PAGER, escalates=True), levels=(), contacts={})
    fires(house, "P0")
    taken(house)
    passes(house, 30 * MINUTE)
    passes(house, 30 * MINUTE)
    assert heard(house, "pager") == ["opened", "acknowledged", "opened-r1"]
    close(house.services, house.incident().id, ANN)
    house.settle()
    assert heard(house, "pager")[3:] == ["resolved", "resolved-r1"]


def test_at_night_the_message_says_who_had_it_and_who_is_not_there(climbing: Climbing) -> None:
    house = climbing(NIGHT)
    fires(house, "P1")
    taken(house)
    passes(house, 2 * HOUR)
    assert steps(house) == [("repeated", 2)]
    assert stands(house)["sentence"] == (
        "ann had it and was not heard of. Level 2: pager."
        " Nobody took it so far, so the path begins again (1)."
        " DevOps Lead is not available before 2027-03-10 08:00 UTC."
    )


# A restart in the middle of each timer


@pytest.mark.parametrize(
    ("severity", "acknowledged", "after", "came"),
    [
        ("P0", False, 5 * MINUTE, [("climbed", 3)]),
        ("P1", False, 5 * MINUTE, [("climbed", 3)]),
        ("P2", False, HOUR, [("climbed", 2)]),
        ("P3", False, 30 * HOUR, [("climbed", 3)]),
        ("P0", True, 30 * MINUTE, [("climbed", 3)]),
        ("P1", True, 2 * HOUR, [("climbed", 3)]),
    ],
)
def test_a_timer_survives_a_restart(
    climbing: Climbing,
    severity: str,
    acknowledged: bool,
    after: timedelta,
    came: list[tuple[str, int]],
) -> None:
    """Everything of the first process is gone but our database."""
    first = climbing()
    fires(first, severity)
    if acknowledged:
        taken(first)
    next_at = stands(first)["next_at"]
    first.later(after / 2)
    offset = first.services.store.offset
    first.services.store.close()

    second = climbing()
    second.services.store.offset = offset
    second.settle()
    assert (steps(second), stands(second)["next_at"]) == ([], next_at)
    passes(second, after / 2)
    assert steps(second) == came


def test_a_restart_later_than_the_timer_takes_one_step(climbing: Climbing) -> None:
    """Nobody is woken for each step that was missed."""
    first = climbing()
    fires(first, "P0")
    first.later(17 * MINUTE)
    second = climbing()
    second.services.store.offset = first.services.store.offset
    second.settle()
    assert (steps(second), heard(second, "lead")) == ([("climbed", 3)], ["opened"])


def test_a_process_that_dies_in_the_middle_of_a_step_leaves_it_to_the_next(
    climbing: Climbing,
) -> None:
    house = climbing()
    fires(house, "P0")
    house.later(5 * MINUTE)
    house.sql(
        "ALTER TABLE audit_event ADD CONSTRAINT lights CHECK (what <> 'escalation') NOT VALID"
    )
    with pytest.raises(Exception, match="lights"):
        fire_timers(house.services)
    house.sql("ALTER TABLE audit_event DROP CONSTRAINT lights")
    house.send()
    assert (steps(house), heard(house, "lead")) == ([], []), "nothing of it was committed"
    passes(house, timedelta(seconds=16))
    assert (steps(house), heard(house, "lead")) == ([("climbed", 3)], ["opened"])


# An acknowledgement that races the timer


def waiting(house: House) -> int:
    """How many sessions wait for a lock."""
    (row,) = house.sql(
        "SELECT count(*) AS waiting FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return int(row["waiting"])


def race(house: House, *works: Callable[[], object]) -> None:
    """Each waits for the incident's lock, in this order, and gets it in this order."""
    threads = [Thread(target=work) for work in works]
    with psycopg.connect(house.services.store.url) as other:
        other.execute("SELECT FROM responder.incident FOR UPDATE")
        for count, thread in enumerate(threads, 1):
            thread.start()
            until(lambda count=count: waiting(house) == count)
        other.commit()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_an_acknowledgement_just_before_the_step_wins(climbing: Climbing) -> None:
    house = climbing()
    fires(house, "P0")
    house.later(5 * MINUTE)
    race(house, lambda: taken_now(house), lambda: fire_timers(house.services))
    house.send()
    assert (house.incident().status, steps(house), heard(house, "lead")) == ("acknowledged", [], [])
    assert "escalate" not in timers(house) and "acknowledged" in timers(house)


def test_a_step_just_before_the_acknowledgement_wins_and_wakes_nobody_any_more(
    climbing: Climbing,
) -> None:
    """It was made, so it is in the trail; its page had not left, so it does not."""
    house = climbing()
    fires(house, "P0")
    house.later(5 * MINUTE)
    race(house, lambda: fire_timers(house.services), lambda: taken_now(house))
    house.send()
    assert (house.incident().status, steps(house)) == ("acknowledged", [("climbed", 3)])
    assert heard(house, "lead") == []
    assert timers(house) == ["acknowledged", "quiet"]
    superseded = house.sql("SELECT receiver FROM notification WHERE status = 'superseded'")
    assert [row["receiver"] for row in superseded] == ["lead"]


def test_a_note_just_before_an_acknowledgement_runs_out_wins(climbing: Climbing) -> None:
    house = climbing()
    fires(house, "P0")
    taken(house)
    house.later(30 * MINUTE)
    incident = house.incident().id
    race(
        house,
        lambda: note(house.services, incident, ANN, "still at it"),
        lambda: fire_timers(house.services),
    )
    assert (house.incident().status, steps(house)) == ("acknowledged", [])
    passes(house, 29 * MINUTE)
    assert (house.incident().status, steps(house)) == ("acknowledged", [])


def taken_now(house: House) -> None:
    acknowledge(house.services, house.incident().id, ANN)


@pytest.mark.parametrize("again", range(3))
def test_whoever_wins_there_is_one_winner(climbing: Climbing, again: int) -> None:
    """Two watches and a person at the same moment."""
    house = climbing()
    fires(house, "P0")
    house.later(5 * MINUTE)
    barrier = Barrier(3)

    def at_once(work: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            barrier.wait(10)
            work()

        return run

    threads = [
        Thread(target=at_once(lambda: fire_timers(house.services))),
        Thread(target=at_once(lambda: fire_timers(house.services))),
        Thread(target=at_once(lambda: taken_now(house))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert house.incident().status == "acknowledged"
    assert timers(house) == ["acknowledged", "quiet"]
    assert steps(house) in ([], [("climbed", 3)])
    told = house.sql("SELECT id FROM notification WHERE receiver = 'lead'")
    assert len(told) == len(steps(house))
    passes(house, 20 * MINUTE)
    assert len(steps(house)) == len(told)


# Where a maintenance window keeps pages off


def test_a_window_holds_the_steps_back_and_its_end_lets_them_go(climbing: Climbing) -> None:
    house = climbing()
    fires(house, "P0")
    window = Window("a test", ('env="production"',), duration=HOUR, page=False)
    open_window(house.services, window, ANN)
    passes(house, 5 * MINUTE)
    assert (steps(house), heard(house, "lead")) == ([("held_back", 2)], [])
    passes(house, 54 * MINUTE)
    assert steps(house) == [("held_back", 2)]
    passes(house, MINUTE)
    assert (steps(house)[1:], heard(house, "lead")) == ([("climbed", 3)], ["opened"])


def test_a_window_that_ends_early_lets_them_go_at_once(climbing: Climbing) -> None:
    house = climbing()
    fires(house, "P0")
    window = Window("a test", ('env="production"',), duration=HOUR, page=False)
    opened = open_window(house.services, window, ANN)
    passes(house, 5 * MINUTE)
    end_window(house.services, opened, ANN)
    house.settle()
    assert steps(house) == [("held_back", 2), ("climbed", 3)]


def test_who_is_paged_at_the_end_of_a_window_has_five_minutes_from_then(climbing: Climbing) -> None:
    house = climbing()
    window = Window("a test", ('env="production"',), duration=HOUR, page=False)
    opened = open_window(house.services, window, ANN)
    fires(house, "P0")
    passes(house, 10 * MINUTE)
    assert (heard(house, "pager"), steps(house)) == ([], [])
    end_window(house.services, opened, ANN)
    house.settle()
    assert (heard(house, "pager"), steps(house)) == (["opened"], [])
    passes(house, 5 * MINUTE)
    assert steps(house) == [("climbed", 3)]


def test_the_next_window_holds_back_what_waited_for_the_end_of_the_first(
    climbing: Climbing,
) -> None:
    """The second begins before the first is over, and after the page was written."""
    house = climbing()
    ours = Window("a test", ('env="production"',), duration=HOUR, page=False)
    elsewhere = replace(ours, matchers=('env="staging"',), duration=4 * HOUR)
    for window in (ours, elsewhere):
        open_window(house.services, window, ANN)
    fires(house, "P0")
    house.later(30 * MINUTE)
    second = open_window(house.services, ours, ANN)
    passes(house, 31 * MINUTE)
    assert (heard(house, "pager"), steps(house)) == ([], [])
    (ends_at,) = house.sql("SELECT ends_at FROM maintenance_window WHERE id = %s", second)
    held = house.sql("SELECT details FROM audit_event WHERE what = 'page' ORDER BY id")[-1]
    assert held["details"]["window_until"] == ends_at["ends_at"].isoformat()
    passes(house, 30 * MINUTE)
    assert (heard(house, "pager"), steps(house)) == (["opened"], [])
    passes(house, 5 * MINUTE)
    assert steps(house) == [("climbed", 3)]


def test_a_page_that_its_receiver_does_not_take_is_held_back_by_no_later_window(
    climbing: Climbing,
) -> None:
    """It was on its way before the window began."""
    house = climbing()
    house.pager.fails = Undelivered("away", permanent=False)
    fires(house, "P0")
    open_window(house.services, Window("a test", (), duration=HOUR, page=False), ANN)
    house.pager.fails = None
    passes(house, MINUTE)
    assert heard(house, "pager") == ["opened"]
