"""Due messages leave: under a lease, within each receiver's rate, with a fallback for pages."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from responder.domain.actor import RESPONDER
from responder.domain.incident import dedup_key
from responder.domain.notification import Happening, Message
from responder.log import about
from responder.outbound import Undelivered
from responder.pipeline.document import document
from responder.pipeline.maintenance import paging_resumes
from responder.pipeline.services import Services, iso, record
from responder.pipeline.storm import summarise
from responder.pipeline.whom import is_from_pagerduty
from responder.store import StoreAway, Transaction
from responder.store.incidents import incident_from_row

#: An attempt to page may last so long; its lease ends soon after, and another process goes on.
PAGE_TIMEOUT = 0.9
PAGE_LEASE = timedelta(seconds=1)
OTHER_TIMEOUT = 15.0
OTHER_LEASE = timedelta(seconds=30)
#: A message that is no page is given up after so many attempts, in six hours; a page never is.
ATTEMPTS = 40
_LONGEST_WAIT = 600.0
#: The same, if the receiver itself asks for more.
_LONGEST_ASKED_FOR = 3600.0
#: Whatever a receiver asks for, a page is tried again so soon.
LONGEST_PAGE_WAIT = 30.0
#: So many failures in a row open a receiver's circuit: it is left alone, then tried with one
#: message; its pages go to the fallback at once.
CIRCUIT_FAILURES = 5
CIRCUIT_OPEN = timedelta(seconds=30)
#: A process that did not reach a receiver leaves second attempts there to others for so long: it
#: may be this host's own way out that is broken.
_OTHERS_FIRST = timedelta(seconds=0.4)
_AT_ONCE = 8


def deliver_all(services: Services, page: bool) -> None:
    """Send what is due until nothing is. StoreAway."""
    while deliver(services, page) == _AT_ONCE:
        pass


def deliver(services: Services, page: bool) -> int:
    """Send what is due, a few at once; returns how many messages were tried.

    Pages wait while our database answers again only since a moment: whoever paged without it speaks
    first. StoreAway when it took longer than the lease to say what is due; then nothing is claimed.
    """
    lease = PAGE_LEASE if page else OTHER_LEASE
    until = time.monotonic() + lease.total_seconds()
    with services.store.transaction() as tx:
        if page and services.keep.hushed(services.store.late_at):
            return 0
        if page:
            _hold_back(tx)
        summarise(services, tx, page)
        if page:
            _divert(services, tx)
        claimed = tx.all(
            "claim_notifications",
            page=page,
            lease=lease,
            limit=_AT_ONCE,
            per_minute=_per_minute(services),
            circuit_failures=CIRCUIT_FAILURES,
            unreached=tuple(services.keep.unreached) if page else (),
            others_first=_OTHERS_FIRST,
        )
        if time.monotonic() > until:
            services.store.late_at = time.monotonic()
            raise StoreAway("our database took longer than a lease")
    if len(claimed) == 1:
        _send(services, claimed[0], until)
    elif claimed:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="send") as pool:
            list(pool.map(lambda row: _send(services, row, until), claimed))
    return len(claimed)


def _per_minute(services: Services) -> dict[str, int]:
    return {name: each.per_minute for name, each in services.settings.receivers.items()}


def _hold_back(tx: Transaction) -> None:
    """Pages that waited for the end of a window wait on, where another one has begun meanwhile."""
    for row in tx.all("pages_in_a_window"):
        resumes = paging_resumes(tx, row["labels"])
        if resumes is None:
            continue
        tx.run("page_at", id=row["id"], due_at=resumes)
        tx.run("shift_climb", id=row["incident_id"], planned=row["due_at"], due_at=resumes)
        incident = incident_from_row(tx.one("incident", id=row["incident_id"]))
        why = "another maintenance window keeps pages off"
        record(tx, incident, "page", after="due", why=why, window_until=iso(resumes))


def _divert(services: Services, tx: Transaction) -> None:
    """Pages to a receiver whose circuit is open go to its fallback at once, and wait there."""
    for row in tx.all("pages_behind_open_circuits"):
        if _fall_back(services, tx, row, "its circuit is open"):
            tx.run("page_at", id=row["id"], due_at=row["open_until"])


def _send(services: Services, row: Mapping[str, Any], until: float) -> None:
    """One attempt; its outcome and its audit event are one transaction.

    until: when the lease ends. If our database took that long, somebody else has it in hand, or
    it left without our database.
    """
    with about(incident=row["incident_id"], notification=row["id"]):
        with services.store.transaction() as tx:
            known = document(services, tx, row["incident_id"]) if row["incident_id"] else None
            now = tx.now
        if time.monotonic() > until:
            return
        told = known or row["document"]
        try:
            _hand_over(services, row, told, now)
        except Undelivered as error:
            said = services.settings.redact.text(str(error))[:500]
            if row["page"] and not error.permanent:
                services.keep.unreached.add(row["receiver"])
            services.log.warning(
                "not delivered", receiver=row["receiver"], page=row["page"], why=said
            )
            _failed(services, row, error, said)
        else:
            services.keep.unreached.discard(row["receiver"])
            _sent(services, row, told)


def _hand_over(services: Services, row: Mapping[str, Any], told: Any, now: Any) -> None:
    receiver = services.receivers.get(row["receiver"])
    if receiver is None:
        raise Undelivered("no receiver of this name is configured", permanent=True)
    message = Message(
        str(row["id"]),
        Happening(row["happening"]),
        dedup_key(row["key"], row["round"]),
        told,
        repeated=row["repeated"],
    )
    receiver.deliver(message, now, PAGE_TIMEOUT if row["page"] else OTHER_TIMEOUT)


def _sent(services: Services, row: Mapping[str, Any], told: Any) -> None:
    with services.store.transaction() as tx:
        changed = tx.run("notification_sent", id=row["id"], attempts=row["attempts"], document=told)
        if changed:
            _event(tx, row, "sent")
    _count(
        services,
        "receiver_sent",
        name=row["receiver"],
        circuit_failures=CIRCUIT_FAILURES,
        soon=CIRCUIT_OPEN,
    )


def _failed(services: Services, row: Mapping[str, Any], error: Undelivered, said: str) -> None:
    """Tried again later, or given up; a page goes to the fallback at its first failure."""
    fell_back = False
    with services.store.transaction() as tx:
        dead = error.permanent or (not row["page"] and row["attempts"] >= ATTEMPTS)
        changed = tx.run(
            "notification_failed",
            id=row["id"],
            attempts=row["attempts"],
            dead=dead,
            maybe=error.maybe,
            due_at=tx.now + timedelta(seconds=pause(error, row["attempts"], row["page"])),
            error=said,
        )
        if changed and (dead or row["attempts"] == 1):
            _event(tx, row, "dead" if dead else "due", error=said)
        if changed and row["page"] and row["happening"] == Happening.OPENED:
            fell_back = _fall_back(services, tx, row, said, dead)
    if not error.permanent:
        _count(
            services,
            "receiver_failed",
            name=row["receiver"],
            error=said,
            circuit_failures=CIRCUIT_FAILURES,
            circuit_open=CIRCUIT_OPEN,
        )
    if fell_back:
        deliver(services, page=True)


def _fall_back(
    services: Services, tx: Transaction, row: Mapping[str, Any], why: str, dead: bool = False
) -> bool:
    """Wake the receiver's fallback too, once a page; without one the last resort, if it is dead."""
    configured = services.settings.receivers.get(row["receiver"])
    fallback = configured.fallback if configured else ""
    names = [fallback] if fallback else list(services.settings.last_resort or ()) if dead else []
    written = 0
    from_pagerduty = is_from_pagerduty(services, _source(tx, row))
    for name in names:
        other = services.settings.receivers.get(name)
        if name == row["receiver"] or (from_pagerduty and other and other.type == "pagerduty"):
            continue
        fell = tx.run("insert_fallback", id=services.new_id(), page_id=row["id"], receiver=name)
        if fell:
            written += 1
            _event(tx, row, "fallback", to=name, error=why)
    return written > 0


def _source(tx: Transaction, row: Mapping[str, Any]) -> str:
    """Who told us of what a page is about."""
    if row["incident_id"] is not None:
        return incident_from_row(tx.one("incident", id=row["incident_id"])).source
    alerts = row["document"].get("alerts") or [{}]
    return str(alerts[0].get("source"))


def _count(services: Services, query: str, **told: Any) -> None:
    """How a receiver fares; apart from the outcome, which must wait for nobody's lock."""
    try:
        with services.store.transaction() as tx:
            tx.run(query, **told)
    except StoreAway:
        return


def pause(error: Undelivered, attempts: int, page: bool) -> float:
    """Seconds until the next attempt: as the receiver asks, else longer each time; both capped.

    A page is tried again at once and then each half minute.
    """
    if page:
        backoff = 0.5 * 2.0 ** min(attempts - 1, 6)
        return min(error.retry_after or backoff, LONGEST_PAGE_WAIT)
    if error.retry_after:
        return min(error.retry_after, _LONGEST_ASKED_FOR)
    return min(5.0 * 3.0 ** (attempts - 1), _LONGEST_WAIT)


def _event(tx: Transaction, row: Mapping[str, Any], after: str, **details: Any) -> None:
    told = {name: row[name] for name in ("receiver", "happening", "page", "attempts")} | details
    if row["incident_id"] is None:  # a bare page before triage adopted it, or a summary
        subject = f"notification {row['id']}"
        tx.record("notification", RESPONDER, subject, before="due", after=after, **told)
        return
    incident = incident_from_row(tx.one("incident", id=row["incident_id"]))
    record(tx, incident, "notification", before="due", after=after, **told)
