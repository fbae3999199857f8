"""When something recurring happens: an RRULE (RFC 5545) of days, at one local time, in one zone.

Days are counted on the wall calendar, so a clock change neither skips nor doubles one. A time that
the clock leaps over is taken with the offset before the leap; of one that comes twice the first
counts. Both are what RFC 5545 says.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

_NUMBERS = r"-?[1-9][0-9]{0,2}"
#: What may stand in a rule; the time of day is that of the first occurrence. An interval of 0,
#: which dateutil takes, would never end.
_PARTS: Mapping[str, str] = {
    "FREQ": "DAILY|WEEKLY|MONTHLY|YEARLY",
    "INTERVAL": "[1-9][0-9]{0,2}",
    "BYDAY": r"[+-]?[1-5]?(MO|TU|WE|TH|FR|SA|SU)(,[+-]?[1-5]?(MO|TU|WE|TH|FR|SA|SU))*",
    "BYMONTHDAY": f"{_NUMBERS}(,{_NUMBERS})*",
    "BYMONTH": "(1[0-2]|[1-9])(,(1[0-2]|[1-9]))*",
    "BYSETPOS": f"{_NUMBERS}(,{_NUMBERS})*",
    "WKST": "MO|TU|WE|TH|FR|SA|SU",
    "COUNT": "[1-9][0-9]{0,3}",
    "UNTIL": r"[0-9]{8}(T[0-9]{6})?",
}
#: A first time before it would only be counted through; one after it is a slip of the pen.
_YEARS = range(2000, 2101)
_DAY = timedelta(days=1)
#: The calendar repeats itself after 400 years. So far ahead the search for what never happens ends
#: after 300 to 400 of them, where Python's years do.
_LATE = 7600


@dataclass(frozen=True)
class Recurrence:
    """first: local time in `zone`, from which intervals are counted; it need not be one itself."""

    rule: str
    first: datetime
    zone: str

    def __post_init__(self) -> None:
        """ValueError says what is wrong."""
        if self.first.year not in _YEARS:
            raise ValueError(f"must be in the years {_YEARS[0]} to {_YEARS[-1]}")
        try:
            ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError):  # of no zone, of "../x", of the folder "Europe"
            wrong = f'not a time zone: {self.zone!r}; write for example "Europe/Berlin"'
            raise ValueError(wrong) from None
        days = _days(self.rule, self.first)
        late = days.replace(dtstart=self.first.replace(year=self.first.year + _LATE), until=None)
        if next(iter(late), None) is None or next(iter(days), None) is None:
            raise ValueError(f"never happens: {self.rule!r}")

    def between(self, after: datetime, before: datetime) -> list[datetime]:
        """The starts t with after < t <= before, in UTC and in order."""
        zone = ZoneInfo(self.zone)
        local = [at.astimezone(zone).replace(tzinfo=None) for at in (after, before)]
        # A day more on both sides: a leap may lie between the wall clock and what is asked for.
        days = _days(self.rule, self.first).between(local[0] - _DAY, local[1] + _DAY, inc=True)
        starts = (day.replace(tzinfo=zone, fold=0).astimezone(UTC) for day in days)
        return [start for start in starts if after < start <= before]


def _days(written: str, first: datetime) -> rrule:
    """The rule on the wall clock. ValueError."""
    parts = [part.partition("=")[::2] for part in written.upper().split(";")]
    names = [name for name, _ in parts]
    for name, value in parts:
        if name not in _PARTS:
            raise ValueError(f"not a part of a rule here: {name!r}; known are {', '.join(_PARTS)}")
        if not re.fullmatch(_PARTS[name], value):
            raise ValueError(f"not a value of {name}: {value!r}")
    if names.count("FREQ") != 1 or len(set(names)) < len(names):
        raise ValueError('must say FREQ, and nothing twice, for example "FREQ=WEEKLY;BYDAY=SU"')
    if {"COUNT", "UNTIL"} <= set(names):
        raise ValueError("says COUNT and UNTIL, not both may stand")
    told = dict(parts)
    if told["FREQ"] in ("DAILY", "WEEKLY") and re.search("[0-9]", told.get("BYDAY", "")):
        raise ValueError('has a number in BYDAY, as "1SU", which needs FREQ=MONTHLY or YEARLY')
    until = told.get("UNTIL", "")
    whole = written.replace(until, f"{until}T235959") if until and "T" not in until else written
    try:
        return rrulestr(whole, dtstart=first)
    except ValueError as error:
        raise ValueError(f"not a rule: {written!r}: {error}") from None
