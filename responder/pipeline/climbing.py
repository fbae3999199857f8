"""The state of an escalation: where it stands, when its next step is due, who holds it up.

Its timers are `escalate`, the next step, and `acknowledged`, the end of an acknowledgement.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from responder.domain.escalation import (
    ON_CALL,
    PATIENCE,
    RESPONDER_LEVEL,
    Person,
    Step,
    anybody_ahead,
)
from responder.domain.incident import Incident, IncidentStatus
from responder.domain.severity import Severity
from responder.pipeline.services import Services, iso
from responder.pipeline.whom import about_incident, is_from_pagerduty, left, receivers_of, rungs
from responder.store import Transaction

TIMERS = ("escalate", "acknowledged")


def begin(
    services: Services,
    tx: Transaction,
    incident: Incident,
    people: Sequence[Person],
    due_at: datetime,
) -> datetime | None:
    """On-call is woken at that time; returns when the next level is told, if any.

    Without anybody on call the next level is told at that time.
    """
    state = tx.one("escalation", id=incident.id)
    woken = bool(people) or is_from_pagerduty(services, incident.source)
    step = Step(ON_CALL if woken else RESPONDER_LEVEL, tuple(people))
    if state["level"] > step.level:  # a severity that rises later
        _note(tx, incident, {**state, "told": receivers_of(people)})
    else:
        reached(tx, incident, step, state["round"])
    if incident.status == IncidentStatus.ACKNOWLEDGED:
        return taken(services, tx, incident)
    return go_on(services, tx, incident, due_at, at_once=not woken)


def await_people(services: Services, tx: Transaction, incident: Incident) -> None:
    """It was handed over without waking anybody; whoever takes it in time lets all others sleep."""
    due_at = attention_due(services, tx, incident)
    if due_at and tx.one("escalation", id=incident.id)["level"] < ON_CALL:
        tx.run("set_timer_soonest", id=incident.id, what="escalate", due_at=due_at)


def attention_due(services: Services, tx: Transaction, incident: Incident) -> datetime | None:
    """Until when somebody must take what is handed over now; None where nobody would be told."""
    path = rungs(services, about_incident(incident))
    return _patience_ends(services, incident, tx.now) if path else None


def reached(tx: Transaction, incident: Incident, step: Step, round: int, before: str = "") -> None:
    """Note who was told at which level, and what people read of it."""
    state = {
        "level": step.level,
        "round": round,
        "told": receivers_of(step.people),
        "contacts": [person.name for person in step.people],
    }
    _note(tx, incident, {**state, "sentence": _sentence(step, round, before)})


def nobody(
    tx: Transaction, incident: Incident, step: Step, state: Mapping[str, Any], before: str
) -> None:
    """Note that nobody can be told now; who was told last stays."""
    _note(tx, incident, {**state, "sentence": _sentence(step, state["round"], before)})


def go_on(
    services: Services, tx: Transaction, incident: Incident, start: datetime, at_once: bool = False
) -> datetime | None:
    """Set the timer of the next step, if there is anybody left to be told."""
    state = tx.one("escalation", id=incident.id)
    path = left(services, rungs(services, about_incident(incident)), state["told"])
    if not anybody_ahead(path, state["level"], begins_again(incident, state["told"])):
        tx.run("drop_timer", id=incident.id, whats=("escalate",))
        return None
    due_at = start if at_once else _patience_ends(services, incident, start)
    tx.run("set_timer", id=incident.id, what="escalate", due_at=due_at)
    return due_at


def begins_again(incident: Incident, told: Sequence[str]) -> bool:
    """Behind the last level: a P0 always, the others when nobody has it any more."""
    return incident.severity == Severity.P0 or not told


def taken(services: Services, tx: Transaction, incident: Incident) -> datetime | None:
    """Somebody has it; returns until when that is believed."""
    tx.run("drop_timer", id=incident.id, whats=TIMERS)
    lasts = services.settings.ack_for.of(incident.severity)
    if lasts is None:
        return None
    tx.run("set_timer", id=incident.id, what="acknowledged", due_at=tx.now + lasts)
    return tx.now + lasts


def heard_of(services: Services, tx: Transaction, incident: Incident) -> dict[str, str | None]:
    """An acknowledgement holds, or holds anew after a note or a fix; for its audit event: how long.

    Nothing where nobody has the incident.
    """
    if incident.status != IncidentStatus.ACKNOWLEDGED:
        return {}
    until = taken(services, tx, incident)
    return {"acknowledged_until": iso(until)} if until else {}


def fixed(services: Services, tx: Transaction, incident: Incident) -> None:
    """A fix was made: nobody is woken while it is verified; at P0 and P1 a person is at work."""
    lasts = services.settings.ack_for.of(incident.severity)
    if lasts is None:
        stop(tx, incident)
        return
    for what in TIMERS:
        tx.run("put_off_timer", id=incident.id, what=what, due_at=tx.now + lasts)


def stop(tx: Transaction, incident: Incident) -> None:
    """Nobody is told any more."""
    tx.run("drop_timer", id=incident.id, whats=TIMERS)


def _note(tx: Transaction, incident: Incident, state: Mapping[str, Any]) -> None:
    """`told` is added to what stands there."""
    listed = {name: tuple(state[name]) for name in ("told", "contacts")}
    plain = {name: state[name] for name in ("level", "round", "sentence")}
    tx.run("note_climb", id=incident.id, **listed, **plain)


def _patience_ends(services: Services, incident: Incident, start: datetime) -> datetime:
    patience = PATIENCE.get(incident.severity)
    return start + patience if patience else services.settings.business_hours.next_day(start)


def _sentence(step: Step, round: int, before: str) -> str:
    """What people read: who was told at which level, and who could not be."""
    names = ", ".join(person.name for person in step.people)
    told = [before, f"Level {step.level}: {names}." if names else ""]
    if step.again:
        told.append(f"Nobody took it so far, so the path begins again ({round}).")
    if not names and step.passed_over:
        told.append("Nobody is available at the next level.")
    told += [
        f"{person.name} is not available before {opens:%Y-%m-%d %H:%M} UTC."
        for person, opens in step.passed_over
    ]
    return " ".join(filter(None, told))
