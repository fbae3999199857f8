"""The fix protocol (DESIGN 7): intent, change, last gate, commit, record. At most once.

Between any two steps everything may be killed; `recover` says what a row left behind means.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from responder.domain.actor import RESPONDER, ActorKind
from responder.domain.decision import SENTENCES, Action, Decision, Reason
from responder.domain.fix import FixStatus, Verification
from responder.domain.incident import Incident, Stage
from responder.domain.notification import Happening
from responder.domain.severity import Severity
from responder.pipeline.decide import (
    HOURLY_LIMIT,
    gather_facts,
    hand_to_people,
    notice_failover,
    store_decision,
)
from responder.pipeline.notify import tell
from responder.pipeline.services import Services, record
from responder.runbook.loader import LoadedRule
from responder.runbook.rule import Option
from responder.store import Refused, Transaction
from responder.store.incidents import lock_incident, step
from responder.targets import writing

#: After this time no transaction of a fix is open on the target: its timeouts have ended it.
OVER = timedelta(seconds=20)
#: How long to wait before a fate is asked for again, or a busy key is tried again.
ASK_AGAIN = timedelta(seconds=5)
#: Refusals at the gate within the hour after which a person decides.
REFUSALS = 3


class _AtTheGate(Exception):
    """Something has come up since the decision; the change is rolled back."""


def fix(incident: Incident, services: Services) -> Incident | None:
    """Stage: carry out the decided option, or settle what an earlier walk left behind."""
    with services.store.transaction() as tx:
        left = tx.maybe("unsettled_fix", incident_id=incident.id)
    if left is not None:
        return recover(incident, services, left)
    rule = services.rule_of(incident)
    with services.store.transaction() as tx:
        decision = tx.one("decision", id=incident.decision_id)
    option = rule.options.get(decision["option"]) if rule else None
    if rule is None or option is None:
        return hand_over(incident, services, Reason.FIX_FAILED, "the rule's option is gone")
    with services.slots.writing(incident.target or "", 5.0) as got:
        if not got:
            return _later(incident, services, "no fixing connection became free")
        return _carry_out(incident, services, rule, option, decision["parameters"])


def _carry_out(
    incident: Incident,
    services: Services,
    rule: LoadedRule,
    option: Option,
    parameters: Mapping[str, Any],
) -> Incident | None:
    change = _change(incident, rule, option, parameters)
    try:
        fix_id = _start(incident, services, rule, option, change)
    except (Refused, _AtTheGate) as refused:
        return _decide_again(incident, services, None, str(refused))
    target = services.settings.targets[incident.target or ""]
    try:
        with writing.make(target, fix_id, permit_of(services), change) as opened:
            _record(incident, services, fix_id, opened.made)
            opened.commit()
    except (Refused, _AtTheGate, writing.NotPermitted) as refused:
        return _decide_again(incident, services, fix_id, str(refused))
    except writing.CommitLost:
        return _later(incident, services, "the target did not answer the commit")
    except writing.AlreadyGone as gone:
        return _settled(incident, services, fix_id, FixStatus.REFUSED, str(gone))
    except writing.Busy as busy:
        _settle(incident, services, fix_id, FixStatus.REFUSED, str(busy))
        return _later(incident, services, str(busy))
    except writing.Outrun as outrun:
        return _once_more(incident, services, fix_id, f"outrun: {outrun}")
    except writing.RolledBack as failed:
        _settle(incident, services, fix_id, FixStatus.ROLLED_BACK, str(failed))
        return hand_over(incident, services, Reason.FIX_FAILED, str(failed))
    return committed(incident, services, fix_id)


def _change(
    incident: Incident, rule: LoadedRule, option: Option, parameters: Mapping[str, Any]
) -> writing.Change:
    return writing.Change(
        key=incident.key,
        apply=rule.statements[option.name],
        before=rule.statements[f"{option.name}_before"],
        verify=rule.statements[f"{option.name}_verify"],
        parameters={**incident.parameters, **parameters},
        tables=tuple(option.changes),
        max_rows=option.max_rows,
    )


def _start(
    incident: Incident,
    services: Services,
    rule: LoadedRule,
    option: Option,
    change: writing.Change,
) -> UUID:
    """Step 1. Refused: the CHECK or the one-per-key index; _AtTheGate: the hourly limit."""
    fix_id = services.new_id()
    with services.store.transaction() as tx:
        tx.run("lock_rule", rule=rule.name)
        if tx.one("fixes_this_hour", rule=rule.name)["fixes"] >= HOURLY_LIMIT:
            raise _AtTheGate(SENTENCES[Reason.LIMIT])
        step(tx, "advance", incident, next=Stage.FIX)
        tx.run(
            "insert_fix",
            id=fix_id,
            incident_id=incident.id,
            rule_checksum=rule.checksum,
            option=option.name,
            parameters=dict(change.parameters),
            actor_kind=RESPONDER.kind,
            actor=RESPONDER.name,
            statements={
                "before": change.before.sql,
                "apply": change.apply.sql,
                "verify": change.verify.sql,
            },
        )
        record(tx, incident, "fix", after=FixStatus.STARTED, fix=str(fix_id), option=option.name)
    return fix_id


def permit_of(services: Services) -> Callable[[UUID], writing.Permit | None]:
    """What `writing.make` asks before it opens a session: the committed row of that very fix."""

    def permit(fix_id: UUID) -> writing.Permit | None:
        with services.store.transaction() as tx:
            row = tx.maybe("permit", id=fix_id)
        return (
            None
            if row is None
            else writing.Permit(Severity(row["severity"]), ActorKind(row["actor_kind"]))
        )

    return permit


def _record(incident: Incident, services: Services, fix_id: UUID, made: writing.Made) -> None:
    """Step 3, the last gate; this commit is the decision."""
    with services.store.transaction() as tx:
        tx.run("lock_target", target=incident.target)
        notice_failover(services, tx)
        gate = tx.one("gate", id=fix_id)
        objections = {
            "the walk was taken over by another worker": not gate["fenced"],
            SENTENCES[Reason.STOPPED]: not gate["enabled"],
            "the incident is resolved": gate["incident_status"] == "resolved",
            SENTENCES[Reason.TARGET_ON_FIRE]: gate["target_on_fire"],
            "an alert that may be a P0 or P1 is waiting for triage": gate["page_untriaged"],
        }
        for objection, holds in objections.items():
            if holds:
                raise _AtTheGate(objection)
        row = tx.maybe(
            "record_fix",
            id=fix_id,
            xid=made.xid,
            system_identifier=made.system_identifier,
            timeline=made.timeline,
            counts=dict(made.counts),
            before_rows=list(made.before),
            after_rows=list(made.after),
        )
        if row is None:
            raise _AtTheGate("the walk was taken over by another worker")
        _event(tx, incident, fix_id, FixStatus.STARTED, FixStatus.RECORDED, counts=made.counts)


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
            _event(tx, incident, fix_id, FixStatus.RECORDED, FixStatus.COMMITTED)
        tx.run("forget_answers", target=incident.target)
        record(tx, incident, "stage", before=incident.stage, after=after.stage)
        tell(services, tx, after, Happening.UPDATED)
    return after


def recover(incident: Incident, services: Services, left: Mapping[str, Any]) -> Incident | None:
    """What a fix row means that an earlier walk left behind."""
    with services.store.transaction() as tx:
        now = tx.now
    if left["status"] == FixStatus.STARTED:
        if now < left["started_at"] + OVER:
            return _later(incident, services, "a fix was interrupted; its transaction must end")
        return _once_more(incident, services, left["id"], "interrupted before it was decided")
    target = services.settings.targets[left["target"]]
    made = writing.Made(left["xid"], left["system_identifier"], left["timeline"])
    try:
        fate = writing.fate(target, made)
    except writing.NotAsked as error:
        return _later(incident, services, str(error))
    if fate == writing.Fate.IN_PROGRESS:
        return _later(incident, services, "the fix's transaction is still open on the target")
    if fate == writing.Fate.COMMITTED:
        return committed(incident, services, left["id"])
    if fate == writing.Fate.ABORTED:
        return _once_more(incident, services, left["id"], "interrupted before it was committed")
    detail = "the target cannot say what became of the fix"
    _settle(incident, services, left["id"], FixStatus.UNKNOWN, detail)
    return hand_over(incident, services, Reason.UNKNOWN, detail)


def abandon(services: Services, incident: Incident) -> Reason | None:
    """Settle an open fix without asking anybody: undecided is rolled back, decided is unknown."""
    with services.store.transaction() as tx:
        left = tx.maybe("unsettled_fix", incident_id=incident.id)
        fix = tx.maybe("verifying_fix", incident_id=incident.id)
        if fix is not None:
            tx.run("verify_fix", id=fix["id"], verification=Verification.NOT_ASKED)
            return Reason.NOT_VERIFIED
    if left is None:
        return None
    decided = left["status"] == FixStatus.RECORDED
    status = FixStatus.UNKNOWN if decided else FixStatus.ROLLED_BACK
    _settle(incident, services, left["id"], status, "interrupted: handling it failed three times")
    return Reason.UNKNOWN if decided else None


def _once_more(
    incident: Incident, services: Services, fix_id: UUID, reason: str
) -> Incident | None:
    """Rolled back by a mishap: decided anew once, then a person decides."""
    _settle(incident, services, fix_id, FixStatus.ROLLED_BACK, reason)
    with services.store.transaction() as tx:
        counted = tx.one("refusals", incident_id=incident.id)
    if counted["interrupted"] + counted["outrun"] > 1:
        return hand_over(incident, services, Reason.FIX_FAILED, reason)
    return _back_to_plan(incident, services)


def _decide_again(
    incident: Incident, services: Services, fix_id: UUID | None, reason: str
) -> Incident | None:
    """Something has come up since the decision: the plan sees it now."""
    if fix_id is not None:
        _settle(incident, services, fix_id, FixStatus.REFUSED, reason)
    with services.store.transaction() as tx:
        refused = tx.one("refusals", incident_id=incident.id)["refused"]
        record(tx, incident, "fix", after=FixStatus.REFUSED, reason=reason)
    if refused >= REFUSALS:
        return hand_over(incident, services, Reason.FIX_FAILED, reason)
    return _back_to_plan(incident, services)


def _back_to_plan(incident: Incident, services: Services) -> Incident:
    with services.store.transaction() as tx:
        after = step(tx, "advance", incident, next=Stage.PLAN)
        record(tx, after, "stage", before=incident.stage, after=after.stage)
    return after


def _settled(
    incident: Incident, services: Services, fix_id: UUID, status: FixStatus, reason: str
) -> Incident:
    """Nothing to fix any more: the incident waits for its end."""
    _settle(incident, services, fix_id, status, reason)
    with services.store.transaction() as tx:
        after = step(tx, "advance", incident, next=Stage.WATCH)
        record(tx, after, "stage", before=incident.stage, after=after.stage, why=reason)
        tell(services, tx, after, Happening.UPDATED)
    return after


def _settle(
    incident: Incident, services: Services, fix_id: UUID, status: FixStatus, reason: str
) -> None:
    with services.store.transaction() as tx:
        row = tx.maybe("settle_fix", id=fix_id, status=status, reason=reason, verification=None)
        if row is not None:
            _event(tx, incident, fix_id, None, status, reason=reason)


def _later(incident: Incident, services: Services, why: str) -> Incident | None:
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


def _event(
    tx: Transaction,
    incident: Incident,
    fix_id: UUID,
    before: FixStatus | None,
    after: FixStatus,
    **details: Any,
) -> None:
    record(tx, incident, "fix", before=before, after=after, fix=str(fix_id), **details)
