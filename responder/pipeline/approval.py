"""A dangerous option is approved by two people: the second says the very same, in time.

What they agree on is the option, what it asks, and the decision that they looked at: whoever saw
another one, or answers differently, approves something else. Nothing here outlives that decision.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from responder.domain.actor import Actor
from responder.domain.incident import Incident
from responder.pipeline.services import Services, iso, record
from responder.store import Transaction

#: So long the second one may take.
SECOND_WITHIN = timedelta(minutes=30)


class Subject(NamedTuple):
    """What is approved; parameters: what the person answered, seen: the decision's id."""

    incident_id: UUID
    option: str
    parameters: Mapping[str, str]
    seen: UUID


def waiting(tx: Transaction, subject: Subject) -> Mapping[str, Any] | None:
    """The approval of exactly this that waits for a second person."""
    return tx.maybe("waiting_approval", **subject._asdict())


def approve_first(
    services: Services, tx: Transaction, incident: Incident, subject: Subject, actor: Actor
) -> Mapping[str, Any]:
    """One of two; nothing else happens yet."""
    approval = tx.one(
        "insert_approval",
        id=services.new_id(),
        actor=actor.name,
        expires_at=tx.now + SECOND_WITHIN,
        **subject._asdict(),
    )
    _record(tx, incident, actor, approval, None, "waiting", until=iso(approval["expires_at"]))
    return approval


def approve_second(
    tx: Transaction, incident: Incident, approval: Mapping[str, Any], actor: Actor, fix_id: UUID
) -> None:
    """Two of two: this fix came of it, and no other one can."""
    tx.run("use_approval", id=approval["id"], fix_id=fix_id)
    told = {"first": approval["actor"], "fix": str(fix_id)}
    _record(tx, incident, actor, approval, "waiting", "given", **told)


def waiting_approvals(tx: Transaction, incident: Incident) -> list[dict[str, Any]]:
    """What waits for a second person now, as documents carry it."""
    rows = tx.all("waiting_approvals", incident_id=incident.id, seen=incident.decision_id)
    return [told_approval(row) for row in rows]


def told_approval(row: Mapping[str, Any]) -> dict[str, Any]:
    """One approval, as documents carry it."""
    return {
        "id": str(row["id"]),
        "incident": str(row["incident_id"]),
        "option": row["option"],
        "parameters": row["parameters"],
        "seen": str(row["seen"]),
        "actor": row["actor"],
        "at": iso(row["at"]),
        "expires_at": iso(row["expires_at"]),
    }


def _record(
    tx: Transaction,
    incident: Incident,
    actor: Actor,
    approval: Mapping[str, Any],
    before: str | None,
    after: str,
    **more: Any,
) -> None:
    told = {"approval": str(approval["id"]), "option": approval["option"], **more}
    seen = str(approval["seen"])
    record(tx, incident, "approval", actor, before=before, after=after, decision=seen, **told)
