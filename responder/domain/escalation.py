"""The escalation path: who is told next when nobody takes an incident (docs/escalation.md)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from responder.domain.hours import Hours
from responder.domain.severity import Severity

#: The responder itself; what stands in `[[levels]]` begins behind it.
RESPONDER_LEVEL = 1
ON_CALL = 2
#: How long each level has, until the next one is told; P3 has until the next business day.
PATIENCE = {
    Severity.P0: timedelta(minutes=5),
    Severity.P1: timedelta(minutes=5),
    Severity.P2: timedelta(hours=1),
}


class Climb(StrEnum):
    """What became of a step whose time had come."""

    CLIMBED = "climbed"
    REPEATED = "repeated"
    NOBODY_AVAILABLE = "nobody_available"
    NOBODY_LEFT = "nobody_left"
    HELD_BACK = "held_back"


@dataclass(frozen=True)
class Person:
    """Somebody who can be told, or a team; hours: None is day and night."""

    name: str
    receivers: tuple[str, ...]
    hours: Hours | None = None

    def available(self, at: datetime) -> bool:
        return self.hours is None or self.hours.open_at(at)


@dataclass(frozen=True)
class Rung:
    """A level with those of its people who are to be told."""

    level: int
    people: tuple[Person, ...]


@dataclass(frozen=True)
class Step:
    """people: who is told now, at `level`; without, `wait_until` says when somebody can be.

    passed_over: who would have been told, and when they can be. again: it begins anew.
    """

    level: int
    people: tuple[Person, ...] = ()
    passed_over: tuple[tuple[Person, datetime], ...] = ()
    again: bool = False

    @property
    def wait_until(self) -> datetime | None:
        return min((opens for _, opens in self.passed_over), default=None)

    @property
    def climb(self) -> Climb:
        if self.people:
            return Climb.REPEATED if self.again else Climb.CLIMBED
        return Climb.NOBODY_AVAILABLE if self.passed_over else Climb.NOBODY_LEFT


def next_step(path: Sequence[Rung], level: int, over: bool, at: datetime) -> Step:
    """The next level with somebody available. over: behind the last one it begins again."""
    passed: dict[Person, datetime] = {}
    for rung, again in _ahead(path, level, over):
        there = tuple(person for person in rung.people if person.available(at))
        passed |= {
            each: each.hours.next_open(at)
            for each in rung.people
            if each not in there and each.hours
        }
        if there:
            return Step(rung.level, there, tuple(passed.items()), again)
    return Step(level, passed_over=tuple(passed.items()))


def anybody_ahead(path: Sequence[Rung], level: int, over: bool) -> bool:
    """Whether there is a next step at all, be it that somebody must be waited for."""
    return any(rung.people for rung, _ in _ahead(path, level, over))


def _ahead(path: Sequence[Rung], level: int, over: bool) -> Iterator[tuple[Rung, bool]]:
    yield from ((rung, False) for rung in path if rung.level > level)
    if over:
        yield from ((rung, True) for rung in path)
