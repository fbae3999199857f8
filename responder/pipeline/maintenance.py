"""One-off maintenance windows: while one is in force, pages, questions or fixes are kept back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from responder.domain.actor import Actor
from responder.domain.matcher import first_failed, parse_matcher
from responder.pipeline.services import Services
from responder.store import Transaction

#: A longer one is a change of the configuration.
LONGEST = timedelta(days=30)
#: What begins later than this is a slip of the pen.
FARTHEST = timedelta(days=366)
_SWITCHES = ("page", "diagnose", "fix")


class WindowWrong(ValueError):
    """What was asked for is no window; `mistakes` says why, by field."""

    def __init__(self, **mistakes: str) -> None:
        super().__init__("; ".join(mistakes.values()))
        self.mistakes = mistakes


@dataclass(frozen=True)
class Window:
    """What a person asks for; a switch that is False is off while the window is in force.

    starts_at: None is now. Either ends_at or duration. matchers: () is everything.
    """

    reason: str
    matchers: Sequence[str]
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    duration: timedelta | None = None
    page: bool = True
    diagnose: bool = True
    fix: bool = False


def open_window(services: Services, window: Window, actor: Actor) -> UUID:
    """Announce a window. WindowWrong."""
    window_id = services.new_id()
    with services.store.transaction() as tx:
        starts_at, ends_at = _interval(window, tx.now)
        if window.page and window.diagnose and window.fix:
            raise WindowWrong(fix="a window that leaves everything on does nothing")
        told: dict[str, Any] = {
            "matchers": list(window.matchers),
            **{name: getattr(window, name) for name in _SWITCHES},
            "reason": window.reason,
        }
        tx.run(
            "insert_window",
            id=window_id,
            starts_at=starts_at,
            ends_at=ends_at,
            actor=actor.name,
            **told,
        )
        tx.record(
            "maintenance",
            actor,
            f"maintenance {window_id}",
            after="announced",
            starts_at=starts_at.isoformat(),
            ends_at=ends_at.isoformat(),
            **told,
        )
    return window_id


def _interval(window: Window, now: datetime) -> tuple[datetime, datetime]:
    starts_at = window.starts_at or now
    if (window.ends_at is None) == (window.duration is None):
        raise WindowWrong(ends_at="say either ends_at or duration")
    if starts_at > now + FARTHEST:
        raise WindowWrong(starts_at="is more than a year away")
    if window.duration is None:
        assert window.ends_at is not None
        ends_at = window.ends_at
    elif window.duration > LONGEST:
        raise WindowWrong(duration="is longer than 30 days")
    else:
        ends_at = starts_at + window.duration
    if ends_at <= max(starts_at, now):
        raise WindowWrong(ends_at="must be after the start and after now")
    if ends_at - starts_at > LONGEST:
        raise WindowWrong(ends_at="is more than 30 days after the start")
    return starts_at, ends_at


def end_window(services: Services, window_id: UUID, actor: Actor) -> bool:
    """It is over now; False when there is no such window. Twice is no mistake."""
    with services.store.transaction() as tx:
        before = tx.maybe("lock_window", id=window_id)
        if before is None:
            return False
        row = tx.maybe("end_window", id=window_id, actor=actor.name)
        if row is not None:
            planned = before["ends_at"].isoformat()
            subject = f"maintenance {window_id}"
            tx.record("maintenance", actor, subject, after="ended", planned=planned)
            tx.run("hasten_looks", planned=before["ends_at"])
            _release_pages(tx, before["ends_at"])
    return True


def _release_pages(tx: Transaction, planned: datetime) -> None:
    """Pages that waited for that end leave now, or when the next window lets them."""
    for waiting in tx.all("postponed_pages", planned=planned):
        resumes = paging_resumes(tx, waiting["labels"] or {})
        due_at = resumes or tx.now
        tx.run("page_at", id=waiting["id"], due_at=due_at)
        tx.run("shift_climb", id=waiting["incident_id"], planned=planned, due_at=due_at)


def paging_resumes(tx: Transaction, labels: Mapping[str, str]) -> datetime | None:
    """When people may be woken again for what carries these labels; None: now."""
    return _latest_end(tx, "page", labels)


def asking_resumes(tx: Transaction, labels: Mapping[str, str]) -> datetime | None:
    """When targets may be asked again about what carries these labels; None: now."""
    return _latest_end(tx, "diagnose", labels)


def window_allows(tx: Transaction, labels: Mapping[str, str]) -> bool:
    """Whether work that belongs into a maintenance may be done now on what carries these labels.

    A window in force that has a list before, all of it ticked; one without a list is a silence.
    """
    return any(window["prepared"] for window in _in_force_for(tx, labels))


def in_force(window: Mapping[str, Any], now: datetime) -> bool:
    """Whether a window holds at this time: its list before is complete and its time has come."""
    return window["ready_at"] is not None and window["starts_at"] <= now < window["ends_at"]


def _latest_end(tx: Transaction, switch: str, labels: Mapping[str, str]) -> datetime | None:
    return max((window["ends_at"] for window in _holding(tx, switch, labels)), default=None)


def _holding(
    tx: Transaction, switch: str, labels: Mapping[str, str]
) -> Iterator[Mapping[str, Any]]:
    return (window for window in _in_force_for(tx, labels) if not window[switch])


def _in_force_for(tx: Transaction, labels: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    for window in tx.all("windows_in_force"):
        matchers = [parse_matcher(text) for text in window["matchers"]]
        if first_failed(matchers, labels) is None:
            yield window
