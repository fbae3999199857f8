"""When recurring windows come: on the wall calendar, once a day, whatever the clocks do."""

from datetime import UTC, date, datetime, timedelta
from time import process_time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from responder.recurrence import Recurrence

DAY = timedelta(days=1)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]


def starts(rule: str, first: str, zone: str, after: str, before: str) -> list[str]:
    """The starts in UTC, to the minute."""
    span = [datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (after, before)]
    found = Recurrence(rule, datetime.fromisoformat(first), zone).between(span[0], span[1])
    return [each.strftime("%m-%d %H:%M") for each in found]


def test_the_weekly_window_of_the_runbook() -> None:
    sundays = starts("FREQ=WEEKLY;BYDAY=SU", "2026-01-04T02:00", "UTC", "2026-02-26", "2026-03-16")
    assert sundays == ["03-01 02:00", "03-08 02:00", "03-15 02:00"]


def test_the_monthly_and_the_quarterly_one() -> None:
    year = ("2026-01-04T02:00", "UTC", "2026-01-01", "2026-12-31")
    monthly = starts("FREQ=MONTHLY;BYDAY=1SU", *year)
    quarterly = starts("FREQ=MONTHLY;INTERVAL=3;BYDAY=1SU", *year)
    assert len(monthly) == 12
    assert quarterly == ["01-04 02:00", "04-05 02:00", "07-05 02:00", "10-04 02:00"]
    assert set(quarterly) <= set(monthly)


@pytest.mark.parametrize(
    ("first", "after", "before", "told"),
    [
        # the clock leaps from 2 to 3: what would begin at 2 begins at that moment
        (
            "02:00",
            "2026-03-27T12:00",
            "2026-03-30T12:00",
            ["03-28 01:00", "03-29 01:00", "03-30 00:00"],
        ),
        # a time in the middle of the leap: with the offset before it
        (
            "02:30",
            "2026-03-27T12:00",
            "2026-03-30T12:00",
            ["03-28 01:30", "03-29 01:30", "03-30 00:30"],
        ),
        # 2 to 3 comes twice: the first time counts
        (
            "02:00",
            "2026-10-23T12:00",
            "2026-10-26T12:00",
            ["10-24 00:00", "10-25 00:00", "10-26 01:00"],
        ),
        (
            "02:30",
            "2026-10-23T12:00",
            "2026-10-26T12:00",
            ["10-24 00:30", "10-25 00:30", "10-26 01:30"],
        ),
        (
            "03:00",
            "2026-10-23T12:00",
            "2026-10-26T12:00",
            ["10-24 01:00", "10-25 02:00", "10-26 02:00"],
        ),
    ],
)
def test_both_nights_of_a_clock_change(
    first: str, after: str, before: str, told: list[str]
) -> None:
    found = starts("FREQ=DAILY", f"2026-01-01T{first}", "Europe/Berlin", after, before)
    assert found == told


def test_a_quarter_of_an_hour_around_the_leap() -> None:
    """On the wall it is past 3 already when what would begin at half past 2 begins."""
    quarter = ("2026-03-29T01:15", "2026-03-29T01:45")
    assert starts("FREQ=DAILY", "2026-01-01T02:30", "Europe/Berlin", *quarter) == ["03-29 01:30"]


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ("FREQ=HOURLY", "not a value of FREQ"),
        ("FREQ=WEEKLY;INTERVAL=0", "not a value of INTERVAL"),
        ("FREQ=WEEKLY;BYHOUR=2", "not a part of a rule here: 'BYHOUR'"),
        ("BYDAY=SU", "must say FREQ"),
        ("FREQ=WEEKLY;FREQ=DAILY", "nothing twice"),
        ("FREQ=WEEKLY;BYDAY=SUN", "not a value of BYDAY"),
        ("FREQ=WEEKLY;BYDAY=1SU", "has a number in BYDAY"),  # not each Sunday
        ("freq=daily;byday=mo,-1fr", "has a number in BYDAY"),
        ("FREQ=WEEKLY;;", "not a part of a rule here: ''"),
        ("every Sunday", "not a part"),
        ("FREQ=DAILY;UNTIL=20261399", "not a rule"),
        ("FREQ=DAILY;UNTIL=20250101", "never happens"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20260201", "not both"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never happens"),
        ("FREQ=MONTHLY;INTERVAL=12;BYMONTH=3", "never happens"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;UNTIL=20300101", "never happens"),
        ("RRULE:FREQ=DAILY", "not a part"),
    ],
)
def test_what_is_no_rule(rule: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Recurrence(rule, datetime(2026, 1, 4, 2), "UTC")


@pytest.mark.parametrize("freq", ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"])
def test_what_never_happens_is_refused_soon(freq: str) -> None:
    """Day by day through eight thousand years is 11 s of work in a start, or in a request."""
    began = process_time()
    with pytest.raises(ValueError, match="never happens"):
        Recurrence(f"FREQ={freq};BYMONTH=2;BYMONTHDAY=30", datetime(2000, 1, 4, 2), "UTC")
    assert process_time() - began < 3


def test_what_happens_seldom_is_a_rule() -> None:
    """The 29th of February that is a Sunday: every 28 years."""
    seldom = "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU"
    assert starts(seldom, "2026-01-04T02:00", "UTC", "2026-01-01", "2033-01-01") == ["02-29 02:00"]


@pytest.mark.parametrize(
    ("until", "last"),
    [
        ("20260330", ["03-29 01:00", "03-30 00:00"]),  # a date: with all of that day
        ("20260330T020000", ["03-29 01:00", "03-30 00:00"]),
        ("20260330T015959", ["03-28 01:00", "03-29 01:00"]),
    ],
)
def test_until_is_on_the_wall_clock(until: str, last: list[str]) -> None:
    rule = f"FREQ=DAILY;UNTIL={until}"
    told = starts(rule, "2026-03-01T02:00", "Europe/Berlin", "2026-03-01", "2026-04-09")
    assert told[-2:] == last


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "Europe", "../etc/passwd", "/etc/passwd", "\0"]
)
def test_what_is_no_zone(zone: str) -> None:
    with pytest.raises(ValueError, match="not a time zone"):
        Recurrence("FREQ=DAILY", datetime(2026, 1, 4, 2), zone)


@pytest.mark.parametrize("year", [1, 1999, 2101, 9999])
def test_a_first_time_in_another_age(year: int) -> None:
    with pytest.raises(ValueError, match="in the years 2000 to 2100"):
        Recurrence("FREQ=DAILY", datetime(year, 1, 4, 2), "UTC")


@settings(max_examples=200, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    days=st.sets(st.sampled_from(WEEKDAYS), min_size=1),
    minute=st.integers(0, 24 * 60 - 1),
    begin=st.dates(date(2025, 1, 1), date(2026, 12, 1)),
    length=st.integers(1, 40),
)
def test_each_day_of_the_calendar_has_its_window_once(
    zone: str, days: set[str], minute: int, begin: date, length: int
) -> None:
    """Counted by hand, day by day; real time never runs backwards between two of them."""
    at = timedelta(minutes=minute)
    recurrence = Recurrence(
        f"FREQ=WEEKLY;BYDAY={','.join(sorted(days))}", datetime(2025, 1, 1) + at, zone
    )
    midnight = datetime(begin.year, begin.month, begin.day)
    calendar = (midnight + n * DAY for n in range(length))
    wanted = [
        (each + at).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        for each in calendar
        if WEEKDAYS[each.weekday()] in days
    ]
    if not wanted:
        return
    assert recurrence.between(wanted[0] - timedelta(seconds=1), wanted[-1]) == wanted
    assert sorted(set(wanted)) == wanted
    # cut anywhere, no occurrence is lost and none comes twice
    middle = wanted[len(wanted) // 2]
    parts = [
        recurrence.between(wanted[0] - timedelta(seconds=1), middle),
        recurrence.between(middle, wanted[-1]),
    ]
    assert [*parts[0], *parts[1]] == wanted
