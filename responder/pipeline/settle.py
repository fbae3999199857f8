"""How a fix ends, or waits: each way with its row, its audit event and the stage that follows."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from responder.domain.decision import SENTENCES, Action, Decision, Reason
from responder.domain.fix import FixStatus, Verification
from responder.domain.incident import Incident, Stage
from responder.domain.notification import Happening
from responder.pipeline.decide import gather_facts, hand_to_people, store_decision
from responder.pipeline.notify import tell
from responder.pipeline.services import Services, record
from responder.store import Transaction
from responder.store.incidents import lock_incident, step

#: How long to wait before a fate is asked for again, or a busy key is tried again.
ASK_AGAIN = timedelta(seconds=5)
#: Refusals at the gate within the hour after which a person decides.
REFUSALS = 3


def committed(incident: Incident, services: Services, fix_id: UUID) -> Incident:
    """Step 5: it is done; now the cause must be gone."""
    with services.store.transaction() as tx:
        after = step(tx, "advance", incident, next=Stage.VERIFY)
        row = tx.maybe(
            "settle_fix",
            id=fix_id,
            status=FixStatus.COMMITTED,
            reason="",
            verification=Verification.WAITING,
        )
        if row is not None:
            fix_event(tx, incident, fix_id, FixStatus.RECORDED, FixStatus.COMMITTED)
        tx.run("forget_answers", target=incident.target)
        record(tx, incident, "stage", before=incident.stage, after=after.stage)
        tell(services, tx, after, Happening.UPDATED)
    return after


def once_more(incident: Incident, services: Services, fix_id: UUID, reason: str) -> Incident | None:
    """Rolled back by a mishap: decided anew once, then a person decides."""
    settle(incident, services, fix_id, FixStatus.ROLLED_BACK, reason)
    with services.store.transaction() as tx:
        counted = tx.one("refusals", incident_id=incident.id)
    if counted["interrupted"] + counted["outrun"] > 1:
        return hand_over(incident, services, Reason.FIX_FAILED, reason)
    return _back_to_plan(incident, services)


def decide_again(
    incident: Incident, services: Services, fix_id: UUID | None, reason: str
) -> Incident | None:
    """Something has come up since the decision: the plan sees it now."""
    if fix_id is not None:
        settle(incident, services, fix_id, FixStatus.REFUSED, reason)
    with services.store.transaction() as tx:
        refused = tx.one("refusals", incident_id=incident.id)["refused"]
        if fix_id is None:  # refused before there was a row of it
            record(tx, incident, "fix", after=FixStatus.REFUSED, reason=reason)
    if refused >= REFUSALS:
        return hand_over(incident, services, Reason.FIX_FAILED, reason)
    return _back_to_plan(incident, services)


def _back_to_plan(incident: Incident, services: Services) -> Incident:
    with services.store.transaction() as tx:
        after = step(tx, "advance", incident, next=Stage.PLAN)
        record(tx, after, "stage", before=incident.stage, after=after.stage)
    return after


def nothing_left(incident: Incident, services: Services, fix_id: UUID, reason: str) -> Incident:
    """There is nothing to fix any more: the incident waits for its end."""
    settle(incident, services, fix_id, FixStatus.REFUSED, reason)
    with services.store.transaction() as tx:
        after = step(tx, "advance", incident, next=Stage.WATCH)
        record(tx, after, "stage", before=incident.stage, after=after.stage, why=reason)
        tell(services, tx, after, Happening.UPDATED)
    return after


def settle(
    incident: Incident, services: Services, fix_id: UUID, status: FixStatus, reason: str
) -> None:
    """What became of a fix that was not made; nothing when somebody else settled it already."""
    with services.store.transaction() as tx:
        row = tx.maybe("settle_fix", id=fix_id, status=status, reason=reason, verification=None)
        if row is not None:
            fix_event(tx, incident, fix_id, None, status, reason=reason)


def later(incident: Incident, services: Services, why: str) -> Incident | None:
    """The walk ends here; a timer comes back to this stage."""
    with services.store.transaction() as tx:
        tx.run("set_timer", id=incident.id, what="settle", due_at=tx.now + ASK_AGAIN)
        after = step(tx, "rest", incident, next=Stage.FIX)
        record(tx, after, "waiting", why=why)
    return None


def hand_over(incident: Incident, services: Services, reason: Reason, detail: str) -> Incident:
    """A person must go on: the decision says why, and nothing more is tried."""
    with services.store.transaction() as tx:
        locked = lock_incident(tx, incident.id)
        rule = services.rule_of(incident)
        facts = gather_facts(services, tx, locked, rule)
        sentence = f"{SENTENCES[reason]} {detail}".rstrip()
        decision = Decision(Action.HAND_OVER, reason, sentence)
        findings = tx.one("incident", id=incident.id)["findings"]
        store_decision(services, tx, locked, decision, facts, findings)
        after = step(tx, "advance", incident, next=Stage.WATCH)
        record(tx, after, "stage", before=incident.stage, after=after.stage)
        hand_to_people(services, tx, after, decision)
    return after


def fix_event(
    tx: Transaction,
    incident: Incident,
    fix_id: UUID,
    before: FixStatus | None,
    after: FixStatus,
    **details: Any,
) -> None:
    """One step of a fix in the trail of its incident."""
    record(tx, incident, "fix", before=before, after=after, fix=str(fix_id), **details)
