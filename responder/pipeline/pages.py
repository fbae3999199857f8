"""The watch of each web and worker process, every quarter of a second.

It triages P0/P1 deliveries that no worker has taken; beside it, so that no page waits for that,
due pages are sent under a lease and timers are fired. Workers deliver the other messages too.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from responder.domain.alert import notice_from_json
from responder.pipeline.accept import most_severe
from responder.pipeline.bare import page_barely
from responder.pipeline.dead_man import ping
from responder.pipeline.deliver import deliver_all
from responder.pipeline.document import bare_document
from responder.pipeline.held import take_up_held
from responder.pipeline.keep import Page
from responder.pipeline.notify import bare_page
from responder.pipeline.recurring import Planner
from responder.pipeline.secrets import note_secrets
from responder.pipeline.services import Services
from responder.pipeline.timers import fire_timers
from responder.pipeline.triage import PORTION, triage
from responder.pipeline.window_states import move_windows
from responder.store import StoreAway

EVERY = 0.25
PING_EVERY = 5.0
NOTE_EVERY = 60.0
#: A delivery that is so much overdue is in the hands of somebody who is stuck.
STUCK_AFTER = timedelta(seconds=0.75)

Tick = Callable[[Services], object]


class Watch:
    """Runs each of `ticks` every so often until it is stopped; one's mistake stops no other.

    every: seconds; None: only when it is woken. woken: set by who wants it sooner.
    """

    def __init__(
        self,
        services: Services,
        *ticks: Tick,
        every: float | None = EVERY,
        woken: threading.Event | None = None,
    ) -> None:
        self._services = services
        self._every = every
        self._ticks = ticks
        self._stop = threading.Event()
        self._woken = woken or threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the tick under way has ended."""
        self._stop.set()
        self._woken.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            self._woken.wait(self._every)
            self._woken.clear()
            if self._stop.is_set():
                break
            for tick in self._ticks:
                try:
                    tick(self._services)
                except StoreAway:
                    continue  # our database is away or slow; the rows wait there
                except Exception:  # the outermost loop: a page waits for nobody's mistake
                    self._services.log.exception("the watch stumbled and goes on")


def watches(services: Services, messages: bool = False) -> list[Watch]:
    """What runs in every web and worker process: pages, and beside them timers and windows.

    One cheap look for all of them is first: nearly always there is nothing to do. messages: those
    that wake nobody, too.
    """
    late = partial(triage_due, hand=services.new_id())
    doing: dict[str, tuple[Tick, ...]] = {
        "deliveries": (late, page_stuck),
        "pages": (deliver_due_pages,),
        "timers": (fire_timers,),
        "windows": (move_windows, take_up_held),
    }
    if messages:
        doing["messages"] = (deliver_messages,)
    woken = {what: threading.Event() for what in doing}
    for what in woken.keys() & {"pages", "messages"}:
        woken[what] = services.mail.sender()
    return [
        *(Watch(services, *doing[what], every=None, woken=woken[what]) for what in doing),
        Watch(services, partial(look, woken=woken)),
        Watch(services, Planner()),
        Watch(services, ping, every=PING_EVERY),
        Watch(services, note_secrets, every=NOTE_EVERY),
    ]


def web_watches(services: Services) -> list[Watch]:
    """Those, and what a process that accepts holds in memory."""
    return [*watches(services), Watch(services, page_barely), Watch(services, page_late)]


def look(services: Services, woken: Mapping[str, threading.Event]) -> None:
    """Wake who has something to do.

    A hush begins when our database is back, whether there are pages by then or not.
    """
    services.keep.hushed(services.store.late_at)
    for row in services.store.look("due"):
        if row["what"] in woken:
            woken[row["what"]].set()


def deliver_due_pages(services: Services) -> None:
    """Whoever writes any messages wakes this, and most of those wake nobody."""
    if any(row["what"] == "pages" for row in services.store.look("due")):
        deliver_pages(services)


def deliver_pages(services: Services) -> None:
    """What wakes people."""
    deliver_all(services, page=True)


def deliver_messages(services: Services) -> None:
    """What wakes nobody; workers do this."""
    deliver_all(services, page=False)


def triage_due(services: Services, hand: UUID | None = None) -> None:
    """Triage the P0/P1 deliveries that no worker has taken in time.

    It waits for a lock once, then leaves the rest to `page_stuck`. hand: of this process, so that
    the others know what it died with.
    """
    hand = hand or services.new_id()
    with services.store.transaction() as tx:
        due = [row["id"] for row in tx.all("due_deliveries", hand=hand)]
    for delivery_id in due:
        try:
            _triage_in_hand(services, delivery_id, hand)
        except StoreAway:
            return
        except Exception:  # whatever is wrong with it, the next ones are triaged
            services.log.exception("triage failed", delivery=str(delivery_id))


def _triage_in_hand(services: Services, delivery_id: UUID, hand: UUID) -> None:
    try:
        triage(services, delivery_id, hurry=True, hand=hand)
    finally:  # it may have failed
        with services.store.transaction() as tx:
            tx.run("put_down", drain=hand)


def page_stuck(services: Services) -> None:
    """A bare page for P0/P1 deliveries whose triage fails, or is in the hands of somebody stuck.

    After a silence of our database nobody is: what stood still goes on.
    """
    with services.store.transaction() as tx:
        stuck = tx.all("stuck_deliveries", stuck_after=STUCK_AFTER)
    if stuck and not services.keep.hushed(services.store.late_at):
        for row in stuck:
            _page_barely(services, row)


def page_late(services: Services) -> None:
    """A bare page for what this process took in and whose turn has not come.

    `page_stuck` sees the oldest deliveries alone; in a storm another fault's is far behind them.
    """
    late = services.keep.late(STUCK_AFTER.total_seconds())
    if not late or services.keep.hushed(services.store.late_at):
        return
    pairs = [(hold.delivery, page.identity.key) for hold in late for page in hold.pages]
    with services.store.transaction() as tx:
        rows = tx.all(
            "owed_pages",
            deliveries=tuple(delivery for delivery, _ in pairs),
            keys=tuple(key for _, key in pairs),
        )
    owing = {row["delivery_id"] for row in rows}
    _write_barely(
        services, [page for hold in late if hold.delivery in owing for page in hold.pages]
    )
    for hold in late:
        hold.written = True


def _page_barely(services: Services, row: Mapping[str, Any]) -> None:
    at = row["received_at"]
    _, pages = most_severe(services, [notice_from_json(plain) for plain in row["notices"]], at)
    _write_barely(services, pages)


def _write_barely(services: Services, told: Iterable[Page]) -> None:
    """One page for each key, in portions, and in the order of their locks."""
    by_key = {page.identity.key: page for page in told}
    pages = [by_key[key] for key in sorted(by_key)]
    for first in range(0, len(pages), PORTION):
        with services.store.transaction() as tx:
            for page in pages[first : first + PORTION]:
                document = bare_document(services, page.alert, page.identity, page.at.isoformat())
                bare_page(services, tx, page.alert, page.identity, document)
