"""What a person says about an incident."""

import hashlib
from uuid import UUID

from responder.domain.actor import Actor, ActorKind
from responder.domain.alert import Did, Echo
from responder.domain.incident import Incident, ResolvedBy
from responder.domain.notification import Happening
from responder.pipeline import climbing
from responder.pipeline.notify import tell
from responder.pipeline.services import Services, record
from responder.pipeline.walking import resolve
from responder.store import Transaction
from responder.store.incidents import incident_from_row

#: Characters.
LONGEST_NOTE = 10_000


def acknowledge(services: Services, incident_id: UUID, actor: Actor) -> bool:
    """Somebody has it; False when there is no such incident. Twice is no mistake."""
    with services.store.transaction() as tx:
        row = tx.maybe("lock_incident", id=incident_id)
        if row is not None:
            _acknowledge(services, tx, incident_from_row(row), actor)
    return row is not None


def _acknowledge(services: Services, tx: Transaction, incident: Incident, actor: Actor) -> None:
    changed = tx.maybe("acknowledge_incident", id=incident.id, actor=actor.name)
    if changed is not None:
        after = incident_from_row(changed)
        told = climbing.heard_of(services, tx, after)
        record(tx, after, "status", actor, before=incident.status, after=after.status, **told)
        tell(services, tx, after, Happening.ACKNOWLEDGED)
    elif told := climbing.heard_of(services, tx, incident):
        record(tx, incident, "acknowledgement", actor, after="renewed", **told)


def hear(services: Services, tx: Transaction, source: str, echo: Echo) -> None:
    """What somebody did on their pager is done here too; what is not open any more is let be."""
    row = (
        tx.maybe("lock_echoed_by_key", dedup_key=echo.dedup_key)
        if echo.dedup_key
        else tx.maybe("lock_echoed_by_condition", source=source, fingerprint=echo.fingerprint)
    )
    if row is None:
        return
    incident, actor = incident_from_row(row), Actor(ActorKind.PERSON, f"{echo.who} ({source})")
    if echo.did == Did.ACKNOWLEDGED:
        _acknowledge(services, tx, incident, actor)
    else:
        resolve(services, tx, incident, ResolvedBy.PERSON, actor)


def note(services: Services, incident_id: UUID, actor: Actor, text: str) -> bool:
    """What somebody wants the others to know; False when there is no such incident."""
    text = services.settings.redact.text(text)
    with services.store.transaction() as tx:
        row = tx.maybe("lock_incident", id=incident_id)
        if row is None:
            return False
        incident = incident_from_row(row)
        note_id = services.new_id()
        tx.run("insert_note", id=note_id, incident_id=incident_id, actor=actor.name, body=text)
        # The text may be personal data, which must not be in what is never changed.
        digest = hashlib.sha256(text.encode()).hexdigest()
        told = {"note": str(note_id), "sha256": digest, **climbing.heard_of(services, tx, incident)}
        record(tx, incident, "note", actor, after="written", **told)
        tell(services, tx, incident, Happening.UPDATED)
    return True


def close(services: Services, incident_id: UUID, actor: Actor) -> bool:
    """A person says that it is over; False when there is no such incident."""
    with services.store.transaction() as tx:
        row = tx.maybe("lock_incident", id=incident_id)
        if row is None:
            return False
        resolve(services, tx, incident_from_row(row), ResolvedBy.PERSON, actor)
    return True
