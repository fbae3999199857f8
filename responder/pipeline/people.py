"""What a person says about an incident."""

from uuid import UUID

from responder.domain.actor import Actor
from responder.domain.incident import ResolvedBy
from responder.domain.notification import Happening
from responder.pipeline.notify import tell
from responder.pipeline.services import Services, record
from responder.pipeline.walking import resolve
from responder.store.incidents import incident_from_row


def acknowledge(services: Services, incident_id: UUID, actor: Actor) -> bool:
    """Somebody has it; False when there is no such incident. Twice is no mistake."""
    with services.store.transaction() as tx:
        row = tx.maybe("lock_incident", id=incident_id)
        if row is None:
            return False
        changed = tx.maybe("acknowledge_incident", id=incident_id, actor=actor.name)
        if changed is not None:
            incident = incident_from_row(changed)
            record(tx, incident, "status", actor, before=row["status"], after=incident.status)
            tell(services, tx, incident, Happening.ACKNOWLEDGED)
    return True


def close(services: Services, incident_id: UUID, actor: Actor) -> bool:
    """A person says that it is over; False when there is no such incident."""
    with services.store.transaction() as tx:
        row = tx.maybe("lock_incident", id=incident_id)
        if row is None:
            return False
        resolve(services, tx, incident_from_row(row), ResolvedBy.PERSON, actor)
    return True
