"""Deliveries' alerts become incidents: merged, joined, opened, cleared, each with one outcome."""

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
from responder.domain.incident import IncidentStatus, ResolvedBy
from responder.log import about
from responder.pipeline.accept import PAGE_PATIENCE
from responder.pipeline.enrich import enrich
from responder.pipeline.maintenance import Silence, silences, silencing
from responder.pipeline.notify import bare_resolve, drop_bare_pages
from responder.pipeline.people import hear
from responder.pipeline.placing import Firing, Known, Overtaken, Placing
from responder.pipeline.services import Services
from responder.pipeline.walking import resolve
from responder.runbook.catalogue import Identity
from responder.store import Transaction
from responder.store.incidents import lock_incident

#: A page that is so late was not late by our doing; `_page_due_at` says what is done then.
LATE = timedelta(seconds=3)
LATE_PATIENCE = timedelta(seconds=2.5)
#: So many alerts of one delivery are triaged in one transaction, which must end long before it is
#: cut.
PORTION = 100


@dataclass
class Entry:
    """One alert of a delivery in hand, and what became of it; None: it is to be placed."""

    delivery: Mapping[str, Any]
    notice: Alert | Malformed
    identity: Identity | None
    outcome: AlertOutcome | None = AlertOutcome.QUARANTINED
    incident_id: UUID | None = None
    note: str = ""

    @property
    def condition(self) -> Known:
        return self.delivery["source"], getattr(self.notice, "fingerprint", "")


@dataclass
class Batch:
    """Deliveries in hand, locked by this transaction: their conditions as they become.

    whole: deliveries of which nothing is left for a later one. silences: windows in force that keep
    everything back; held: what they keep back from now on, or no longer. placed: conditions and
    keys of what will have an incident.
    """

    services: Services
    tx: Transaction
    entries: list[Entry] = field(default_factory=list)
    whole: list[Mapping[str, Any]] = field(default_factory=list)
    conditions: dict[Known, Condition] = field(default_factory=dict)
    incidents: dict[Known, UUID | None] = field(default_factory=dict)
    cleared: dict[UUID, Actor] = field(default_factory=dict)
    silences: Sequence[Silence] = ()
    held: dict[Known, Silence | None] = field(default_factory=dict)
    placed: set[Known | str] = field(default_factory=set)


def triage(
    services: Services, delivery_id: UUID, hurry: bool = False, hand: UUID | None = None
) -> bool:
    """Give every alert of a delivery its outcome; False when somebody else has it in hand.

    hurry: the first portion alone, without waiting long for locks, since pages depend on it; then
    StoreAway. hand: of this process, so that the others know what it died with.
    """
    while more := _triage_portion(services, delivery_id, hurry, hand):
        if hurry:
            break
    return more is not None


def _triage_portion(
    services: Services, delivery_id: UUID, hurry: bool, hand: UUID | None
) -> bool | None:
    """Whether there are more alerts in the delivery; None when somebody else has it in hand."""
    try:
        with about(delivery=delivery_id), services.store.transaction() as tx:
            if hurry:
                tx.run("hurry")
            row = tx.maybe("lock_delivery", id=delivery_id)
            if row is None:
                return None
            if hand is not None:
                take_in_hand(services, hand, [row])
            rows = [row] if hurry else enrich(services, tx, [row])
            batch = triage_together(services, tx, rows)
            if hand is not None:
                tx.run("put_down", drain=hand)
    except Overtaken:
        return True
    log_outcomes(batch)
    return not batch.whole


def take_in_hand(services: Services, hand: UUID, rows: Sequence[Mapping[str, Any]]) -> None:
    """What is locked by now; committed at once, so that it is known what this process died with."""
    with services.store.transaction() as tx:
        tx.run("take_in_hand", drain=hand, deliveries=tuple(row["id"] for row in rows))


def triage_together(
    services: Services, tx: Transaction, rows: Sequence[Mapping[str, Any]]
) -> Batch:
    """Triage deliveries that the transaction has locked: of each the next portion. Overtaken."""
    batch = _batch(services, tx, rows)
    batch.silences = silences(tx)
    for entry in batch.entries:
        if isinstance(entry.notice, Alert):
            entry.identity = services.catalogue.identify(entry.notice)
    placing = Placing(services, tx)
    _lock(batch, placing)
    for entry in batch.entries:
        _merge(batch, placing, entry)
    in_order = sorted(batch.entries, key=lambda each: each.identity.key if each.identity else "")
    firing = {id(each): _firing(batch, each) for each in in_order if each.outcome is None}
    placing.open(list(firing.values()), batch.incidents)
    for entry in in_order:
        _act(batch, placing, entry, firing.get(id(entry)))
    for entry in batch.entries:
        _end(batch, entry)
    placing.finish()
    _save(batch)
    _clear(batch)
    for row in batch.whole:
        _hear(batch, row)
    _finish(batch)
    return batch


def _batch(services: Services, tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> Batch:
    batch = Batch(services, tx)
    for row in sorted(rows, key=lambda each: (each["received_at"], each["id"])):
        notices, more = _untold(tx, row)
        batch.entries += [Entry(row, notice, None) for notice in notices]
        if not more:
            batch.whole.append(row)
    return batch


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
            hear(batch.services, batch.tx, row["source"], echo)


def _sender(row: Mapping[str, Any]) -> Actor:
    return Actor(ActorKind.SENDER, row["source"])


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
        batch = _batch(services, tx, [row])
        for entry in batch.entries:
            entry.note = why
        _save(batch)
        if batch.whole:
            tx.run("quarantine_delivery", id=delivery_id, received_at=row["received_at"], note=why)
            subject = f"delivery {delivery_id}"
            tx.record("delivery", _sender(row), subject, after="quarantined", why=why)
        _finish(batch)
        return not batch.whole


def log_outcomes(batch: Batch) -> None:
    """Which delivery opened which incidents, and what became of its other alerts."""
    counts: dict[UUID, Counter[str]] = {row["id"]: Counter() for row in batch.whole}
    sources = {row["id"]: row["source"] for row in batch.whole}
    for entry in batch.entries:
        delivery_id = entry.delivery["id"]
        sources[delivery_id] = entry.delivery["source"]
        counts.setdefault(delivery_id, Counter())[str(entry.outcome)] += 1
        if entry.outcome == AlertOutcome.OPENED:
            with about(delivery=delivery_id):
                batch.services.log.info("incident opened", incident=str(entry.incident_id))
    for delivery_id, counted in counts.items():
        with about(delivery=delivery_id):
            batch.services.log.info("triaged", source=sources[delivery_id], **counted)


def _lock(batch: Batch, placing: Placing) -> None:
    """Targets, conditions, incidents: everybody in this order, and each in an order of its own."""
    alerts = [(each, each.identity) for each in batch.entries if each.identity]
    firing = [
        identity
        for entry, identity in alerts
        if isinstance(entry.notice, Alert) and entry.notice.status == AlertStatus.FIRING
    ]
    targets = {each.target for each in firing if each.target and each.severity.pages}
    for target in sorted(targets):
        batch.tx.run("lock_target", target=target)
    known = sorted({entry.condition for entry, _ in alerts})
    if not known:
        return
    named = {
        "sources": tuple(source for source, _ in known),
        "fingerprints": tuple(fingerprint for _, fingerprint in known),
    }
    batch.tx.run("make_conditions", **named)
    for row in batch.tx.all("lock_conditions", **named):
        condition = row["source"], row["fingerprint"]
        batch.conditions[condition] = _condition(row)
        batch.incidents[condition] = row["incident_id"]
        if row["held_until"] is not None:
            batch.held[condition] = Silence(row["held_by"], row["held_until"], ())
    placing.lock((identity.key for identity in firing), batch.incidents.values())


def _condition(row: Mapping[str, Any]) -> Condition:
    known = {name: row[name] for name in ("fired_at", "fired_seen", "ended_at", "ended_seen")}
    if not row["latest"]:
        return Condition()
    return Condition(**known, latest=(row["last_seen"], row["latest"]["notice"]))


def _merge(batch: Batch, placing: Placing, entry: Entry) -> None:
    """In the order in which they came: what the notice does to its condition."""
    notice, known = entry.notice, entry.condition
    if isinstance(notice, Malformed):
        entry.note = notice.reason
        return
    before = batch.conditions[known]
    after = merge(before, notice, entry.delivery["received_at"])
    batch.conditions[known] = after
    if not after.firing:
        batch.held.pop(known, None)
    if notice.status == AlertStatus.RESOLVED:
        if not before.firing or after.firing:
            entry.outcome = AlertOutcome.STALE
            entry.note = "nothing was firing that it could end"
        else:
            entry.outcome = AlertOutcome.CLEARED
    elif not after.firing:
        entry.outcome, entry.note = AlertOutcome.STALE, "it is older than the known end"
    elif _hold(batch, placing, entry, notice):
        entry.outcome = AlertOutcome.SUPPRESSED
        entry.note = "a maintenance window keeps it back until its end"
    else:
        batch.held.pop(known, None)
        assert entry.identity is not None
        batch.placed |= {known, entry.identity.key}
        entry.outcome = None


def _hold(batch: Batch, placing: Placing, entry: Entry, alert: Alert) -> bool:
    """A window with everything off keeps it back, unless its incident is open: that goes on."""
    assert entry.identity is not None
    silence = silencing(batch.silences, alert.labels)
    key, known = entry.identity.key, entry.condition
    goes_on = bool({known, key} & batch.placed) or placing.is_open(batch.incidents[known], key)
    if silence is None or goes_on:
        return False
    if known not in batch.held:  # told again and again, it is recorded once
        batch.tx.record(
            "held",
            _sender(entry.delivery),
            f"maintenance {silence.id}",
            after=AlertOutcome.SUPPRESSED,
            fingerprint=alert.fingerprint,
            key=key,
            until=silence.ends_at.isoformat(),
        )
    batch.held[known] = silence
    drop_bare_pages(batch.tx, key)
    return True


def _firing(batch: Batch, entry: Entry) -> Firing:
    assert isinstance(entry.notice, Alert) and entry.identity is not None
    due_at = _page_due_at(batch.tx, entry.delivery)
    return Firing(entry.notice, entry.identity, entry.condition, _sender(entry.delivery), due_at)


def _act(batch: Batch, placing: Placing, entry: Entry, firing: Firing | None) -> None:
    """In the order of keys: what the alert does to its incident."""
    if entry.identity is None:
        return
    known = entry.condition
    current = batch.incidents[known]
    if firing is not None:
        entry.outcome, incident = placing.place(firing, current)
        batch.incidents[known] = entry.incident_id = incident.id
    elif entry.outcome in (AlertOutcome.CLEARED, AlertOutcome.STALE):
        entry.incident_id = current
        ended = isinstance(entry.notice, Alert) and entry.notice.status == AlertStatus.RESOLVED
        stale = entry.outcome == AlertOutcome.STALE
        if stale and ended and current is None and entry.identity.severity.pages:
            bare_resolve(batch.services, batch.tx, entry.identity.key)


def _end(batch: Batch, entry: Entry) -> None:
    """What a condition's end may end, when all are placed: one turn may open and end it."""
    if entry.outcome != AlertOutcome.CLEARED:
        return
    current = batch.incidents[entry.condition]
    entry.incident_id = entry.incident_id or current
    if current is not None:
        batch.cleared[current] = _sender(entry.delivery)


def _save(batch: Batch) -> None:
    rows = []
    for entry in batch.entries:
        alert = entry.notice if isinstance(entry.notice, Alert) else None
        rows.append(
            {
                "id": batch.services.new_id(),
                "received_at": entry.delivery["received_at"],
                "delivery_id": entry.delivery["id"],
                "source": entry.delivery["source"],
                "outcome": entry.outcome,
                "fingerprint": alert and alert.fingerprint,
                "status": alert and alert.status,
                "name": alert and alert.name,
                "notice": entry.notice.to_json(),
                "incident_id": entry.incident_id,
                "note": entry.note,
            }
        )
    batch.tx.together("insert_alerts", rows)
    conditions = [_saved(batch, known) for known in sorted(batch.conditions)]
    batch.tx.together("update_conditions", conditions)


def _saved(batch: Batch, known: Known) -> dict[str, Any]:
    condition = batch.conditions[known]
    silence = batch.held.get(known)
    return {
        "source": known[0],
        "fingerprint": known[1],
        "fired_at": condition.fired_at,
        "fired_seen": condition.fired_seen,
        "ended_at": condition.ended_at,
        "ended_seen": condition.ended_seen,
        "last_seen": condition.last_seen,
        "latest": {"notice": condition.latest[1] if condition.latest else "{}"},
        "firing": condition.firing,
        "incident_id": batch.incidents[known],
        "held_until": silence and silence.ends_at,
        "held_by": silence and silence.id,
    }


def _clear(batch: Batch) -> None:
    """An incident ends with its last condition."""
    for incident_id in sorted(batch.cleared):
        incident = lock_incident(batch.tx, incident_id)
        left = batch.tx.one("firing_conditions", id=incident_id)["firing"]
        if left == 0 and incident.status != IncidentStatus.RESOLVED:
            by = batch.cleared[incident_id]
            resolve(batch.services, batch.tx, incident, ResolvedBy.SENDER, by)


def _finish(batch: Batch) -> None:
    """Every alert of these deliveries has its outcome now."""
    if batch.whole:
        ids = tuple(row["id"] for row in batch.whole)
        times = tuple(row["received_at"] for row in batch.whole)
        batch.tx.run("finish_deliveries", ids=ids, times=times)
