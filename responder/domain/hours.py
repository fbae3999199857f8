"""When somebody can be reached: business hours on the wall clock of their own place."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

_DAY = timedelta(days=1)
#: A week and both of its ends: whatever the days are, one of them is among these.
_LOOKED_AT = 9


@dataclass(frozen=True)
class Hours:
    """days: 0 is Monday, at least one. From `opens` to `closes`, over midnight if that is earlier.

    An hour that a change of the clock leaves out is moved behind it, one that comes twice counts
    twice.
    """

    days: tuple[int, ...] = (0, 1, 2, 3, 4)
    opens: time = time(9)
    closes: time = time(17)
    zone: tzinfo = UTC

    def open_at(self, at: datetime) -> bool:
        return self.next_open(at) <= at

    def next_open(self, at: datetime) -> datetime:
        """The time itself when they are open, else when they open next."""
        return next(max(opens, at) for opens, closes in self._spans(at) if closes > at)

    def next_opening(self, at: datetime) -> datetime:
        """When they open next; while they are open, when they open again."""
        return next(opens for opens, _ in self._spans(at) if opens > at)

    def next_day(self, at: datetime) -> datetime:
        """When they open on the first of their days after the one of `at`."""
        today = at.astimezone(self.zone).date()
        return next(
            opens
            for opens, _ in self._spans(at + _DAY)
            if opens.astimezone(self.zone).date() > today
        )

    def _spans(self, at: datetime) -> Iterator[tuple[datetime, datetime]]:
        """From the one that began the day before on: each opening and closing, in UTC."""
        first = at.astimezone(self.zone).date() - _DAY
        for day in (first + n * _DAY for n in range(_LOOKED_AT)):
            if day.weekday() in self.days:
                last = day if self.closes > self.opens else day + _DAY
                opens = datetime.combine(day, self.opens, self.zone)
                closes = datetime.combine(last, self.closes, self.zone)
                later = max(closes.astimezone(UTC), closes.replace(fold=1).astimezone(UTC))
                yield opens.astimezone(UTC), later
