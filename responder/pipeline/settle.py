"""How a fix ends, or waits: its row, its audit event and the stage that follows, in one commit.

Between two commits a process may die, so no function here makes two. What a person asked for and
came to nothing is theirs to ask for again: nothing is decided anew.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from responder.domain.actor import RESPONDER, Actor, ActorKind
from responder.domain.decision import SENTENCES, Action, Decision, Reason
from responder.domain.fix import FixStatus, Verification
from responder.domain.incident import Incident, Stage
from responder.domain.notification import Happening
from responder.pipeline import climbing
from responder.pipeline.decide import gather_facts, hand_to_people, store_decision
from responder.pipeline.images import shown
from responder.pipeline.notify import tell
from responder.pipeline.services import Services, move, record
from responder.pipeline.undoing import after_undo, end_verification, note_undo
from responder.store import Fenced, Transaction
from responder.store.incidents import lock_incident
from responder.targets import writing

#: How long to wait before a fate is asked for again, or a busy key is tried again: at least,
#: and at most, when it takes long.
ASK_AGAIN = timedelta(seconds=5)
ASK_AT_LEAST = timedelta(minutes=5)
#: Refusals within the hour after which a person decides.
REFUSALS = 3


def committed(incident: Incident, services: Services, fix_id: UUID) -> Incident:
    """Step 5: it is done; now the cause must be gone, or is back if it was an undo."""
    with services.store.transaction() as tx:
        row = note_commit(tx, incident, fix_id)
        if row is not None and row["undoes"] is not None:
            return after_undo(services, tx, incident)
        climbing.fixed(services, tx, incident)
        after = move(tx, incident, "advance", next=Stage.VERIFY)
        tell(services, tx, after, Happening.UPDATED)
    return after


def note_commit(tx: Transaction, incident: Incident, fix_id: UUID) -> Mapping[str, Any] | None:
    """The target has changed: a fix waits for its verification, older answers are not true."""
    row = tx.maybe(
        "settle_fix",
        id=fix_id,
        status=FixStatus.COMMITTED,
        reason="",
        verification=Verification.WAITING,
    )
    tx.run("forget_answers", target=incident.target)
    if row is not None:
        fix_event(tx, incident, row, FixStatus.RECORDED, FixStatus.COMMITTED)
        if row["undoes"] is not None:
            note_undo(tx, incident, row)
    return row


def rolled_back(incident: Incident, services: Services, fix_id: UUID, reason: str) -> Incident:
    """The target is as it was, and a person goes on."""
    with services.store.transaction() as tx:
        if settle(tx, incident, fix_id, FixStatus.ROLLED_BACK, reason):
            return _leave_to_person(services, tx, incident)
        return hand_over(services, tx, incident, Reason.FIX_FAILED, reason)


def tried(
    incident: Incident,
    services: Services,
    fix_id: UUID,
    made: writing.Made,
    reason: str = "dry run",
) -> Incident:
    """A dry run: what it would have changed is known, and the target is as it was."""
    with services.store.transaction() as tx:
        row = tx.maybe(
            "settle_dry_run",
            id=fix_id,
            reason=reason,
            counts=dict(made.counts),
            **shown(services, made),
        )
        if row is None:
            raise Fenced
        told = {"reason": row["reason"], "counts": row["counts"]}
        fix_event(tx, incident, row, FixStatus.STARTED, FixStatus.ROLLED_BACK, **told)
        return _leave_to_person(services, tx, incident)


def nobody_knows(incident: Incident, services: Services, fix_id: UUID, reason: str) -> Incident:
    """The target may have been changed; it is never tried again, and a person goes on."""
    with services.store.transaction() as tx:
        settle(tx, incident, fix_id, FixStatus.UNKNOWN, reason)
        end_verification(tx, incident, "it may be undone", RESPONDER)
        return hand_over(services, tx, incident, Reason.UNKNOWN, reason)


def once_more(incident: Incident, services: Services, fix_id: UUID, reason: str) -> Incident:
    """Rolled back by a mishap: decided anew once, then a person decides."""
    with services.store.transaction() as tx:
        if settle(tx, incident, fix_id, FixStatus.ROLLED_BACK, reason):
            return _leave_to_person(services, tx, incident)
        counted = tx.one("refusals", incident_id=incident.id)
        if counted["interrupted"] + counted["outrun"] > 1:
            return hand_over(services, tx, incident, Reason.FIX_FAILED, reason)
        return move(tx, incident, "advance", next=Stage.PLAN)


def decide_again(
    incident: Incident, services: Services, fix_id: UUID | None, reason: str
) -> Incident:
    """Something has come up since the decision: the plan sees it now."""
    with services.store.transaction() as tx:
        if _refused(tx, incident, fix_id, reason):
            return _leave_to_person(services, tx, incident)
        if _too_often(tx, incident):
            return hand_over(services, tx, incident, Reason.FIX_FAILED, reason)
        return move(tx, incident, "advance", next=Stage.PLAN)


def busy(incident: Incident, services: Services, fix_id: UUID | None, reason: str) -> Incident:
    """Somebody else is at work on the target: decided anew in a moment."""
    with services.store.transaction() as tx:
        if _refused(tx, incident, fix_id, reason):
            return _leave_to_person(services, tx, incident)
        if _too_often(tx, incident):
            return hand_over(services, tx, incident, Reason.FIX_FAILED, reason)
        tx.run("set_timer", id=incident.id, what="settle", due_at=tx.now + ASK_AGAIN)
        return move(tx, incident, "rest", next=Stage.PLAN)


def nothing_left(
    incident: Incident, services: Services, fix_id: UUID, reason: str, left: Sequence[str] = ()
) -> Incident:
    """There is nothing to fix any more: the incident waits for its end.

    left: the ids of the rows that an undo left as they are: all.
    """
    with services.store.transaction() as tx:
        redact = services.settings.redact
        tx.run("name_left", id=fix_id, left_rows=[redact.text(each) for each in left])
        if settle(tx, incident, fix_id, FixStatus.REFUSED, reason):
            return _leave_to_person(services, tx, incident)
        after = move(tx, incident, "advance", next=Stage.WATCH)
        tell(services, tx, after, Happening.UPDATED)
    return after


def later(
    incident: Incident, services: Services, why: str, waited: timedelta = timedelta()
) -> Incident:
    """The walk ends here; a timer comes back to this stage, less often the longer it takes."""
    with services.store.transaction() as tx:
        wait = min(max(waited / 4, ASK_AGAIN), ASK_AT_LEAST)
        tx.run("set_timer", id=incident.id, what="settle", due_at=tx.now + wait)
        after = move(tx, incident, "rest", next=Stage.FIX)
        record(tx, after, "waiting", why=why)
    return after


def hand_over(
    services: Services, tx: Transaction, incident: Incident, reason: Reason, detail: str
) -> Incident:
    """A person must go on: the decision says why, and nothing more is tried."""
    locked = lock_incident(tx, incident.id)
    facts = gather_facts(services, tx, locked, services.rule_of(incident))
    sentence = f"{SENTENCES[reason]} {detail}".rstrip()
    decision = Decision(Action.HAND_OVER, reason, sentence)
    findings = tx.one("incident", id=incident.id)["findings"]
    store_decision(services, tx, locked, decision, facts, findings)
    after = move(tx, incident, "advance", next=Stage.WATCH)
    hand_to_people(services, tx, after, decision)
    return after


def settle(
    tx: Transaction, incident: Incident, fix_id: UUID, status: FixStatus, reason: str
) -> bool:
    """What became of a fix that was not made, once; True when a person had asked for it."""
    row = tx.maybe("settle_fix", id=fix_id, status=status, reason=reason, verification=None)
    if row is None:
        return False
    fix_event(tx, incident, row, None, status, reason=reason)
    return bool(row["actor_kind"] == ActorKind.PERSON)


def fix_event(
    tx: Transaction,
    incident: Incident,
    fix: Mapping[str, Any],
    before: FixStatus | None,
    after: FixStatus,
    **details: Any,
) -> None:
    """One step of a fix in the trail of its incident, under the name of whoever makes it."""
    actor = Actor(ActorKind(fix["actor_kind"]), fix["actor"])
    record(tx, incident, "fix", actor, before=before, after=after, fix=str(fix["id"]), **details)


def _refused(tx: Transaction, incident: Incident, fix_id: UUID | None, reason: str) -> bool:
    """Note the refusal; True when a person had asked for it."""
    if fix_id is not None:
        return settle(tx, incident, fix_id, FixStatus.REFUSED, reason)
    record(tx, incident, "fix", after=FixStatus.REFUSED, reason=reason)  # there is no row of it
    return False


def _too_often(tx: Transaction, incident: Incident) -> bool:
    return bool(tx.one("refusals", incident_id=incident.id)["refused"] >= REFUSALS)


def _leave_to_person(services: Services, tx: Transaction, incident: Incident) -> Incident:
    """Back to where the incident stood: waiting for people, looked at again, or verified."""
    decision = tx.maybe("decision", id=incident.decision_id)
    if tx.maybe("resume_verification", incident_id=incident.id) is not None:
        after = move(tx, incident, "advance", next=Stage.VERIFY)
    elif decision is not None and decision["action"] == Action.WAIT:
        after = move(tx, incident, "start_again")
    else:
        after = move(tx, incident, "advance", next=Stage.WATCH)
    tell(services, tx, after, Happening.UPDATED)
    return after
