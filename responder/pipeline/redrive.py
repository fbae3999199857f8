"""Once more: what was quarantined before its parser learnt, and messages that were given up."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from responder.domain.actor import Actor
from responder.domain.alert import DeliveryOutcome, Malformed, Notice
from responder.domain.incident import dedup_key
from responder.domain.notification import Happening, Message
from responder.pipeline.accept import Accepted, Read, keep, most_severe
from responder.pipeline.door import taken_in
from responder.pipeline.raw import body_of
from responder.pipeline.services import Services, record
from responder.sources import ADAPTERS, NotUnderstood, Request, Unreadable, read_json
from responder.store.incidents import incident_from_row
from responder.store.vault import Locked

_TEST_TIMEOUT = 15.0


class NotRedriven(Exception):
    """It stays as it is; the message says why, for who asked."""


def redrive_delivery(services: Services, delivery_id: UUID, actor: Actor) -> Accepted:
    """Read a quarantined delivery again; what is understood now becomes a delivery of its own.

    The old one stays as it was, with a note. NotRedriven: nothing more is understood than before.
    """
    with services.store.transaction() as tx:
        row = tx.maybe("lock_quarantined", id=delivery_id)
        if row is None:
            raise NotRedriven("there is no delivery of this id with anything quarantined in it")
        source = services.settings.sources.get(row["source"])
        if source is None:
            raise NotRedriven(f"the source {row['source']} is not configured any more")
        if row["redriven"]:
            raise NotRedriven(f"it was redriven before: {row['note']}")
        try:
            body = body_of(services, tx, delivery_id)
        except Locked as locked:
            raise NotRedriven(f"its body cannot be read: {locked}") from None
        if body is None:
            days = services.settings.vault.raw_days
            raise NotRedriven(f"its body is deleted: bodies are kept for {days} days")
        request = Request(row["headers"], body, row["received_at"])
        try:
            parsed = ADAPTERS[source.type].parse(
                read_json(request.body), source, row["received_at"]
            )
        except (NotUnderstood, Unreadable) as error:
            raise NotRedriven(f"it is still not understood: {error}") from None
        notices = taken_in(services, parsed)
        known = [notice for notice in _new(notices, row) if not isinstance(notice, Malformed)]
        if not known:
            raise NotRedriven("nothing in it is understood that was not understood before")
        severity, pages = most_severe(services, known, row["received_at"])
        read = Read(source, request, request.body, None, known)
        accepted = keep(services, tx, read, severity, pages)
        note = f"redriven as {accepted.delivery}"
        tx.run("note_delivery", id=row["id"], received_at=row["received_at"], note=note)
        subject = f"delivery {delivery_id}"
        tx.record("delivery", actor, subject, after="redriven", delivery=str(accepted.delivery))
    return accepted


def _new(notices: Sequence[Notice], row: Mapping[str, Any]) -> Sequence[Notice]:
    """What was not understood before, wherever it stood; all of what was quarantined whole."""
    if row["outcome"] == DeliveryOutcome.QUARANTINED:
        return notices
    before = Counter(_told(plain) for plain in row["notices"])
    new = []
    for notice in notices:
        told = _told(notice.to_json())
        if before[told]:
            before[told] -= 1
        else:
            new.append(notice)
    return new


def _told(plain: Mapping[str, Any]) -> tuple[str | None, ...]:
    """Of which condition a notice tells what; a notice without a time got one when it was kept."""
    told = plain.get("echo", plain)
    return tuple(told.get(name) for name in ("dedup_key", "fingerprint", "status", "did"))


def redrive_notifications(
    services: Services, actor: Actor, notification: UUID | None, receiver: str | None
) -> int:
    """Messages that were given up are due again: one, or all of a receiver; returns how many."""
    with services.store.transaction() as tx:
        rows = tx.all("redrive_notifications", id=notification, receiver=receiver)
        for row in rows:
            told = {name: row[name] for name in ("receiver", "happening", "page")}
            if row["incident_id"] is None:
                subject = f"notification {row['id']}"
                tx.record("notification", actor, subject, before="dead", after="due", **told)
            else:
                incident = incident_from_row(tx.one("incident", id=row["incident_id"]))
                record(tx, incident, "notification", actor, before="dead", after="due", **told)
    return len(rows)


def try_receiver(services: Services, name: str, actor: Actor) -> None:
    """One message that says it is a test, and its end. Undelivered says what is wrong."""
    receiver = services.receivers[name]
    now = datetime.now(UTC)
    key = dedup_key(f"test:{services.new_id()}")
    for happening in (Happening.OPENED, Happening.RESOLVED):
        message = Message(
            str(services.new_id()), happening, key, _test_document(actor, now, happening)
        )
        receiver.deliver(message, now, _TEST_TIMEOUT)
    with services.store.transaction() as tx:
        tx.record("receiver", actor, f"receiver {name}", after="tested")


def _test_document(actor: Actor, now: datetime, happening: Happening) -> dict[str, Any]:
    over = happening == Happening.RESOLVED
    return {
        "version": 1,
        "updates": 0,
        "incident": {
            "id": None,
            "title": f"Test of the responder by {actor.name}: nothing is wrong",
            "status": "resolved" if over else "open",
            "severity": "P3",
            "opened_at": now.isoformat(),
            "resolved_at": now.isoformat() if over else None,
            "resolved_by": actor.name if over else None,
        },
        "alerts": [],
        "findings": [],
        "links": {},
    }
