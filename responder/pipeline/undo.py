"""An undo that a person asks for: what speaks against it, and the row that a walk carries out.

It takes back what one fix changed, by the statement that was kept with the fix; so it can be asked
for whatever became of the rule since, and also when the incident is over.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from responder.domain.actor import Actor, may
from responder.domain.fix import FixStatus
from responder.domain.incident import Incident, Stage
from responder.domain.numbers import exact
from responder.pipeline import climbing
from responder.pipeline.by_hand import Begun, NotBegun, Objection, once
from responder.pipeline.decide import notice_failover
from responder.pipeline.document import NO_CLAIMS
from responder.pipeline.images import image_of
from responder.pipeline.services import Services, iso, record
from responder.pipeline.walking import enqueue_walk
from responder.store import Refused, Transaction
from responder.store.incidents import incident_from_row
from responder.store.vault import Locked

#: Stages at which an incident rests; one that is verifying a fix stops that for its undo.
_AT_REST = (Stage.DIAGNOSE, Stage.VERIFY, Stage.WATCH, Stage.DONE)
#: What would wake it there.
_WAKES = {Stage.DIAGNOSE: "look_again", Stage.VERIFY: "verify"}
_NOT_MADE = {
    FixStatus.ROLLED_BACK: "it was rolled back, so there is nothing to undo",
    FixStatus.REFUSED: "it was not made, so there is nothing to undo",
    FixStatus.UNKNOWN: "nobody can say whether it was made: look at its before-image",
}


@dataclass(frozen=True)
class AskedUndo:
    """What a person asks for; key: the same request under it gives the same fix, for a day."""

    fix: UUID
    dry_run: bool = False
    key: str | None = None

    @property
    def digest(self) -> bytes:
        """SHA-256 of all but the key."""
        told = json.dumps(["undo", str(self.fix), self.dry_run])
        return hashlib.sha256(told.encode()).digest()


def ask_undo(services: Services, asked: AskedUndo, actor: Actor, role: str) -> Begun:
    """The fix that undoes it, carried out by a walk now. NotBegun, with nothing changed."""
    try:
        with services.store.transaction() as tx:
            return once(tx, asked, actor, lambda: _begin(services, tx, asked, actor, role))
    except Refused as refused:
        if refused.constraint not in ("fix_one_per_key", "fix_undone_once"):
            raise
        raise NotBegun(Objection.CONFLICT, "another fix of the same key is open") from None


def _begin(services: Services, tx: Transaction, asked: AskedUndo, actor: Actor, role: str) -> Begun:
    found = tx.maybe("fix", id=asked.fix)
    if found is None:
        raise NotBegun(Objection.NOT_FOUND, "there is no such fix")
    incident = incident_from_row(tx.one("lock_incident", id=found["incident_id"]))
    notice_failover(services, tx)  # what is begun from here on is not lost
    fix = tx.one("fix", id=asked.fix)  # as it is now that nothing else can happen to it
    _can_be_undone(services, tx, fix, role)
    _is_at_rest(tx, incident, fix)
    tx.run("suspend_verification", id=fix["id"])
    if incident.stage in _WAKES:
        tx.run("drop_timer", id=incident.id, whats=(_WAKES[incident.stage],))
    undo_id = services.new_id()
    tx.run(
        "insert_fix",
        id=undo_id,
        incident_id=incident.id,
        **{name: fix[name] for name in ("rule_checksum", "option", "parameters", "statements")},
        actor_kind=actor.kind,
        actor=actor.name,
        attempt=incident.attempt + 1,  # of the walk that is enqueued here, and of no later one
        dry_run=asked.dry_run,
        undoes=fix["id"],
    )
    _tell(services, tx, incident, asked, actor, undo_id)
    return Begun(undo_id)


def _tell(
    services: Services,
    tx: Transaction,
    incident: Incident,
    asked: AskedUndo,
    actor: Actor,
    undo_id: UUID,
) -> None:
    record(
        tx,
        incident,
        "fix",
        actor,
        after=FixStatus.STARTED,
        fix=str(undo_id),
        undoes=str(asked.fix),
        dry_run=asked.dry_run,
    )
    started = incident_from_row(tx.one("start_walk", id=incident.id, stage=Stage.FIX))
    heard = {} if asked.dry_run else climbing.heard_of(services, tx, incident)
    record(tx, started, "stage", actor, before=incident.stage, after=started.stage, **heard)
    enqueue_walk(tx, started)


def _can_be_undone(services: Services, tx: Transaction, fix: Mapping[str, Any], role: str) -> None:
    """Was it made, is there what undoes it, and may this caller?"""
    _was_made(tx, fix)
    kept = fix["statements"].get("undo")
    if kept is None:
        detail = f"the option {fix['option']} had no undo when this fix was made"
        raise NotBegun(Objection.NOT_POSSIBLE, detail)
    if not may(role, kept["role"]):
        raise NotBegun(Objection.FORBIDDEN, f"undoing this option needs the role {kept['role']}")
    target = services.settings.targets.get(fix["target"])
    hours, undo_for = services.settings.vault.undo_hours, services.settings.vault.undo_for
    before, after = _rows(services, tx, fix)
    objections = {
        f"it was made at {iso(fix['ended_at'])}: a fix can be undone for {hours} hours, and its"
        " exact rows are deleted then": before is None or fix["ended_at"] + undo_for < tx.now,
        "no rows were kept of it": not before or not after,
        "its rows have no id, so none could be named": any(
            row.get("id") is None for row in (*(before or ()), *(after or ()))
        ),
        "the target has no fixing role": target is None or target.writing is None,
        NO_CLAIMS: kept["claims"] and target is not None and not target.claims,
    }
    for objection, holds in objections.items():
        if holds:
            raise NotBegun(Objection.NOT_POSSIBLE, objection)


def _rows(services: Services, tx: Transaction, fix: Mapping[str, Any]) -> tuple[Any, Any]:
    """The exact rows before and after; None for both when they are deleted."""
    try:
        image = image_of(services, tx, fix["id"])
    except Locked as locked:
        why = f"the rows that it needs cannot be read: {locked}"
        raise NotBegun(Objection.NOT_POSSIBLE, why) from None
    return (exact(image.before), exact(image.after)) if image else (None, None)


def _was_made(tx: Transaction, fix: Mapping[str, Any]) -> None:
    status = FixStatus(fix["status"])
    if fix["undoes"] is not None:
        raise NotBegun(Objection.NOT_POSSIBLE, "it is an undo itself: make the fix again instead")
    if status in _NOT_MADE:
        raise NotBegun(Objection.NOT_POSSIBLE, _NOT_MADE[status])
    undo = tx.maybe("undone_by", id=fix["id"])
    if undo is not None:
        how = {FixStatus.COMMITTED: "it was undone", FixStatus.UNKNOWN: "it may have been undone"}
        told = f"{how.get(undo['status'], 'it is being undone')} by {undo['actor']}"
        raise NotBegun(Objection.NOT_POSSIBLE, told, fix=str(undo["id"]))
    if status != FixStatus.COMMITTED:
        raise NotBegun(Objection.CONFLICT, "it is not made yet; ask again in a moment")


def _is_at_rest(tx: Transaction, incident: Incident, fix: Mapping[str, Any]) -> None:
    if incident.walking or incident.stage not in _AT_REST:
        detail = f"the incident is in hand, at the stage {incident.stage}; ask again in a moment"
        raise NotBegun(Objection.CONFLICT, detail)
    other = tx.maybe("open_fix", key=fix["key"])
    if other is not None and other["id"] != fix["id"]:
        detail = "another fix of the same key is open"
        raise NotBegun(Objection.CONFLICT, detail, fix=str(other["id"]))
