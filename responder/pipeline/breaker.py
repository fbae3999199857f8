"""The breaker of a key: fixes that did not hold, that a person undid, or of which nobody knows
whether they were made, end automatic fixes.

Only a person closes it again, who has looked; it needs our database and nothing else.
"""

from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from responder.domain.actor import Actor
from responder.pipeline.services import record
from responder.pipeline.walking import nudge
from responder.store import Store, Transaction
from responder.store.incidents import incident_from_row

#: Verifications of one key that may fail; one fix that was undone or is unknown is enough.
BREAKER_LIMIT = 2


class NotOpen(Exception):
    """There is nothing to reset."""


@dataclass(frozen=True)
class Breaker:
    """Since the latest reset: how many fixes did not hold, are unknown, and were undone."""

    failed_fixes: int = 0
    unknown_fixes: int = 0
    undone_fixes: int = 0

    @property
    def open(self) -> bool:
        return self.failed_fixes >= BREAKER_LIMIT or self.unknown_fixes + self.undone_fixes > 0


def breaker_of(tx: Transaction, key: str) -> Breaker:
    """The breaker of a key as it is now."""
    row = tx.maybe("breaker", key=key)
    return Breaker(**row) if row else Breaker()


def told_breaker(breaker: Breaker, incident: UUID | None = None) -> dict[str, Any]:
    """A breaker, as documents carry it; the sentence is empty while it is closed."""
    sentence = (
        f"The breaker is open. Fixes that did not hold: {breaker.failed_fixes}, undone:"
        f" {breaker.undone_fixes}, of which nobody knows: {breaker.unknown_fixes}."
        " Nothing is fixed automatically until a person resets it:"
        f" responder fixes reset {incident} --reason WHY"
        if breaker.open
        else ""
    )
    return {"open": breaker.open, **asdict(breaker), "sentence": sentence}


def reset(store: Store, incident_id: UUID, actor: Actor, reason: str) -> bool:
    """A person has looked; the key's open incident is decided anew.

    False when there is no such incident. NotOpen.
    """
    with store.transaction() as tx:
        row = tx.maybe("incident", id=incident_id)
        if row is None:
            return False
        current = tx.maybe("lock_open_incident", key=row["key"])
        breaker = breaker_of(tx, row["key"])
        if not breaker.open:
            raise NotOpen("the breaker of this incident's key is closed")
        tx.run("reset_breaker", key=row["key"], actor=actor.name, reason=reason)
        incident = incident_from_row(current or row)
        told = {"why": reason, **asdict(breaker)}
        record(tx, incident, "breaker", actor, before="open", after="closed", **told)
        if current is not None:
            nudge(tx, incident)
    return True
