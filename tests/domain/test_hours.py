"""Business hours are told by the wall clock of a place, also in the nights that change it."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.hours import Hours

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
WEEKDAYS = Hours(zone=BERLIN)
NIGHTS = Hours((0, 1, 2, 3, 4, 5, 6), time(22), time(6), BERLIN)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "asked", "opens"),
    [
        # 9 in Berlin is 8 in UTC in winter and 7 in summer.
        (WEEKDAYS, "2026-03-11 07:59", "2026-03-11 08:00"),
        (WEEKDAYS, "2026-03-11 08:00", "2026-03-11 08:00"),
        (WEEKDAYS, "2026-03-11 15:59", "2026-03-11 15:59"),
        (WEEKDAYS, "2026-03-11 16:00", "2026-03-12 08:00"),
        # Friday evening waits for Monday.
        (WEEKDAYS, "2026-03-13 16:00", "2026-03-16 08:00"),
        # The clock goes forward on Sunday, 2026-03-29, and back on Sunday, 2026-10-25.
        (WEEKDAYS, "2026-03-27 17:00", "2026-03-30 07:00"),
        (WEEKDAYS, "2026-10-23 17:00", "2026-10-26 08:00"),
        # A night shift: seven hours long when the clock goes forward, nine when it goes back.
        (NIGHTS, "2026-03-28 20:59", "2026-03-28 21:00"),
        (NIGHTS, "2026-03-29 03:59", "2026-03-29 03:59"),
        (NIGHTS, "2026-03-29 04:00", "2026-03-29 20:00"),
        (NIGHTS, "2026-10-25 04:59", "2026-10-25 04:59"),
        (NIGHTS, "2026-10-25 05:00", "2026-10-25 21:00"),
        # One day a week.
        (Hours((6,), zone=BERLIN), "2026-03-15 17:00", "2026-03-22 08:00"),
        # The whole of a day.
        (Hours((2,), time(0), time(0), BERLIN), "2026-03-11 22:59", "2026-03-11 22:59"),
        (Hours((2,), time(0), time(0), BERLIN), "2026-03-11 23:00", "2026-03-17 23:00"),
        # On the other side of the date line.
        (Hours(zone=ZoneInfo("Pacific/Auckland")), "2026-03-08 19:59", "2026-03-08 20:00"),
    ],
)
def test_when_they_open(hours: Hours, asked: str, opens: str) -> None:
    assert hours.next_open(at(asked)) == at(opens)
    assert hours.open_at(at(asked)) == (asked == opens)


@pytest.mark.parametrize(
    ("opens", "closes", "begins", "ends"),
    [
        # 02:00 to 03:00 is left out on 2026-03-29: such an hour comes later, and is not lost.
        (time(2, 10), time(2, 50), "2026-03-29 01:10", "2026-03-29 01:50"),
        (time(1), time(2, 30), "2026-03-29 00:00", "2026-03-29 01:30"),
        (time(2, 30), time(5), "2026-03-29 01:30", "2026-03-29 03:00"),
    ],
)
def test_an_hour_that_is_left_out(opens: time, closes: time, begins: str, ends: str) -> None:
    hours = Hours((6,), opens, closes, BERLIN)
    assert hours.next_open(at("2026-03-28 12:00")) == at(begins)
    assert hours.open_at(at(ends) - timedelta(seconds=1))
    assert hours.next_open(at(ends)) > at("2026-04-01 00:00")


@pytest.mark.parametrize(
    ("opens", "closes", "begins", "ends"),
    [
        # 02:00 to 03:00 comes twice on 2026-10-25, at 00:00 and at 01:00 in UTC.
        (time(2, 10), time(2, 50), "2026-10-25 00:10", "2026-10-25 01:50"),
        (time(1), time(2, 30), "2026-10-24 23:00", "2026-10-25 01:30"),
        (time(2, 30), time(5), "2026-10-25 00:30", "2026-10-25 04:00"),
    ],
)
def test_an_hour_that_comes_twice(opens: time, closes: time, begins: str, ends: str) -> None:
    hours = Hours((6,), opens, closes, BERLIN)
    assert hours.next_open(at("2026-10-24 12:00")) == at(begins)
    assert hours.open_at(at(ends) - timedelta(seconds=1))
    assert hours.next_open(at(ends)) > at("2026-10-27 00:00")


@pytest.mark.parametrize(
    ("asked", "next_day"),
    [
        (
            "2026-03-11 06:00",
            "2026-03-12 08:00",
        ),  # before they open, it is the day after all the same
        ("2026-03-11 12:00", "2026-03-12 08:00"),
        ("2026-03-11 23:30", "2026-03-13 08:00"),  # it is the 12th in Berlin
        ("2026-03-13 12:00", "2026-03-16 08:00"),
        ("2026-03-27 12:00", "2026-03-30 07:00"),
        ("2026-10-24 12:00", "2026-10-26 08:00"),
    ],
)
def test_the_next_business_day(asked: str, next_day: str) -> None:
    assert WEEKDAYS.next_day(at(asked)) == at(next_day)


MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
HOURS = st.builds(
    Hours,
    st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
    st.times(),
    st.times(),
    st.sampled_from([UTC, BERLIN, NEW_YORK, ZoneInfo("Australia/Lord_Howe")]),
)


@given(HOURS, MOMENTS, st.fractions(0, 1))
def test_they_open_when_it_is_said_and_not_before(
    hours: Hours, asked: datetime, part: float
) -> None:
    opens = hours.next_open(asked)
    assert asked <= opens <= asked + timedelta(days=8)
    assert hours.open_at(opens)
    between = asked + (opens - asked) * float(part)
    assert between == opens or not hours.open_at(between)
    assert hours.next_open(between) == opens


@given(HOURS, MOMENTS)
def test_the_wall_clock_agrees(hours: Hours, asked: datetime) -> None:
    """Away from the change of a clock, which the tables above have."""
    local = asked.astimezone(hours.zone)
    steady = {(asked + timedelta(hours=n)).astimezone(hours.zone).utcoffset() for n in (-25, 0, 25)}
    if len(steady) > 1:
        return
    clock, today, yesterday = local.time(), local.weekday(), (local.weekday() - 1) % 7
    if hours.closes > hours.opens:
        open_now = today in hours.days and hours.opens <= clock < hours.closes
    else:
        open_now = (today in hours.days and clock >= hours.opens) or (
            yesterday in hours.days and clock < hours.closes
        )
    assert hours.open_at(asked) == open_now


@given(HOURS, MOMENTS)
def test_the_next_business_day_is_another_day(hours: Hours, asked: datetime) -> None:
    opens = hours.next_day(asked)
    assert hours.open_at(opens)
    local = opens.astimezone(hours.zone).date()
    assert asked.astimezone(hours.zone).date() < local
