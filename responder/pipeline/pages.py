"""The watch of each web and worker process, every quarter of a second.

It triages P0/P1 deliveries that no worker has taken and sends due pages under a lease; beside it,
so that no page waits for them, timers are fired. Workers deliver the other messages too.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from responder.domain.actor import RESPONDER
from responder.domain.alert import Alert, AlertStatus, notice_from_json
from responder.domain.incident import dedup_key
from responder.domain.notification import Happening, Message
from responder.pipeline.document import bare_document, document
from responder.pipeline.notify import bare_page
from responder.pipeline.services import Services, record
from responder.pipeline.timers import fire_timers
from responder.pipeline.triage import triage
from responder.receivers import Undelivered
from responder.store import StoreAway, Transaction
from responder.store.incidents import incident_from_row

EVERY = 0.25
#: An attempt to page may last so long; its lease ends soon after, and another process goes on.
PAGE_TIMEOUT = 0.9
PAGE_LEASE = timedelta(seconds=1)
#: A delivery that is so much overdue is in the hands of somebody who is stuck.
STUCK_AFTER = timedelta(seconds=0.75)
OTHER_TIMEOUT = 15.0
OTHER_LEASE = timedelta(seconds=30)
#: A message that is no page is given up after so many attempts; a page is tried for ever.
ATTEMPTS = 12
_LONGEST_WAIT = 3600.0
#: Whatever a receiver asks for, a page is tried again so soon.
LONGEST_PAGE_WAIT = 30.0
_AT_ONCE = 8


class Watch:
    """Runs each of `ticks` every so often until it is stopped; one's mistake stops no other."""

    def __init__(
        self, services: Services, *ticks: Callable[[Services], object], every: float = EVERY
    ) -> None:
        self._services = services
        self._every = every
        self._ticks = ticks
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the tick under way has ended."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            for tick in self._ticks:
                try:
                    tick(self._services)
                except StoreAway:
                    continue  # our database is away or slow; the rows wait there
                except Exception:  # the outermost loop: a page waits for nobody's mistake
                    self._services.log.exception("the watch stumbled and goes on")


def watches(services: Services) -> list[Watch]:
    """What runs in every web and worker process: pages, and beside them timers."""
    return [
        Watch(services, triage_due, page_stuck, deliver_pages),
        Watch(services, fire_timers),
    ]


def deliver_pages(services: Services) -> None:
    """What wakes people."""
    deliver(services, page=True)


def deliver_messages(services: Services) -> None:
    """What wakes nobody; workers do this."""
    deliver(services, page=False)


def triage_due(services: Services) -> None:
    """Triage the P0/P1 deliveries that no worker has taken in time.

    It waits for a lock once, then leaves the rest to `page_stuck`.
    """
    with services.store.transaction() as tx:
        due = [row["id"] for row in tx.all("due_deliveries")]
    for delivery_id in due:
        try:
            triage(services, delivery_id, hurry=True)
        except StoreAway:
            return
        except Exception:  # whatever is wrong with it, the next ones are triaged
            services.log.exception("triage failed", delivery=str(delivery_id))


def page_stuck(services: Services) -> None:
    """A bare page for P0/P1 deliveries whose triage fails, or is in the hands of somebody stuck."""
    with services.store.transaction() as tx:
        stuck = tx.all("stuck_deliveries", stuck_after=STUCK_AFTER)
    for row in stuck:
        _page_barely(services, row)


def _page_barely(services: Services, row: Mapping[str, Any]) -> None:
    """One page for each P0/P1 key in the delivery."""
    with services.store.transaction() as tx:
        for plain in row["notices"]:
            alert = notice_from_json(plain)
            if isinstance(alert, Alert) and alert.status == AlertStatus.FIRING:
                identity = services.catalogue.identify(alert)
                if identity.severity.pages or alert.severity_unreadable:
                    told = bare_document(services, alert, identity, row["received_at"].isoformat())
                    bare_page(services, tx, identity.key, told, alert.labels, identity.severity)


def deliver(services: Services, page: bool) -> int:
    """Send what is due; returns how many messages were tried."""
    with services.store.transaction() as tx:
        lease = PAGE_LEASE if page else OTHER_LEASE
        claimed = tx.all("claim_notifications", page=page, lease=lease, limit=_AT_ONCE)
    if len(claimed) == 1:
        _send(services, claimed[0])
    elif claimed:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="send") as pool:
            list(pool.map(lambda row: _send(services, row), claimed))
    return len(claimed)


def _send(services: Services, row: Mapping[str, Any]) -> None:
    """One attempt; its outcome and its audit event are one transaction."""
    with services.store.transaction() as tx:
        known = document(services, tx, row["incident_id"]) if row["incident_id"] else None
        now = tx.now
    told = known or row["document"]
    message = Message(str(row["id"]), Happening(row["happening"]), dedup_key(row["key"]), told)
    receiver = services.receivers.get(row["receiver"])
    try:
        if receiver is None:
            raise Undelivered("no receiver of this name is configured", permanent=True)
        receiver.deliver(message, now, PAGE_TIMEOUT if row["page"] else OTHER_TIMEOUT)
    except Undelivered as error:
        _failed(services, row, error)
        return
    with services.store.transaction() as tx:
        changed = tx.run("notification_sent", id=row["id"], attempts=row["attempts"], document=told)
        if changed:
            _event(tx, row, "sent")


def _failed(services: Services, row: Mapping[str, Any], error: Undelivered) -> None:
    with services.store.transaction() as tx:
        dead = error.permanent or (not row["page"] and row["attempts"] >= ATTEMPTS)
        wait = error.retry_after or _backoff(row["attempts"], row["page"])
        longest = LONGEST_PAGE_WAIT if row["page"] else _LONGEST_WAIT
        changed = tx.run(
            "notification_failed",
            id=row["id"],
            attempts=row["attempts"],
            dead=dead,
            due_at=tx.now + timedelta(seconds=min(wait, longest)),
            error=str(error)[:500],
        )
        if changed and (dead or row["attempts"] == 1):
            _event(tx, row, "dead" if dead else "due", error=str(error)[:500])


def _backoff(attempts: int, page: bool) -> float:
    """A page is tried again at once and then each half minute; the rest waits longer each time."""
    return 0.5 * 2.0 ** min(attempts - 1, 6) if page else 5.0 * 3.0 ** (attempts - 1)


def _event(tx: Transaction, row: Mapping[str, Any], after: str, **details: Any) -> None:
    told = {name: row[name] for name in ("receiver", "happening", "page", "attempts")} | details
    if row["incident_id"] is None:  # a bare page, before triage adopted it
        subject = f"notification {row['id']}"
        tx.record("notification", RESPONDER, subject, before="due", after=after, **told)
        return
    incident = incident_from_row(tx.one("incident", id=row["incident_id"]))
    record(tx, incident, "notification", before="due", after=after, **told)
