"""How an incident moves: who starts its walk, who must look again, how it ends."""

from collections.abc import Iterable, Mapping
from typing import Any

from responder.domain.actor import RESPONDER, Actor
from responder.domain.incident import Incident, ResolvedBy, Stage
from responder.domain.notification import Happening
from responder.domain.severity import Severity
from responder.pipeline import climbing
from responder.pipeline.notify import drop_untrue, tell
from responder.pipeline.review import ask_for_review
from responder.pipeline.services import Services, record
from responder.store import Transaction
from responder.store.incidents import incident_from_row
from responder.store.jobs import WALK, enqueue

#: Stages that a notice may cut short: nothing was changed on the target and nothing is verified.
FREE = (Stage.TRIAGE, Stage.DIAGNOSE, Stage.PLAN, Stage.WATCH, Stage.DONE)
#: Timers that belong to the state that a new walk or the end leaves behind.
PASSING = ("look_again", "settle", "quiet")


def enqueue_walk(tx: Transaction, incident: Incident) -> None:
    """The job that walks the incident, in the transaction that made it necessary."""
    enqueue_walks(tx, [incident])


def enqueue_walks(tx: Transaction, incidents: Iterable[Incident]) -> None:
    """The same for many."""
    by_severity: dict[Severity, list[str]] = {}
    for incident in incidents:
        by_severity.setdefault(incident.severity, []).append(str(incident.id))
    for severity, ids in by_severity.items():
        enqueue(tx, WALK, severity, *({"incident": each} for each in ids))


def nudge(tx: Transaction, incident: Incident) -> Incident:
    """Something happened: diagnose anew, now or as soon as the walk under way has ended.

    The incident must be locked by this transaction.
    """
    if incident.walking or incident.stage not in FREE:
        return incident_from_row(tx.one("set_again", id=incident.id))
    tx.run("drop_timer", id=incident.id, whats=(*PASSING, "reopen"))
    started = incident_from_row(tx.one("start_walk", id=incident.id, stage=Stage.DIAGNOSE))
    record(tx, started, "stage", before=incident.stage, after=started.stage)
    enqueue_walk(tx, started)
    return started


def resolve(
    services: Services,
    tx: Transaction,
    incident: Incident,
    by: ResolvedBy,
    actor: Actor,
    details: Mapping[str, Any] | None = None,
) -> Incident:
    """It is over for people; for the engine too, unless a walk or a verification is under way."""
    row = tx.maybe("resolve_incident", id=incident.id, resolved_by=by)
    if row is None:
        return incident
    resolved = incident_from_row(row)
    record(
        tx,
        resolved,
        "status",
        actor,
        before=incident.status,
        after=resolved.status,
        resolved_by=by,
        **(details or {}),
    )
    climbing.stop(tx, resolved)
    tell(services, tx, resolved, Happening.RESOLVED)
    if resolved.walking or resolved.stage not in FREE:
        return resolved
    return finish(services, tx, resolved)


def finish(services: Services, tx: Transaction, incident: Incident) -> Incident:
    """The end of a resolved incident for the engine; from now on it may wait for a review."""
    tx.run("drop_timer", id=incident.id, whats=PASSING)
    done = incident_from_row(tx.one("finish_incident", id=incident.id))
    told = ask_for_review(services, tx, done)
    record(tx, done, "stage", RESPONDER, before=incident.stage, after=done.stage, **told)
    return done


def reopen(
    services: Services, tx: Transaction, incident: Incident, actor: Actor, why: str
) -> Incident:
    """A resolved incident goes on: it fires again, or its cause is still there."""
    row = tx.maybe("reopen_incident", id=incident.id)
    if row is None:
        return incident
    reopened = incident_from_row(row)
    record(tx, reopened, "status", actor, before=incident.status, after=reopened.status, why=why)
    drop_untrue(tx, reopened)
    tx.run("forget_escalation", id=incident.id)
    tx.run("ask_no_review", id=incident.id)
    tell(services, tx, reopened, Happening.OPENED)
    return reopened
