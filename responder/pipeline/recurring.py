"""Occurrences of [[windows]] become rows when they come near, each exactly once."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from responder.domain.actor import Actor, ActorKind
from responder.domain.maintenance import WindowState
from responder.domain.settings import RecurringWindow, Settings
from responder.pipeline.maintenance import Window, insert_window
from responder.pipeline.services import Services
from responder.recurrence import Recurrence
from responder.store import Transaction

#: So long before its start an occurrence can be seen, ticked and cancelled: users are to be told a
#: day ahead.
AHEAD = timedelta(days=7)
#: How often a process looks for what has come near.
EVERY = timedelta(minutes=1)
#: How far `coming` looks: a quarterly window is in it.
HORIZON = timedelta(days=100)
_SETTINGS = Actor(ActorKind.SYSTEM, "settings")


@dataclass(frozen=True)
class Occurrence:
    """One time that a recurring window comes."""

    window: RecurringWindow
    starts_at: datetime

    @property
    def ends_at(self) -> datetime:
        """The duration is real time, also in the night of a clock change."""
        return self.starts_at + self.window.duration

    @property
    def definition(self) -> str:
        """A digest of all that the settings say of it."""
        kept = replace(self.window, starts=self.starts_at, rrule="", zone="")
        return hashlib.sha256(repr(kept).encode()).hexdigest()


class Planner:
    """Of one process. The rows are the memory; what is remembered here only saves looking."""

    def __init__(self) -> None:
        self._looked_at: datetime | None = None

    def __call__(self, services: Services) -> None:
        """Make the rows of what has come near; once at first, take back what is not known now."""
        if not services.settings.windows and self._looked_at is not None:
            return
        with services.store.transaction() as tx:
            if self._looked_at is not None and tx.now < self._looked_at + EVERY:
                return
            near = _near(services.settings, tx.now)
            if self._looked_at is None:
                _withdraw(tx, near)
            for occurrence in near:
                _announce(services, tx, occurrence)
            now = tx.now
        self._looked_at = now


def coming(settings: Settings, now: datetime) -> list[Occurrence]:
    """What begins within HORIZON, in order."""
    found = [
        Occurrence(window, start)
        for window, recurrence in _recurrences(settings)
        for start in recurrence.between(now, now + HORIZON)
    ]
    return sorted(found, key=lambda each: (each.starts_at, each.window.name))


def _near(settings: Settings, now: datetime) -> list[Occurrence]:
    """Also what has begun and is not over: nobody may have been alive when it came near."""
    return [
        Occurrence(window, start)
        for window, recurrence in _recurrences(settings)
        for start in recurrence.between(now - window.duration, now + AHEAD)
    ]


def _recurrences(settings: Settings) -> Iterator[tuple[RecurringWindow, Recurrence]]:
    for window in settings.windows:
        yield window, Recurrence(window.rrule, window.starts, window.zone)


def _announce(services: Services, tx: Transaction, occurrence: Occurrence) -> None:
    window = occurrence.window
    asked = Window(
        window.reason,
        [str(matcher) for matcher in window.matches],
        page=window.page,
        diagnose=window.diagnose,
        fix=window.fix,
        before=window.before,
        after=window.after,
        watch=window.watch,
    )
    times = (occurrence.starts_at, occurrence.ends_at)
    insert_window(
        services, tx, asked, times, _SETTINGS, name=window.name, definition=occurrence.definition
    )


def _withdraw(tx: Transaction, near: list[Occurrence]) -> None:
    """Rows of windows that were changed or deleted: what nobody wants must not silence anybody.

    Only when a process starts, so that old and new settings do not quarrel while both run: the one
    that was started last has the last word.
    """
    known = {(each.window.name, each.starts_at): each.definition for each in near}
    for row in tx.all("lock_announced_occurrences"):
        if row["starts_at"] <= tx.now or _is_known(row, known):
            continue
        tx.run("withdraw_window", id=row["id"])
        tx.record(
            "maintenance",
            _SETTINGS,
            f"maintenance {row['id']}",
            before=row["state"],
            after=WindowState.WITHDRAWN,
            name=row["name"],
        )


def _is_known(row: Mapping[str, Any], known: Mapping[tuple[str, datetime], str]) -> bool:
    definition: str | None = row["definition"]
    return known.get((row["name"], row["starts_at"])) == definition
