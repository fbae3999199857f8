"""How a fix is taken back, and what becomes of it: its statement is that of the code which made it.

While it is being undone it is not verified; an undo that comes to nothing lets the verification go
on, one that is made ends it.
"""

from collections.abc import Mapping
from typing import Any

from responder.domain.actor import Actor, ActorKind
from responder.domain.fix import FixStatus, Verification
from responder.domain.incident import Incident, IncidentStatus, Stage
from responder.domain.notification import Happening
from responder.domain.statements import Statement
from responder.pipeline.images import image_of
from responder.pipeline.notify import tell
from responder.pipeline.services import Services, move, record
from responder.runbook.loader import LoadedRule
from responder.runbook.rule import Option
from responder.store import Transaction
from responder.store.incidents import lock_incident
from responder.store.vault import Locked
from responder.targets.undo import Undo


def kept_for_undo(rule: LoadedRule, option: Option) -> dict[str, Any]:
    """What a fix row keeps, so that an edited rule undoes what it did before it was edited."""
    if not option.undo:
        return {}
    return {
        "undo": {
            "sql": rule.statements[f"{option.name}_undo"].sql,
            "changes": list(option.changes),
            "max_rows": option.max_rows,
            "volatile": list(option.volatile),
            "role": option.role,
            "claims": option.claims,
        }
    }


def undo_of(services: Services, row: Mapping[str, Any]) -> Undo:
    """What a row that undoes another one does to the target. Locked: its rows cannot be read."""
    kept = row["statements"]["undo"]
    with services.store.transaction() as tx:
        image = image_of(services, tx, row["undoes"])
    if image is None:
        raise Locked("the rows that it needs are deleted")
    return Undo(
        key=row["key"],
        statement=Statement(f"{row['option']}_undo", kept["sql"], "Takes the fix back."),
        before=image.before,
        after=image.after,
        parameters=row["parameters"],
        tables=kept["changes"],
        max_rows=kept["max_rows"],
        volatile=kept["volatile"],
        claims=services.settings.targets[row["target"]].claims if kept["claims"] else {},
    )


def note_undo(tx: Transaction, incident: Incident, undo: Mapping[str, Any]) -> None:
    """The undo is committed: nobody verifies the fix any more, and it says that it is undone."""
    actor = Actor(ActorKind(undo["actor_kind"]), undo["actor"])
    end_verification(tx, incident, "it was undone", actor)
    tx.run("mark_undone", id=undo["undoes"])
    record(
        tx,
        incident,
        "fix",
        actor,
        before=FixStatus.COMMITTED,
        after=FixStatus.UNDONE,
        fix=str(undo["undoes"]),
        undo=str(undo["id"]),
        why=_how_much(undo["left_rows"]),
        left=undo["left_rows"],
    )


def after_undo(services: Services, tx: Transaction, incident: Incident) -> Incident:
    """The cause is back, so an incident that is open is diagnosed anew."""
    if lock_incident(tx, incident.id).status == IncidentStatus.RESOLVED:
        after = move(tx, incident, "advance", next=Stage.WATCH)
    else:
        after = move(tx, incident, "start_again", {"why": "a fix was undone"})
    tell(services, tx, after, Happening.UPDATED)
    return after


def end_verification(tx: Transaction, incident: Incident, why: str, actor: Actor) -> bool:
    """Nobody asks any more whether a fix of the incident held; whether somebody would have."""
    row = tx.maybe("end_verification", incident_id=incident.id)
    if row is None:
        return False
    before, after = Verification.WAITING, Verification.NOT_ASKED
    told = {"fix": str(row["id"]), "why": why}
    record(tx, incident, "verification", actor, before=before, after=after, **told)
    return True


def _how_much(left: list[str]) -> str:
    if not left:
        return "all rows are as before"
    return f"{len(left)} {'row' if len(left) == 1 else 'rows'} left: changed since the fix, or gone"
