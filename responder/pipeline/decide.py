"""The stage around `plan`: gathers the facts, stores the decision, tells people or goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from responder.domain.answer import ErrorKind
from responder.domain.decision import Action, Autonomy, Decision, Facts, Reason
from responder.domain.duration import parse_duration
from responder.domain.incident import Incident, IncidentStatus, Stage
from responder.domain.notification import Happening
from responder.domain.severity import Severity
from responder.pipeline import climbing, switch
from responder.pipeline.breaker import breaker_of
from responder.pipeline.diagnose import UNASKABLE
from responder.pipeline.maintenance import asking_resumes, fixing_resumes
from responder.pipeline.notify import page, tell
from responder.pipeline.plan import plan
from responder.pipeline.promotion import ceiling_of
from responder.pipeline.services import Services, move, record
from responder.runbook.loader import LoadedRule
from responder.runbook.rule import Finding
from responder.store import Transaction
from responder.store.incidents import incident_from_row

#: Fixes of one rule in one hour.
HOURLY_LIMIT = 5
#: What wakes people at P2 too: a fix that went wrong.
_PAGING = frozenset({Reason.FIX_FAILED, Reason.NOT_VERIFIED, Reason.UNKNOWN})


def decide(incident: Incident, services: Services) -> Incident:
    """Stage: the decision is stored with its facts, then carried out or handed to people."""
    rule = services.rule_of(incident)
    with services.store.transaction() as tx:
        locked = tx.one("lock_incident", id=incident.id)
        incident = incident_from_row(locked)
        if incident.status == IncidentStatus.RESOLVED:
            return move(tx, incident, "advance", next=Stage.WATCH)
        if (rule.checksum if rule else None) != incident.rule_checksum:
            return move(tx, incident, "start_again", {"why": "the rule was edited meanwhile"})
        findings = [Finding(**plain) for plain in locked["findings"]]
        facts = gather_facts(services, tx, incident, rule)
        decision = plan(rule.options if rule else {}, findings, facts)
        store_decision(services, tx, incident, decision, facts, locked["findings"])
        if decision.action == Action.FIX:
            after = move(tx, incident, "advance", next=Stage.FIX)
        elif decision.action == Action.WAIT:
            assert decision.look_again_in is not None
            after = _wait(tx, incident, decision.look_again_in)
        else:
            after = move(tx, incident, "advance", next=Stage.WATCH)
            hand_to_people(services, tx, after, decision)
            if decision.look_again_in is not None:  # the end of a maintenance window
                due_at = tx.now + decision.look_again_in
                tx.run("set_timer", id=incident.id, what="look_again", due_at=due_at)
    return after


def gather_facts(
    services: Services, tx: Transaction, incident: Incident, rule: LoadedRule | None
) -> Facts:
    """What `plan` must know, from one look at our database."""
    notice_failover(services, tx)
    row = tx.one(
        "facts",
        id=incident.id,
        target=incident.target,
        rule=incident.rule,
        checksum=rule.checksum if rule else None,
        key=incident.key,
        opened_at=incident.opened_at,
    )
    answers = tx.all("latest_answers", id=incident.id)
    trouble = Reason(incident.trouble) if incident.trouble else None
    if row["our_failover"]:
        trouble = Reason.OUR_FAILOVER
    return Facts(
        at=tx.now,
        severity=incident.severity,
        severity_unreadable=incident.severity_unreadable,
        autonomy=_autonomy(services, incident, row["promoted"]),
        trouble=trouble,
        detail=incident.trouble_detail,
        all_answered=all(each["answer"]["status"] == "ok" for each in answers),
        looked_again=incident.looked_again,
        fix_running=row["fix_running"],
        verifying=row["verifying"],
        target_on_fire=row["target_on_fire"],
        stopped=row["stopped"],
        window=fixing_resumes(tx, incident.labels) is not None,
        unasked_until=_unasked_until(tx, incident, trouble, answers),
        breaker=breaker_of(tx, incident.key).open,
        limit_reached=row["fixes_this_hour"] >= HOURLY_LIMIT,
        cooldowns=_cooldowns(rule, row["ended"], row["undone_tables"]),
    )


def _unasked_until(
    tx: Transaction,
    incident: Incident,
    trouble: Reason | None,
    answers: Sequence[Mapping[str, Any]],
) -> datetime | None:
    kept_off = any(
        (each["answer"]["error"] or {}).get("kind") == ErrorKind.WINDOW for each in answers
    )
    return asking_resumes(tx, incident.labels) if kept_off and trouble not in UNASKABLE else None


def notice_failover(services: Services, tx: Transaction) -> None:
    """Automatic fixes go off when our database is not the server that they were allowed on."""
    if switch.notice_failover(tx):
        services.log.error("our database failed over: automatic fixes are off until a person's PUT")


def _autonomy(services: Services, incident: Incident, promoted: str | None) -> Autonomy:
    ceiling = ceiling_of(services, incident.rule or "")
    return Autonomy(promoted or Autonomy.PROPOSE).capped(ceiling)


def _cooldowns(
    rule: LoadedRule | None, ended: Mapping[str, str], undone: Mapping[str, str]
) -> dict[str, datetime]:
    """When each option's cool-down ends: after its own last fix, and after an undo in its tables.

    What a person has taken back, no other rule's option makes again at once.
    """
    cooldowns = {}
    for name, option in rule.options.items() if rule else ():
        ran = [ended[name]] if name in ended else []
        ran += [undone[table] for table in option.changes if table in undone]
        if ran:
            latest = max(map(datetime.fromisoformat, ran))
            cooldowns[name] = latest + parse_duration(option.cooldown)
    return cooldowns


def store_decision(
    services: Services,
    tx: Transaction,
    incident: Incident,
    decision: Decision,
    facts: Facts,
    findings: Sequence[Mapping[str, Any]],
) -> None:
    """The decision with all that it stands on, and its audit event."""
    incident = replace(incident, decision_id=services.new_id())
    tx.together("insert_decisions", [decision_row(incident, decision, facts, findings)])
    looked = decision.reason == Reason.LOOK_AGAIN
    tx.run("set_decision", id=incident.id, decision_id=incident.decision_id, looked=looked)
    record_decision(tx, incident, decision)


def decision_row(
    incident: Incident, decision: Decision, facts: Facts, findings: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The decision that stands, as it is stored."""
    return {
        "id": incident.decision_id,
        "incident_id": incident.id,
        "attempt": incident.attempt,
        "action": decision.action,
        "reason": decision.reason,
        "sentence": decision.sentence,
        "finding": decision.finding,
        "option": decision.option,
        "parameters": dict(decision.parameters),
        "findings": list(findings),
        "facts": facts.to_json(),
    }


def record_decision(tx: Transaction, incident: Incident, decision: Decision) -> None:
    """Its audit event."""
    record(
        tx,
        incident,
        "decision",
        after=decision.action,
        reason=decision.reason,
        option=decision.option,
        finding=decision.finding,
        decision=str(incident.decision_id),
    )


def hand_to_people(
    services: Services, tx: Transaction, incident: Incident, decision: Decision
) -> None:
    """People hear of it; at P2 they are woken when a fix failed or nobody takes it in time."""
    tell(services, tx, incident, Happening.UPDATED)
    if incident.status == IncidentStatus.RESOLVED:
        return  # it is over, or goes on under a newer one
    if incident.severity.pages:
        return  # it woke them when it was opened
    if incident.severity == Severity.P2 and decision.reason in _PAGING:
        page(services, tx, incident, tx.now, decision.reason)
    elif incident.status == IncidentStatus.OPEN:
        climbing.await_people(services, tx, incident)


def _wait(tx: Transaction, incident: Incident, duration: timedelta) -> Incident:
    """Back to diagnose, when the time comes; at once when something happened meanwhile."""
    if incident.again:
        return move(tx, incident, "start_again")
    tx.run("set_timer", id=incident.id, what="look_again", due_at=tx.now + duration)
    return move(tx, incident, "rest", next=Stage.DIAGNOSE)
