"""Maintenance windows: while one is in force, pages, questions or fixes are kept back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from responder.domain.actor import Actor
from responder.domain.maintenance import OVER, Phase, WindowState
from responder.domain.matcher import Matcher, first_failed, parse_matcher
from responder.domain.settings import Item
from responder.pipeline.services import Services, iso
from responder.pipeline.window_states import ASK_BEFORE, settle_window
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

    starts_at: None is now. Either ends_at or duration. matchers: () is everything. before: it is in
    force once these are ticked; after: finished once these are; watch: how long it is watched then.
    """

    reason: str
    matchers: Sequence[str]
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    duration: timedelta | None = None
    page: bool = True
    diagnose: bool = True
    fix: bool = False
    before: Sequence[Item] = ()
    after: Sequence[Item] = ()
    watch: timedelta = timedelta(hours=1)


def open_window(services: Services, window: Window, actor: Actor) -> UUID:
    """Announce a window. WindowWrong."""
    with services.store.transaction() as tx:
        times = _interval(window, tx.now)
        if window.page and window.diagnose and window.fix and not window.before:
            raise WindowWrong(fix="a window that leaves everything on does nothing")
        row = insert_window(services, tx, window, times, actor)
        assert row is not None  # it has no name, so it is nobody's second row
        window_id: UUID = settle_window(services, tx, row)["id"]
    return window_id


def insert_window(
    services: Services,
    tx: Transaction,
    window: Window,
    times: tuple[datetime, datetime],
    actor: Actor,
    name: str | None = None,
    definition: str | None = None,
) -> Mapping[str, Any] | None:
    """Its row and its lists; None when another process has made this occurrence's row before."""
    starts_at, ends_at = times
    told: dict[str, Any] = {
        "matchers": list(window.matchers),
        **{name: getattr(window, name) for name in _SWITCHES},
        "reason": window.reason,
    }
    row = tx.maybe(
        "insert_window",
        id=services.new_id(),
        name=name,
        definition=definition,
        starts_at=starts_at,
        ends_at=ends_at,
        ready_at=None if window.before else tx.now,
        done_at=None if window.after else tx.now,
        watch=window.watch,
        actor=actor.name,
        **told,
    )
    if row is None:
        return None
    ask_at = max(tx.now, starts_at - ASK_BEFORE)
    lists: list[tuple[Phase, Item, datetime | None]] = [
        (Phase.BEFORE, each, ask_at) for each in window.before
    ]
    lists += [(Phase.AFTER, each, None) for each in window.after]
    tx.many(
        "insert_item",
        [
            {
                "window_id": row["id"],
                "position": position,
                "phase": phase,
                "item": each.item,
                "diagnostic": each.check,
                "target": each.target,
                "expect": each.expect,
                "ask_at": at if each.check else None,
            }
            for position, (phase, each, at) in enumerate(lists, 1)
        ],
    )
    tx.record(
        "maintenance",
        actor,
        f"maintenance {row['id']}",
        after="announced",
        name=name,
        starts_at=starts_at.isoformat(),
        ends_at=ends_at.isoformat(),
        items=len(lists),
        **told,
    )
    return row


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


def told_item(row: Mapping[str, Any]) -> dict[str, Any]:
    """One line of a list, as people see it."""
    told = ("position", "phase", "item", "target", "expect", "answer", "ticked_by", "ticked_kind")
    shown = {name: row[name] for name in told}
    return {**shown, "check": row["diagnostic"], "ticked_at": iso(row["ticked_at"])}


def end_window(services: Services, window_id: UUID, actor: Actor) -> bool:
    """Its time is over now; False when there is no such window. Twice is no mistake."""
    with services.store.transaction() as tx:
        before = tx.maybe("lock_window", id=window_id)
        if before is None:
            return False
        over = WindowState(before["state"]) in OVER
        row = None if over else tx.maybe("end_window", id=window_id, actor=actor.name)
        if row is not None:
            planned = before["ends_at"].isoformat()
            subject = f"maintenance {window_id}"
            tx.record("maintenance", actor, subject, after="ended", planned=planned)
            settle_window(services, tx, row)
            tx.run("hasten_looks", planned=before["ends_at"])
            tx.run("hasten_held", planned=before["ends_at"])
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


def fixing_resumes(tx: Transaction, labels: Mapping[str, str]) -> datetime | None:
    """When what carries these labels may be fixed automatically again; None: now."""
    return _latest_end(tx, "fix", labels)


#: Why an option that is only for windows is not run now.
NO_WINDOW = "it runs only inside a maintenance window that allows such work, and none is in force"


def window_allows(tx: Transaction, labels: Mapping[str, str]) -> bool:
    """Whether work that belongs into a maintenance may be done now on what carries these labels.

    A window in force that has a list before, all of it ticked; one without a list is a silence.
    """
    return any(window["prepared"] for window in _in_force_for(tx, labels))


def maintenance_around(
    tx: Transaction, at: datetime, labels: Mapping[str, str]
) -> Mapping[str, Any] | None:
    """The window that was in force then, or had ended a short while before; the latest of them."""
    for window in tx.all("windows_around", at=at):
        if first_failed(_matchers(window), labels) is None:
            return window
    return None


def in_force(window: Mapping[str, Any], now: datetime) -> bool:
    """Whether a window holds at this time: its list before is complete and its time has come."""
    return window["ready_at"] is not None and window["starts_at"] <= now < window["ends_at"]


def _latest_end(tx: Transaction, switch: str, labels: Mapping[str, str]) -> datetime | None:
    return max((window["ends_at"] for window in _holding(tx, switch, labels)), default=None)


@dataclass(frozen=True)
class Silence:
    """A window in force with everything off: what fires meanwhile is kept back until its end."""

    id: UUID
    ends_at: datetime
    matchers: Sequence[Matcher]


def silences(tx: Transaction) -> list[Silence]:
    """Those in force now, the one that ends last first."""
    found = [
        Silence(window["id"], window["ends_at"], _matchers(window))
        for window in tx.all("windows_in_force")
        if not any(window[switch] for switch in _SWITCHES)
    ]
    return sorted(found, key=lambda each: each.ends_at, reverse=True)


def silencing(found: Sequence[Silence], labels: Mapping[str, str]) -> Silence | None:
    """The one that keeps these labels back the longest."""
    return next((each for each in found if first_failed(each.matchers, labels) is None), None)


def _holding(
    tx: Transaction, switch: str, labels: Mapping[str, str]
) -> Iterator[Mapping[str, Any]]:
    return (window for window in _in_force_for(tx, labels) if not window[switch])


def _in_force_for(tx: Transaction, labels: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    for window in tx.all("windows_in_force"):
        if first_failed(_matchers(window), labels) is None:
            yield window


def _matchers(window: Mapping[str, Any]) -> list[Matcher]:
    return [parse_matcher(text) for text in window["matchers"]]
