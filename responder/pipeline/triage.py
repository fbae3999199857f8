"""A delivery's alerts become incidents: merged, joined, opened, cleared, each with one outcome."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from responder.domain.actor import Actor, ActorKind
from responder.domain.alert import (
    Alert,
    AlertOutcome,
    AlertStatus,
    Echo,
    Malformed,
    notice_from_json,
)
from responder.domain.condition import Condition, merge
from responder.domain.incident import Incident, IncidentStatus, ResolvedBy
from responder.domain.notification import Happening
from responder.log import about
from responder.pipeline.accept import PAGE_PATIENCE
from responder.pipeline.maintenance import Silence, silences, silencing
from responder.pipeline.notify import bare_resolve, drop_bare_pages, page, tell
from responder.pipeline.people import hear
from responder.pipeline.services import Services, record
from responder.pipeline.walking import enqueue_walk, nudge, reopen, resolve
from responder.runbook.catalogue import Identity
from responder.store import Transaction
from responder.store.incidents import incident_from_row, lock_incident

#: A page that is so late was not late by our doing; `_page_due_at` says what is done then.
LATE = timedelta(seconds=3)
LATE_PATIENCE = timedelta(seconds=2.5)
#: So many alerts are triaged in one transaction, which must end long before it is cut.
PORTION = 100


@dataclass
class Batch:
    """One delivery in hand: its conditions as they become, and what became of each alert.

    silences: windows in force that keep everything back; held: what they keep back from now on, or
    no longer.
    """

    services: Services
    tx: Transaction
    source: str
    received: datetime
    page_due_at: datetime
    actor: Actor
    conditions: dict[str, Condition] = field(default_factory=dict)
    incidents: dict[str, UUID | None] = field(default_factory=dict)  # by fingerprint
    outcomes: list[tuple[AlertOutcome, UUID | None, str]] = field(default_factory=list)
    cleared: set[UUID] = field(default_factory=set)
    silences: Sequence[Silence] = ()
    held: dict[str, Silence | None] = field(default_factory=dict)  # by fingerprint


def triage(services: Services, delivery_id: UUID, hurry: bool = False) -> bool:
    """Give every alert of a delivery its outcome; False when somebody else has it in hand.

    hurry: the first portion alone, without waiting long for locks, since pages depend on it; then
    StoreAway.
    """
    while more := _triage_portion(services, delivery_id, hurry):
        if hurry:
            break
    return more is not None


def _triage_portion(services: Services, delivery_id: UUID, hurry: bool) -> bool | None:
    """Whether there are more alerts in the delivery; None when somebody else has it in hand."""
    with about(delivery=delivery_id), services.store.transaction() as tx:
        if hurry:
            tx.run("hurry")
        row = tx.maybe("lock_delivery", id=delivery_id)
        if row is None:
            return None
        notices, more = _untold(tx, row)
        batch = _batch(services, tx, row, _page_due_at(tx, row))
        batch.silences = silences(tx)
        identities = [
            services.catalogue.identify(notice) if isinstance(notice, Alert) else None
            for notice in notices
        ]
        _lock(batch, notices, identities)
        for index in _in_key_order(identities):
            batch.outcomes[index] = _take(batch, notices[index], identities[index])
        _save(batch, delivery_id, notices)
        _clear(batch)
        if not more:
            _hear(batch, row)
            tx.run("finish_delivery", id=delivery_id, received_at=row["received_at"])
    _log_outcomes(batch, delivery_id)
    return more


def _batch(
    services: Services, tx: Transaction, row: Mapping[str, Any], page_due_at: datetime
) -> Batch:
    sender = Actor(ActorKind.SENDER, row["source"])
    return Batch(services, tx, row["source"], row["received_at"], page_due_at, sender)


def _untold(tx: Transaction, row: Mapping[str, Any]) -> tuple[list[Alert | Malformed], bool]:
    """The next portion of the alerts that have no outcome yet, and whether there are more.

    They get theirs in the order in which they came.
    """
    told = [plain for plain in row["notices"] if "echo" not in plain]
    done = tx.one("told_alerts", id=row["id"])["alerts"] if len(told) > PORTION else 0
    portion = [notice_from_json(plain) for plain in told[done : done + PORTION]]
    notices = [notice for notice in portion if not isinstance(notice, Echo)]
    return notices, len(told) > done + PORTION


def _hear(batch: Batch, row: Mapping[str, Any]) -> None:
    for plain in row["notices"]:
        if "echo" in plain:
            echo = notice_from_json(plain)
            assert isinstance(echo, Echo)
            hear(batch.services, batch.tx, batch.source, echo)


def _page_due_at(tx: Transaction, row: Mapping[str, Any]) -> datetime:
    """When the delivery's pages are due. One that is late because our database was away waits a
    moment longer: whoever accepted it has paged barely, and is about to say so.
    """
    due_at: datetime = row["page_due_at"] or row["received_at"] + PAGE_PATIENCE
    return tx.now + LATE_PATIENCE if due_at < tx.now - LATE else due_at


def give_up_triage(services: Services, delivery_id: UUID, why: str) -> None:
    """Triage failed three times on this delivery: its alerts are quarantined, nothing is lost."""
    while more := _give_up_portion(services, delivery_id, why):
        pass
    if more is not None:
        services.log.error("triage was given up", delivery=str(delivery_id), why=why)


def _give_up_portion(services: Services, delivery_id: UUID, why: str) -> bool | None:
    """Whether there are more alerts in the delivery; None when somebody else has it in hand."""
    with about(delivery=delivery_id), services.store.transaction() as tx:
        row = tx.maybe("lock_delivery", id=delivery_id)
        if row is None:
            return None
        notices, more = _untold(tx, row)
        batch = _batch(services, tx, row, tx.now)
        batch.outcomes = [(AlertOutcome.QUARANTINED, None, why)] * len(notices)
        _save(batch, delivery_id, notices)
        if not more:
            key = {"id": delivery_id, "received_at": row["received_at"]}
            tx.run("quarantine_delivery", **key, note=why)
            tx.run("finish_delivery", **key)
            subject = f"delivery {delivery_id}"
            tx.record("delivery", batch.actor, subject, after="quarantined", why=why)
        return more


def _log_outcomes(batch: Batch, delivery_id: UUID) -> None:
    """Which delivery opened which incidents, and what became of its other alerts."""
    with about(delivery=delivery_id):
        counts = Counter(outcome.value for outcome, _, _ in batch.outcomes)
        batch.services.log.info("triaged", source=batch.source, **counts)
        for outcome, incident_id, _ in batch.outcomes:
            if outcome == AlertOutcome.OPENED:
                batch.services.log.info("incident opened", incident=str(incident_id))


def _in_key_order(identities: Sequence[Identity | None]) -> list[int]:
    """Incidents are locked in the order of their keys by everybody, so that nobody deadlocks."""
    return sorted(
        range(len(identities)), key=lambda index: getattr(identities[index], "key", "") or ""
    )


def _lock(
    batch: Batch, notices: Sequence[Alert | Malformed], identities: Sequence[Identity | None]
) -> None:
    targets = {
        identity.target
        for notice, identity in zip(notices, identities, strict=True)
        if identity
        and identity.target
        and identity.severity.pages
        and isinstance(notice, Alert)
        and notice.status == AlertStatus.FIRING
    }
    for target in sorted(targets):
        batch.tx.run("lock_target", target=target)
    prints = {notice.fingerprint for notice in notices if isinstance(notice, Alert)}
    known = {"source": batch.source, "fingerprints": tuple(sorted(prints))}
    batch.tx.run("make_conditions", **known)
    for row in batch.tx.all("lock_conditions", **known):
        batch.conditions[row["fingerprint"]] = _condition(row)
        batch.incidents[row["fingerprint"]] = row["incident_id"]
        if row["held_until"] is not None:
            batch.held[row["fingerprint"]] = Silence(row["held_by"], row["held_until"], ())
    batch.outcomes = [(AlertOutcome.QUARANTINED, None, "")] * len(notices)


def _condition(row: Mapping[str, Any]) -> Condition:
    known = {name: row[name] for name in ("fired_at", "fired_seen", "ended_at", "ended_seen")}
    if not row["latest"]:
        return Condition()
    return Condition(**known, latest=(row["last_seen"], row["latest"]["notice"]))


def _take(
    batch: Batch, notice: Alert | Malformed, identity: Identity | None
) -> tuple[AlertOutcome, UUID | None, str]:
    if isinstance(notice, Malformed) or identity is None:
        return AlertOutcome.QUARANTINED, None, getattr(notice, "reason", "")
    before = batch.conditions[notice.fingerprint]
    after = merge(before, notice, batch.received)
    batch.conditions[notice.fingerprint] = after
    incident_id = batch.incidents[notice.fingerprint]
    if not after.firing:
        batch.held.pop(notice.fingerprint, None)
    if notice.status == AlertStatus.RESOLVED:
        if not before.firing or after.firing:
            if incident_id is None and identity.severity.pages:
                bare_resolve(batch.services, batch.tx, identity.key)
            return AlertOutcome.STALE, incident_id, "nothing was firing that it could end"
        if incident_id:
            batch.cleared.add(incident_id)
        return AlertOutcome.CLEARED, incident_id, ""
    if not after.firing:
        return AlertOutcome.STALE, incident_id, "it is older than the known end"
    if _hold(batch, notice, identity, incident_id):
        return AlertOutcome.SUPPRESSED, None, "a maintenance window keeps it back until its end"
    batch.held.pop(notice.fingerprint, None)
    outcome, incident = place(batch, notice, identity, incident_id)
    batch.incidents[notice.fingerprint] = incident.id
    return outcome, incident.id, ""


def _hold(batch: Batch, alert: Alert, identity: Identity, current: UUID | None) -> bool:
    """A window with everything off keeps it back, unless its incident is open: that goes on."""
    silence = silencing(batch.silences, alert.labels)
    if silence is None or _is_open(batch, identity, current):
        return False
    if alert.fingerprint not in batch.held:  # told again and again, it is recorded once
        batch.tx.record(
            "held",
            batch.actor,
            f"maintenance {silence.id}",
            after=AlertOutcome.SUPPRESSED,
            fingerprint=alert.fingerprint,
            key=identity.key,
            until=silence.ends_at.isoformat(),
        )
    batch.held[alert.fingerprint] = silence
    drop_bare_pages(batch.tx, identity.key)
    return True


def _is_open(batch: Batch, identity: Identity, current: UUID | None) -> bool:
    known = batch.tx.maybe("incident", id=current) if current else None
    if known is not None and known["status"] != IncidentStatus.RESOLVED:
        return True
    return batch.tx.maybe("lock_open_incident", key=identity.key) is not None


def place(
    batch: Batch, alert: Alert, identity: Identity, current: UUID | None
) -> tuple[AlertOutcome, Incident]:
    """The incident of a firing alert: its condition's own, the one of its key, or a new one."""
    if current is not None:
        incident = lock_incident(batch.tx, current)
        if incident.status != IncidentStatus.RESOLVED:
            return AlertOutcome.JOINED, _join(batch, incident, alert, identity)
    row = batch.tx.maybe("lock_open_incident", key=identity.key) or batch.tx.maybe(
        "lock_last_incident", key=identity.key
    )
    if row is not None:
        last = incident_from_row(row)
        if last.resolved_at is None:  # also when another delivery reopened it this moment
            return AlertOutcome.JOINED, _join(batch, last, alert, identity)
        ago = batch.tx.now - last.resolved_at
        if last.resolved_by == ResolvedBy.PERSON and ago < batch.services.settings.reopen_after:
            return AlertOutcome.SUPPRESSED, _suppress(batch, last)
        if last.resolved_by != ResolvedBy.PERSON and ago < batch.services.settings.flap_window:
            return AlertOutcome.JOINED, _flap(batch, last, alert, identity)
    return _open(batch, alert, identity)


def _open(batch: Batch, alert: Alert, identity: Identity) -> tuple[AlertOutcome, Incident]:
    rule = batch.services.catalogue.rules.get(identity.rule or "")
    row = batch.tx.maybe(
        "insert_incident",
        id=batch.services.new_id(),
        key=identity.key,
        title=alert.title,
        source=alert.source,
        rule=identity.rule,
        rule_checksum=rule.checksum if rule else None,
        target=identity.target,
        parameters=dict(identity.parameters),
        labels=dict(alert.labels),
        severity=identity.severity,
        declared_severity=alert.severity,
        severity_unreadable=alert.severity_unreadable,
        trouble=identity.trouble or "",
        trouble_detail=identity.detail,
    )
    if row is None:  # another delivery opened the same key this moment
        other = incident_from_row(batch.tx.one("lock_open_incident", key=identity.key))
        return AlertOutcome.JOINED, _join(batch, other, alert, identity)
    incident = incident_from_row(row)
    record(
        batch.tx,
        incident,
        "opened",
        batch.actor,
        after=incident.status,
        severity=incident.severity,
        declared=alert.severity_word,
        rule=identity.rule,
        target=identity.target,
        key=incident.key,
        matched=identity.matched,
    )
    if identity.matched > 1:
        batch.services.log.warning(
            "more than one rule answers", incident=str(incident.id), rule=identity.rule
        )
    tell(batch.services, batch.tx, incident, Happening.OPENED)
    if incident.severity.pages or incident.severity_unreadable:
        page(batch.services, batch.tx, incident, batch.page_due_at, "opened")
    enqueue_walk(batch.tx, incident)
    return AlertOutcome.OPENED, incident


def _join(
    batch: Batch, incident: Incident, alert: Alert, identity: Identity, again: bool = False
) -> Incident:
    """A joining notice acts only when it raises the severity or, with `again`, when it reopened."""
    row = batch.tx.one(
        "joined",
        id=incident.id,
        severity=identity.severity,
        declared_severity=alert.severity,
        severity_unreadable=alert.severity_unreadable,
    )
    joined = incident_from_row(row)
    raised = joined.severity < incident.severity
    if raised:
        record(
            batch.tx,
            joined,
            "severity",
            batch.actor,
            before=incident.severity,
            after=joined.severity,
            declared=alert.severity_word,
        )
    unreadable = joined.severity_unreadable and not incident.severity_unreadable
    if unreadable:
        record(batch.tx, joined, "severity", batch.actor, declared=alert.severity_word)
    if unreadable or (joined.severity.pages and (raised or again)):
        why = "it fires again" if again else "the severity rose or cannot be read"
        others = incident.severity.pages and not again
        page(batch.services, batch.tx, joined, batch.page_due_at, why, raised, others)
    return nudge(batch.tx, joined) if raised or unreadable or again else joined


def _flap(batch: Batch, incident: Incident, alert: Alert, identity: Identity) -> Incident:
    """Firing again shortly after the end: the same incident goes on."""
    reopened = reopen(batch.services, batch.tx, incident, batch.actor, "it fires again")
    return _join(batch, reopened, alert, identity, again=True)


def _suppress(batch: Batch, incident: Incident) -> Incident:
    """A person closed it a short while ago; if it still fires after that time it goes on."""
    assert incident.resolved_at is not None
    due = incident.resolved_at + batch.services.settings.reopen_after
    batch.tx.run("set_timer", id=incident.id, what="reopen", due_at=due)
    record(batch.tx, incident, "suppressed", batch.actor, until=due.isoformat())
    return incident


def _save(batch: Batch, delivery_id: UUID, notices: Sequence[Alert | Malformed]) -> None:
    rows = []
    for notice, (outcome, incident_id, note) in zip(notices, batch.outcomes, strict=True):
        alert = notice if isinstance(notice, Alert) else None
        rows.append(
            {
                "id": batch.services.new_id(),
                "received_at": batch.received,
                "delivery_id": delivery_id,
                "source": batch.source,
                "outcome": outcome,
                "fingerprint": alert and alert.fingerprint,
                "status": alert and alert.status,
                "name": alert and alert.name,
                "notice": notice.to_json(),
                "incident_id": incident_id,
                "note": note,
            }
        )
    batch.tx.many("insert_alert", rows)
    batch.tx.many("update_condition", [_saved(batch, name) for name in batch.conditions])


def _saved(batch: Batch, fingerprint: str) -> dict[str, Any]:
    condition = batch.conditions[fingerprint]
    silence = batch.held.get(fingerprint)
    return {
        "source": batch.source,
        "fingerprint": fingerprint,
        "fired_at": condition.fired_at,
        "fired_seen": condition.fired_seen,
        "ended_at": condition.ended_at,
        "ended_seen": condition.ended_seen,
        "last_seen": condition.last_seen,
        "latest": {"notice": condition.latest[1] if condition.latest else "{}"},
        "firing": condition.firing,
        "incident_id": batch.incidents[fingerprint],
        "held_until": silence and silence.ends_at,
        "held_by": silence and silence.id,
    }


def _clear(batch: Batch) -> None:
    """An incident ends with its last condition."""
    for incident_id in sorted(batch.cleared):
        incident = lock_incident(batch.tx, incident_id)
        left = batch.tx.one("firing_conditions", id=incident_id)["firing"]
        if left == 0 and incident.status != IncidentStatus.RESOLVED:
            resolve(batch.services, batch.tx, incident, ResolvedBy.SENDER, batch.actor)
