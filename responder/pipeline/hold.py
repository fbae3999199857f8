"""Legal hold: nothing of an incident, nor of the month that it was opened in, is deleted."""

from uuid import UUID

from responder.domain.actor import Actor
from responder.pipeline.services import record
from responder.store import Store
from responder.store.incidents import incident_from_row


def hold(store: Store, incident_id: UUID, actor: Actor, reason: str) -> bool:
    """Hold it; False when there is no such incident. Twice is no mistake."""
    return _change(store, incident_id, actor, "hold_incident", "held", reason)


def release(store: Store, incident_id: UUID, actor: Actor, reason: str) -> bool:
    """Let it go; False when there is no such incident. Twice is no mistake."""
    return _change(store, incident_id, actor, "release_incident", "released", reason)


def _change(
    store: Store, incident_id: UUID, actor: Actor, query: str, after: str, reason: str
) -> bool:
    with store.transaction() as tx:
        row = tx.maybe("lock_incident", id=incident_id)
        if row is None:
            return False
        if tx.run(query, id=incident_id, actor=actor.name, reason=reason):
            record(tx, incident_from_row(row), "hold", actor, after=after, why=reason)
    return True
