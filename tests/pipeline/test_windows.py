"""Recurring windows: each occurrence becomes one row and goes through its states, on our clock."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from responder.domain.actor import Actor, ActorKind
from responder.domain.matcher import parse_matcher
from responder.domain.settings import Item, RecurringWindow
from responder.pipeline.checklist import TickRefused, tick
from responder.pipeline.maintenance import Window as Asked
from responder.pipeline.maintenance import end_window, open_window, paging_resumes, window_allows
from responder.pipeline.recurring import AHEAD, Planner, coming
from responder.pipeline.window_states import move_windows
from responder.recurrence import Recurrence
from tests.house import House, alert
from tests.walks import dies, refusing

ANN = Actor(ActorKind.PERSON, "ann")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LABELS = {"env": "production"}
WEEKLY = RecurringWindow(
    name="weekly",
    reason="Database maintenance",
    starts=datetime(2026, 1, 4, 2),
    rrule="FREQ=WEEKLY;BYDAY=SU",
    duration=2 * HOUR,
    matches=(parse_matcher('env="production"'),),
    page=False,
)
LISTED = replace(
    WEEKLY,
    before=(Item("Take database snapshot"), Item("Have rollback plan ready")),
    after=(Item("Run smoke tests"),),
)
Start = Callable[..., House]


def at(house: House, moment: datetime) -> None:
    """Our database's clock says so."""
    with house.services.store.transaction() as tx:
        house.later(moment - tx.now)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def house_with(start: Start, *windows: RecurringWindow, now: str = "2027-01-04T12:00") -> House:
    """A house with these recurring windows, at that time; a Monday."""
    house = start()
    house.with_settings(windows=windows)
    at(house, utc(now))
    return house


def rows(house: House) -> list[dict[str, Any]]:
    return house.sql("SELECT * FROM maintenance_window ORDER BY starts_at, created_at")


def only(house: House) -> dict[str, Any]:
    (row,) = rows(house)
    return row


def states(house: House) -> list[tuple[str | None, str | None]]:
    """Every state that a window came to, with its actor."""
    told = house.sql("SELECT actor, after FROM audit_event WHERE what = 'maintenance' ORDER BY id")
    return [(each["actor"], each["after"]) for each in told]


def held_back(house: House) -> bool:
    with house.services.store.transaction() as tx:
        return paging_resumes(tx, LABELS) is not None


def told(house: House) -> list[str]:
    """The states that people heard of, the oldest first."""
    found = house.sql(
        "SELECT document, receiver, page FROM notification WHERE happening = 'maintenance'"
        " ORDER BY created_at"
    )
    assert {(each["receiver"], each["page"]) for each in found} <= {("hook", False)}
    return [each["document"]["maintenance"]["state"] for each in found]


def restart(house: House) -> None:
    """Another process: it plans, and moves what is due."""
    Planner()(house.services)
    move_windows(house.services)


# Rows


def test_an_occurrence_becomes_a_row_a_week_ahead(start: Start) -> None:
    house = house_with(start, WEEKLY)
    restart(house)
    row = only(house)
    assert (row["starts_at"], row["ends_at"]) == (
        utc("2027-01-10T02:00"),
        utc("2027-01-10T04:00"),
    )
    assert (row["name"], row["state"], row["page"], row["fix"]) == (
        "weekly",
        "announced",
        False,
        False,
    )
    assert row["matchers"] == ['env="production"']
    assert states(house) == [("settings", "announced")]


def test_it_looks_again_each_minute_and_finds_the_next_one(start: Start) -> None:
    house = house_with(start, WEEKLY)
    planner = Planner()
    planner(house.services)
    at(house, utc("2027-01-10T01:59:30"))
    planner(house.services)
    house.later(timedelta(seconds=45))
    planner(house.services)
    assert [row["starts_at"].day for row in rows(house)] == [10], "not yet"
    house.later(timedelta(seconds=30))
    planner(house.services)
    assert [row["starts_at"].day for row in rows(house)] == [10, 17]


def test_many_processes_make_one_row(start: Start) -> None:
    house = house_with(start, LISTED)
    threads = [Thread(target=Planner(), args=(house.services,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows(house)) == 1
    assert len(house.sql("SELECT FROM maintenance_item")) == 3
    assert states(house) == [("settings", "announced")]


def test_who_comes_when_it_has_begun_still_makes_it(start: Start) -> None:
    house = house_with(start, WEEKLY, now="2027-01-10T03:59")
    restart(house)
    assert [row["state"] for row in rows(house)] == ["in_force", "announced"]
    assert held_back(house)


def test_what_is_over_is_not_made(start: Start) -> None:
    house = house_with(start, WEEKLY, now="2027-01-10T04:00")
    restart(house)
    assert [row["starts_at"].day for row in rows(house)] == [17]


def test_a_person_cancels_one_occurrence_for_good(start: Start) -> None:
    house = house_with(start, WEEKLY)
    restart(house)
    assert end_window(house.services, only(house)["id"], ANN)
    restart(house)
    assert only(house)["state"] == "cancelled"
    at(house, utc("2027-01-10T03:00"))
    restart(house)
    assert not held_back(house)
    assert states(house)[1:3] == [("ann", "ended"), ("clock", "cancelled")]


@pytest.mark.parametrize(
    "changed",
    [
        (),
        (replace(WEEKLY, starts=datetime(2026, 1, 4, 3)),),
        (replace(WEEKLY, duration=HOUR),),
        (replace(WEEKLY, matches=()),),
        (replace(WEEKLY, fix=True),),
        (replace(WEEKLY, before=(Item("look"),)),),
        (replace(WEEKLY, name="other"),),
    ],
    ids=["deleted", "moved", "shorter", "wider", "switched", "listed", "renamed"],
)
def test_what_the_settings_do_not_say_any_more_silences_nobody(
    start: Start, changed: tuple[RecurringWindow, ...]
) -> None:
    house = house_with(start, WEEKLY)
    restart(house)
    old = only(house)["id"]
    house.with_settings(windows=changed)
    restart(house)
    kept = {row["id"]: row["state"] for row in rows(house)}
    assert kept.pop(old) == "withdrawn"
    assert list(kept.values()) == ["announced"] * len(changed)
    assert states(house)[1] == ("settings", "withdrawn")
    # and back: the one that was started last has the last word
    house.with_settings(windows=(WEEKLY,))
    restart(house)
    (left,) = [row for row in rows(house) if row["state"] == "announced"]
    assert (left["name"], left["starts_at"]) == ("weekly", utc("2027-01-10T02:00"))


def test_a_running_process_with_old_settings_withdraws_nothing(start: Start) -> None:
    house = house_with(start, WEEKLY)
    old = Planner()
    old(house.services)
    house.with_settings(windows=(replace(WEEKLY, duration=HOUR),))
    restart(house)
    house.with_settings(windows=(WEEKLY,))
    house.later(timedelta(minutes=2))
    old(house.services)
    (left,) = [row for row in rows(house) if row["state"] == "announced"]
    assert left["ends_at"] - left["starts_at"] == HOUR


def test_what_is_in_force_is_not_withdrawn(start: Start) -> None:
    house = house_with(start, WEEKLY, now="2027-01-10T03:00")
    restart(house)
    house.with_settings(windows=())
    restart(house)
    assert [row["state"] for row in rows(house)] == ["in_force", "withdrawn"]


def test_what_comes_is_known_for_a_quarter(start: Start) -> None:
    house = house_with(start, WEEKLY)
    quarterly = replace(WEEKLY, name="quarterly", rrule="FREQ=MONTHLY;INTERVAL=3;BYDAY=1SU")
    house.with_settings(windows=(WEEKLY, quarterly))
    found = coming(house.services.settings, utc("2027-01-04T12:00"))
    assert [each.starts_at for each in found if each.window.name == "quarterly"] == [
        utc("2027-04-04T02:00")
    ]
    assert len(found) == 15


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    rule=st.sampled_from(
        [
            "FREQ=DAILY",
            "FREQ=DAILY;INTERVAL=3",
            "FREQ=WEEKLY;BYDAY=SU,WE",
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=SA",
            "FREQ=MONTHLY;BYDAY=-1SU",
            "FREQ=MONTHLY;BYMONTHDAY=28,29,30,31",
        ]
    ),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    hour=st.integers(0, 23),
    hours=st.integers(1, 60),
    begin=st.sampled_from(["2027-03-10", "2027-03-25", "2027-10-28", "2027-12-30"]),
    steps=st.lists(
        st.tuples(st.floats(0.001, 6.9), st.booleans(), st.booleans()), min_size=1, max_size=8
    ),
)
def test_never_two_rows_for_an_occurrence_and_never_none(
    shared: House,
    rule: str,
    zone: str,
    hour: int,
    hours: int,
    begin: str,
    steps: list[tuple[float, bool, bool]],
) -> None:
    """However time goes on, whoever plans: one process, a new one, or two."""
    house = shared
    house.sql("DELETE FROM maintenance_window")
    window = replace(
        WEEKLY,
        rrule=rule,
        zone=zone,
        starts=datetime(2027, 1, 2, hour),
        duration=hours * HOUR,
    )
    house.with_settings(windows=(window,))
    at(house, utc(begin))
    first, planner = utc(begin), Planner()
    planner(house.services)
    for days, anew, twice in steps:
        house.later(timedelta(days=days))
        planner = Planner() if anew else planner
        planner(house.services)
        if twice:
            Planner()(house.services)
        move_windows(house.services)
    with house.services.store.transaction() as tx:
        now = tx.now
    recurrence = Recurrence(rule, window.starts, zone)
    made = [row["starts_at"] for row in rows(house)]
    wanted = recurrence.between(first - window.duration, now + AHEAD)
    late = [each for each in wanted if each > now + AHEAD - timedelta(minutes=1)]
    assert [each for each in made if each not in late] == [
        each for each in wanted if each not in late
    ]
    assert all(row["ends_at"] - row["starts_at"] == window.duration for row in rows(house))


@pytest.fixture
def shared(start: Start) -> House:
    """One house for all examples."""
    return start()


# Both nights of a clock change


@pytest.mark.parametrize(
    ("now", "starts", "ends"),
    [
        ("2027-03-27T12:00", "2027-03-28T01:00", "2027-03-28T03:00"),
        ("2027-10-30T12:00", "2027-10-31T00:00", "2027-10-31T02:00"),
    ],
    ids=["spring", "autumn"],
)
def test_the_night_of_a_clock_change_has_one_window_of_real_hours(
    start: Start, now: str, starts: str, ends: str
) -> None:
    house = house_with(start, replace(WEEKLY, zone="Europe/Berlin"), now=now)
    restart(house)
    first, second = utc(starts), utc(ends)
    row = only(house)
    assert (row["starts_at"], row["ends_at"]) == (first, second)
    seen = []
    for minute in range(-30, 181, 15):
        at(house, first + timedelta(minutes=minute))
        restart(house)
        seen.append(held_back(house))
    assert seen == [False] * 2 + [True] * 8 + [False] * 5
    assert [after for _, after in states(house)].count("in_force") == 1


# States


def pass_through(house: House, moment: str) -> str:
    at(house, utc(moment))
    restart(house)
    return str(rows(house)[0]["state"])


def test_a_window_without_lists(start: Start) -> None:
    house = house_with(start, WEEKLY)
    assert pass_through(house, "2027-01-10T01:59") == "announced"
    assert not held_back(house)
    assert pass_through(house, "2027-01-10T02:00") == "in_force"
    assert held_back(house)
    assert pass_through(house, "2027-01-10T04:00") == "watching"
    assert not held_back(house)
    assert pass_through(house, "2027-01-10T04:59") == "watching"
    assert pass_through(house, "2027-01-10T05:00") == "finished"
    assert told(house) == []
    moved = [each for each in states(house) if each[0] == "clock"]
    assert moved == [("clock", "in_force"), ("clock", "watching"), ("clock", "finished")]


def test_a_start_waits_for_its_list_and_an_end_for_its_own(start: Start) -> None:
    house = house_with(start, LISTED)
    restart(house)
    window_id = only(house)["id"]
    assert tick(house.services, window_id, 1, ANN, True)
    assert pass_through(house, "2027-01-10T02:00") == "waiting"
    assert not held_back(house)
    assert told(house) == ["waiting"]
    house.later(timedelta(minutes=20))
    assert tick(house.services, window_id, 2, ANN, True)
    assert rows(house)[0]["state"] == "in_force"
    assert held_back(house)
    with house.services.store.transaction() as tx:
        assert window_allows(tx, LABELS) and not window_allows(tx, {"env": "staging"})
    assert pass_through(house, "2027-01-10T04:00") == "finishing"
    assert not held_back(house), "people are woken again on time, whatever is not ticked"
    assert told(house) == ["waiting", "in_force", "finishing"]
    assert pass_through(house, "2027-01-10T09:00") == "finishing"
    assert tick(house.services, window_id, 3, ANN, True)
    assert rows(house)[0]["state"] == "finished", "its hour of watching is over by then"
    assert [each for each in states(house) if each[0] == "ann"] == [("ann", "ticked")] * 3
    items = house.sql("SELECT * FROM maintenance_item WHERE window_id = %s", window_id)
    assert {(each["ticked_by"], each["ticked_kind"]) for each in items} == {("ann", "person")}
    assert all(each["ticked_at"] for each in items)
    house.send()
    assert house.hook.happenings() == ["maintenance"] * 3
    messages = [message.document["maintenance"] for message in house.hook.got]
    left = {each["state"]: each["open"] for each in messages}
    assert left == {
        "waiting": ["Have rollback plan ready"],
        "in_force": [],
        "finishing": ["Run smoke tests"],
    }
    assert {each["name"] for each in messages} == {"weekly"}
    assert house.pager.got == []


@pytest.mark.parametrize("ready", [False, True])
def test_fixes_go_on_until_the_list_is_complete(start: Start, ready: bool) -> None:
    house = start()
    asked = Asked("a release", (), duration=HOUR, before=[Item("look")])
    window_id = open_window(house.services, asked, ANN)
    if ready:
        tick(house.services, window_id, 1, ANN, True)
    house.post(alert("Thing"))
    house.settle()
    assert house.decision() == (("propose", "window") if ready else ("fix", "allowed"))


def test_one_that_is_never_ready_is_missed(start: Start) -> None:
    house = house_with(start, LISTED)
    restart(house)
    for moment, state in {"02:00": "waiting", "03:59": "waiting", "04:00": "missed"}.items():
        assert pass_through(house, f"2027-01-10T{moment}") == state
        assert not held_back(house)
    assert told(house) == ["waiting", "missed"]
    with pytest.raises(TickRefused, match="is missed"):
        tick(house.services, rows(house)[0]["id"], 1, ANN, True)


def test_its_end_is_watched_for_an_hour_when_the_list_is_ticked_in_time(start: Start) -> None:
    house = house_with(start, LISTED)
    restart(house)
    window_id = only(house)["id"]
    for position in (1, 2):
        tick(house.services, window_id, position, ANN, True)
    assert pass_through(house, "2027-01-10T02:30") == "in_force"
    tick(house.services, window_id, 3, ANN, True)
    assert rows(house)[0]["state"] == "in_force", "its time is not over"
    assert pass_through(house, "2027-01-10T04:00") == "watching"
    assert pass_through(house, "2027-01-10T05:00") == "finished"
    assert told(house) == []


def test_an_end_before_its_time(start: Start) -> None:
    house = house_with(start, LISTED)
    restart(house)
    window_id = only(house)["id"]
    for position in (1, 2):
        tick(house.services, window_id, position, ANN, True)
    at(house, utc("2027-01-10T02:30"))
    restart(house)
    assert end_window(house.services, window_id, ANN)
    assert not held_back(house)
    assert rows(house)[0]["state"] == "finishing"
    tick(house.services, window_id, 3, ANN, True)
    assert rows(house)[0]["state"] == "watching"
    assert pass_through(house, "2027-01-10T03:29") == "watching"
    assert pass_through(house, "2027-01-10T03:31") == "finished"


def test_one_that_waits_is_ended_and_never_was_in_force(start: Start) -> None:
    house = house_with(start, LISTED)
    pass_through(house, "2027-01-10T02:10")
    end_window(house.services, rows(house)[0]["id"], ANN)
    assert rows(house)[0]["state"] == "missed"


def test_ticks_are_taken_back_only_while_the_list_is_open(start: Start) -> None:
    house = house_with(start, LISTED)
    restart(house)
    window_id = only(house)["id"]
    with pytest.raises(TickRefused, match="once the window is in force"):
        tick(house.services, window_id, 3, ANN, True)
    for done in (True, True, False, False, True):  # twice is no mistake
        assert tick(house.services, window_id, 1, ANN, done)
    tick(house.services, window_id, 2, ANN, True)
    assert only(house)["ready_at"] is not None
    tick(house.services, window_id, 2, ANN, False)
    assert only(house)["ready_at"] is None
    tick(house.services, window_id, 2, ANN, True)
    at(house, utc("2027-01-10T02:30"))
    with pytest.raises(TickRefused, match="was in force"):
        tick(house.services, window_id, 1, ANN, False)
    tick(house.services, window_id, 3, ANN, True)
    tick(house.services, window_id, 3, ANN, False)
    tick(house.services, window_id, 3, ANN, True)
    at(house, utc("2027-01-10T04:10"))
    with pytest.raises(TickRefused, match="is complete"):
        tick(house.services, window_id, 3, ANN, False)
    at(house, utc("2027-01-10T06:00"))
    with pytest.raises(TickRefused, match="is finished"):
        tick(house.services, window_id, 3, ANN, False)
    assert not tick(house.services, window_id, 4, ANN, True)
    ticks = [after for actor, after in states(house) if actor == "ann"]
    assert ticks.count("ticked") == 6 and ticks.count("unticked") == 3


def test_nobody_lived_while_it_was_in_force(start: Start) -> None:
    """What is kept back hangs on times alone; the trail says what was seen."""
    house = house_with(start, WEEKLY)
    restart(house)
    at(house, utc("2027-01-10T03:00"))
    assert held_back(house)
    at(house, utc("2027-01-10T04:30"))
    assert not held_back(house)
    restart(house)
    assert [each for each in states(house) if each[0] == "clock"] == [("clock", "watching")]


@pytest.mark.parametrize("moment", ["02:00", "04:00", "05:00"])
def test_a_process_that_dies_in_the_middle_of_a_step_leaves_it_to_the_next(
    start: Start, moment: str
) -> None:
    house = house_with(start, LISTED)
    restart(house)
    for position in (1, 2):
        tick(house.services, only(house)["id"], position, ANN, True)
    hour = utc(f"2027-01-10T{moment}")
    at(house, hour - timedelta(seconds=1))
    restart(house)
    if moment == "05:00":
        tick(house.services, rows(house)[0]["id"], 3, ANN, True)
    before, trail = rows(house)[0]["state"], states(house)
    at(house, hour)
    with refusing(house, "audit_event", "NEW.what = 'maintenance'"):
        dies(lambda: move_windows(house.services))
    assert (rows(house)[0]["state"], states(house)) == (before, trail)
    assert held_back(house) is (moment == "02:00"), "what is kept back does not wait for a step"
    move_windows(house.services)
    assert rows(house)[0]["state"] != before
    assert len(states(house)) == len(trail) + 1


def test_a_planner_that_dies_leaves_no_half_of_an_occurrence(start: Start) -> None:
    house = house_with(start, LISTED)
    with refusing(house, "maintenance_item", "NEW.phase = 'after'"):
        dies(lambda: Planner()(house.services))
    assert (rows(house), states(house)) == ([], [])
    restart(house)
    assert len(house.sql("SELECT FROM maintenance_item")) == 3


def test_overlapping_windows_each_go_their_way(start: Start) -> None:
    longer = replace(WEEKLY, name="longer", duration=3 * HOUR)
    house = house_with(start, WEEKLY, longer)
    pass_through(house, "2027-01-10T02:00")
    assert [row["state"] for row in rows(house)[:2]] == ["in_force", "in_force"]
    pass_through(house, "2027-01-10T04:00")
    assert held_back(house)
    with house.services.store.transaction() as tx:
        assert paging_resumes(tx, LABELS) == utc("2027-01-10T05:00")
    pass_through(house, "2027-01-10T05:00")
    assert not held_back(house)


def test_a_one_off_window_may_have_lists(start: Start) -> None:
    house = start()
    asked = Asked("a release", (), duration=HOUR, page=False, before=[Item("look")])
    window_id = open_window(house.services, asked, ANN)
    assert only(house)["state"] == "waiting"
    assert not held_back(house)
    tick(house.services, window_id, 1, ANN, True)
    assert (only(house)["state"], held_back(house)) == ("in_force", True)


def test_a_list_makes_sense_of_a_window_that_leaves_everything_on(start: Start) -> None:
    house = start()
    asked = Asked("archiving", (), duration=HOUR, fix=True, before=[Item("a snapshot")])
    window_id = open_window(house.services, asked, ANN)
    tick(house.services, window_id, 1, ANN, True)
    with house.services.store.transaction() as tx:
        assert window_allows(tx, LABELS)
    assert not held_back(house)
