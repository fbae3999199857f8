"""The steps of an escalation, when their time has come: the next level, or an end of patience."""

from datetime import datetime
from typing import Any

from responder.domain.actor import TIMER
from responder.domain.escalation import ON_CALL, Climb, Step, next_step
from responder.domain.incident import Incident, IncidentStatus
from responder.domain.notification import Happening
from responder.domain.severity import Severity
from responder.pipeline import climbing
from responder.pipeline.maintenance import paging_resumes
from responder.pipeline.notify import drop_untrue, page, tell, tell_quietly, wake
from responder.pipeline.services import Services, iso, record
from responder.pipeline.whom import about_incident, left, receivers_of, rungs
from responder.store import Transaction
from responder.store.incidents import incident_from_row

NOBODY_TOOK_IT = "nobody took it in time"


def climb(services: Services, tx: Transaction, incident: Incident) -> None:
    """Nobody has taken it: the next level is told, unless a maintenance window keeps pages off."""
    if incident.status == IncidentStatus.OPEN:
        _climb(services, tx, incident, NOBODY_TOOK_IT)


def lapse(services: Services, tx: Transaction, incident: Incident) -> None:
    """Whoever had it was not heard of: it is open again, and climbing goes on."""
    row = tx.maybe("lapse_acknowledgement", id=incident.id)
    if row is None:
        return
    after = incident_from_row(row)
    why = "nothing was heard of whoever had it: no note, no fix"
    record(tx, after, "status", TIMER, before=incident.status, after=after.status, why=why)
    drop_untrue(tx, after)
    tx.run("forget_told", id=incident.id)
    _climb(services, tx, after, why, f"{incident.acknowledged_by} had it and was not heard of.")
    tell(services, tx, after, Happening.UPDATED)


def _climb(
    services: Services, tx: Transaction, incident: Incident, why: str, before: str = ""
) -> None:
    resumes = paging_resumes(tx, incident.labels)
    state = tx.one("escalation", id=incident.id)
    if resumes is not None:
        tx.run("set_timer", id=incident.id, what="escalate", due_at=resumes)
        step, why = Step(state["level"]), "a maintenance window keeps pages off"
        _record(tx, incident, state["level"], Climb.HELD_BACK, step, why, resumes)
        return
    path = left(services, rungs(services, about_incident(incident)), state["told"])
    over = climbing.begins_again(incident, state["told"])
    step = next_step(path, state["level"], over, tx.now)
    if step.people:
        next_at = _tell(services, tx, incident, step, state["round"] + step.again, before)
    else:
        next_at = _wait(services, tx, incident, step, state, before)
    _record(tx, incident, state["level"], step.climb, step, why, next_at)


def _tell(
    services: Services, tx: Transaction, incident: Incident, step: Step, round: int, before: str
) -> datetime | None:
    """Wake them; a P3 wakes nobody, it is told."""
    receivers = receivers_of(step.people)
    if incident.severity == Severity.P3:
        tell_quietly(services, tx, incident, receivers)
    elif step.level == ON_CALL and not step.again:
        page(services, tx, incident, tx.now, NOBODY_TOOK_IT)
    else:
        wake(services, tx, incident, receivers)
    climbing.reached(tx, incident, step, round, before)
    return climbing.go_on(services, tx, incident, tx.now)


def _wait(
    services: Services, tx: Transaction, incident: Incident, step: Step, state: Any, before: str
) -> datetime | None:
    """Nobody can be told now: those who follow the incident hear of it, and when somebody can."""
    if step.wait_until is None:
        return None
    tx.run("set_timer", id=incident.id, what="escalate", due_at=step.wait_until)
    climbing.nobody(tx, incident, step, state, before)
    if not before:  # else they are told of it all together
        tell(services, tx, incident, Happening.UPDATED)
    return step.wait_until


def _record(
    tx: Transaction,
    incident: Incident,
    level: int,
    climbed: Climb,
    step: Step,
    why: str,
    next_at: datetime | None,
) -> None:
    record(
        tx,
        incident,
        "escalation",
        TIMER,
        before=f"level {level}",
        after=climbed,
        why=why,
        level=step.level,
        told=[person.name for person in step.people],
        receivers=receivers_of(step.people),
        passed_over={person.name: iso(opens) for person, opens in step.passed_over},
        next_at=iso(next_at),
    )
