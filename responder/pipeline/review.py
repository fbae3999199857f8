"""Engineers judge what the responder did: who is asked, what a verdict does, what still waits.

A review waits from the end of its incident on; nobody is told at night, the digest says so.
"""

import hashlib
from typing import Any
from uuid import UUID

from responder.domain.actor import Actor
from responder.domain.decision import Autonomy
from responder.domain.incident import Incident
from responder.domain.review import Verdict
from responder.pipeline.services import Services, iso, record
from responder.store import Transaction
from responder.store.incidents import incident_from_row


def ask_for_review(services: Services, tx: Transaction, incident: Incident) -> dict[str, str]:
    """The incident is done: does it wait for a verdict? What the trail says of it."""
    asked = services.settings.review
    row = tx.maybe(
        "ask_review", id=incident.id, within=asked.within, sampled=asked.samples(incident.id)
    )
    return {"review": row["picked"]} if row else {}


def judge(
    services: Services, incident_id: UUID, actor: Actor, verdict: Verdict, note: str = ""
) -> bool:
    """Somebody's verdict, at any time, also another one; False when there is no such incident.

    Harmful takes back the promotion of each version that fixed something of it by itself.
    """
    with services.store.transaction() as tx:
        row = tx.maybe("lock_incident", id=incident_id)
        if row is None:
            return False
        incident = incident_from_row(row)
        before = tx.maybe("review", id=incident_id)
        taken = verdict == Verdict.HARMFUL and _take_back(tx, incident, actor)
        told = {"verdict": verdict, "note": note, "actor": actor.name, "took_back": taken}
        tx.run("judge", id=incident_id, **told)
        after = tx.one("review", id=incident_id)
        record(
            tx,
            incident,
            "review",
            actor,
            before=before["verdict"] if before else None,
            after=verdict,
            # The text may be personal data, which must not be in what is never changed.
            sha256=hashlib.sha256(note.encode()).hexdigest(),
            own=after["own"],
        )
    return True


def _take_back(tx: Transaction, incident: Incident, actor: Actor) -> bool:
    if incident.rule is not None:
        tx.run("lock_rule", rule=incident.rule)
    taken = tx.all("take_promotions_back", id=incident.id, actor=actor.name)
    for version in taken:
        tx.record(
            "promotion",
            actor,
            f"rule {version['rule']}",
            before=Autonomy.ACT,
            after=Autonomy.PROPOSE,
            checksum=version["checksum"],
            why=f"a harmful fix of incident {incident.id}",
        )
    return bool(taken)


def told_review(tx: Transaction, incident_id: UUID) -> dict[str, Any] | None:
    """The review as documents carry it; None: nobody is asked, and nobody has said anything."""
    row = tx.maybe("review", id=incident_id)
    if row is None:
        return None
    return {
        **{name: row[name] for name in ("waiting", "picked", "verdict", "note", "actor", "own")},
        "due_at": iso(row["due_at"]),
        "at": iso(row["at"]),
        "took_back": row["took_back"],
    }


def reviews_waiting(tx: Transaction) -> tuple[int, int]:
    """How many reviews wait for somebody, and how many of those are overdue."""
    row = tx.one("reviews_waiting")
    return row["waiting"], row["overdue"]
