"""After a fix: ask for the cause until it is gone or the time is over. A timer, not a wait."""

from collections.abc import Mapping
from typing import Any

from responder.domain.actor import RESPONDER
from responder.domain.answer import AnswerStatus
from responder.domain.decision import Reason
from responder.domain.fix import Verification
from responder.domain.incident import Incident, IncidentStatus, Stage
from responder.domain.notification import Happening
from responder.pipeline.notify import page, tell
from responder.pipeline.services import Services, move, record
from responder.pipeline.settle import hand_over
from responder.pipeline.walking import reopen
from responder.runbook.rule import Option, Within
from responder.store import Transaction
from responder.store.incidents import lock_incident
from responder.targets.direct import State
from responder.targets.reading import Question, ask


def verify(incident: Incident, services: Services) -> Incident:
    """Stage: held -> watch; not yet -> a timer; time over -> handed over and reopened."""
    with services.store.transaction() as tx:
        fix = tx.maybe("verifying_fix", incident_id=incident.id)
        now = tx.now
    if fix is None:
        with services.store.transaction() as tx:
            return move(tx, incident, "advance", next=Stage.WATCH)
    option = _option(services, incident, fix["option"])
    within = option.verify if option else Within("10m")
    gone, why = _ask(services, incident, fix)
    if gone:
        return _held(incident, services, fix, option)
    if now + within.step < fix["ended_at"] + within.limit:
        with services.store.transaction() as tx:
            tx.run("set_timer", id=incident.id, what="verify", due_at=tx.now + within.step)
            after = move(tx, incident, "rest", next=Stage.VERIFY)
            record(tx, after, "verification", after=Verification.WAITING, why=why)
        return after
    outcome = Verification.FAILED if gone is False else Verification.NOT_ASKED
    return _not_held(incident, services, fix, outcome, why)


def _option(services: Services, incident: Incident, name: str) -> Option | None:
    """The option as it is loaded now, None when it is gone."""
    rule = services.rule_of(incident)
    return rule.options.get(name) if rule else None


def _ask(services: Services, incident: Incident, fix: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Whether the cause is gone, None when it could not be asked; never a shared answer."""
    part = "verify" if "verify" in fix["statements"] else "check"  # outside of a transaction
    question = Question(
        f"{fix['option']}_{part}",
        "Is the cause gone?",
        "sql",
        sql=fix["statements"][part],
        parameters=fix["parameters"],
        timeout=5.0,
    )
    with services.store.transaction() as tx:
        now = tx.now
    with services.slots.writing(fix["target"], 5.0) as got:
        if not got:
            return None, "no verifying connection became free"
        answer = ask(services.settings.targets[fix["target"]], question, now)
    if answer.status != AnswerStatus.OK or len(answer.rows) != 1:
        return None, answer.error.message if answer.error else "the verification returned no row"
    (row,) = answer.rows
    gone = row.get("gone") is True or row.get("state") == State.DONE
    return gone, "" if gone else "the cause is still there"


def _held(
    incident: Incident, services: Services, fix: Mapping[str, Any], option: Option | None
) -> Incident:
    """It is watched; after one batch of many it is looked for the next one."""
    with services.store.transaction() as tx:
        _verified(tx, incident, fix, Verification.HELD, "the cause is gone")
        if option is not None and option.batch:
            after = move(tx, incident, "start_again", {"why": "there may be another batch"})
        else:
            after = move(tx, incident, "advance", next=Stage.WATCH)
        tell(services, tx, after, Happening.UPDATED)
    return after


def _not_held(
    incident: Incident,
    services: Services,
    fix: Mapping[str, Any],
    outcome: Verification,
    why: str,
) -> Incident:
    with services.store.transaction() as tx:
        _verified(tx, incident, fix, outcome, why)
        locked = lock_incident(tx, incident.id)
        if locked.status == IncidentStatus.RESOLVED:
            reopened = reopen(services, tx, locked, RESPONDER, "the fix did not hold")
            if reopened.severity.pages and reopened.status == IncidentStatus.OPEN:
                page(services, tx, reopened, tx.now, "the fix did not hold")
        return hand_over(services, tx, incident, Reason.NOT_VERIFIED, why)


def _verified(
    tx: Transaction, incident: Incident, fix: Mapping[str, Any], outcome: Verification, why: str
) -> None:
    tx.run("verify_fix", id=fix["id"], verification=outcome)
    record(
        tx,
        incident,
        "verification",
        before=Verification.WAITING,
        after=outcome,
        fix=str(fix["id"]),
        why=why,
    )
