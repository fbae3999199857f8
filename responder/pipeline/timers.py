"""Timers are rows: what is due wakes its incident."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from responder.domain.actor import TIMER
from responder.domain.incident import Incident, IncidentStatus, ResolvedBy, Stage
from responder.log import about
from responder.pipeline.escalate import climb, lapse
from responder.pipeline.notify import page
from responder.pipeline.services import Services, record
from responder.pipeline.walking import enqueue_walk, nudge, reopen, resolve
from responder.pipeline.watch import STILL_THERE, quiet_limit
from responder.store import Transaction
from responder.store.incidents import incident_from_row, lock_incident

#: How soon a timer comes again whose effect failed, or whose process died.
LEASE = timedelta(seconds=15)


def fire_timers(services: Services) -> None:
    """Wake what is due; a timer is gone when its effect is committed, else it comes again.

    Each is leased first, so that one whose effect fails does not hold up the others.
    """
    while (timer := _lease(services)) is not None:
        with about(incident=timer["incident_id"]), services.store.transaction() as tx:
            services.log.info("a timer is due", what=timer["what"])
            incident = lock_incident(tx, timer["incident_id"])
            if tx.run("take_timer", **timer):  # else it was dropped or set anew meanwhile
                _EFFECTS[timer["what"]](services, tx, incident)
        services.mail.written()


def _lease(services: Services) -> Mapping[str, Any] | None:
    with services.store.transaction() as tx:
        return tx.maybe("lease_timer", lease=LEASE)


def _go_on(services: Services, tx: Transaction, incident: Incident) -> None:
    """verify, settle: the walk goes on at the stage where it rests."""
    row = tx.maybe("wake_walk", id=incident.id)
    if row is not None:
        enqueue_walk(tx, incident_from_row(row))


def _look_again(services: Services, tx: Transaction, incident: Incident) -> None:
    """The wait is over; at the stage watch it was for the end of a maintenance window."""
    if incident.stage == Stage.WATCH:
        nudge(tx, incident)
    else:
        _go_on(services, tx, incident)


def _quiet(services: Services, tx: Transaction, incident: Incident) -> None:
    """No notice for long enough: over, where the sender never says so; else looked at later."""
    limit = quiet_limit(services, incident)
    if incident.stage != Stage.WATCH:
        return
    seen = tx.one("incident", id=incident.id)["seen_at"]
    if limit is not None and seen + limit <= tx.now:
        details = {"quiet_since": seen.isoformat()}
        resolve(services, tx, incident, ResolvedBy.QUIET, TIMER, details)
        return
    due = seen + limit if limit is not None else tx.now + STILL_THERE
    tx.run("set_timer", id=incident.id, what="quiet", due_at=due)


def _reopen(services: Services, tx: Transaction, incident: Incident) -> None:
    """A person closed it, and it is still firing after the time that this was respected."""
    if incident.status != IncidentStatus.RESOLVED:
        return
    if tx.one("firing_conditions", id=incident.id)["firing"]:
        reopened = reopen(services, tx, incident, TIMER, "it is still firing")
        if reopened.status == IncidentStatus.RESOLVED:
            return  # a newer incident of the key is open
        if reopened.severity.pages:
            page(services, tx, reopened, tx.now, "it is still firing")
        nudge(tx, reopened)
    else:
        record(tx, incident, "suppressed", TIMER, after="over")


_EFFECTS: Mapping[str, Callable[[Services, Transaction, Incident], None]] = {
    "verify": _go_on,
    "look_again": _look_again,
    "settle": _go_on,
    "escalate": climb,
    "acknowledged": lapse,
    "unattended": climb,  # as the release before this one calls it
    "quiet": _quiet,
    "reopen": _reopen,
}
