"""A fix that a person asks for: what speaks against it, and the row that a walk carries out.

Who asks decides, so neither severity nor the switch, cool-downs, breakers, limits and windows stand
in the way, but for options that are only for windows. What must hold is that they know what they
decide about, and that two of them do where an option is dangerous.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from responder.domain.actor import Actor, may
from responder.domain.incident import Incident, IncidentStatus, Stage
from responder.domain.notification import Happening
from responder.pipeline import climbing
from responder.pipeline.approval import Subject, approve_first, approve_second, waiting
from responder.pipeline.decide import notice_failover
from responder.pipeline.direct import work_of
from responder.pipeline.document import NO_CLAIMS, NO_DIRECT, command_of
from responder.pipeline.fix import change_of, intend
from responder.pipeline.maintenance import NO_WINDOW, window_allows
from responder.pipeline.notify import tell
from responder.pipeline.services import Services, record
from responder.pipeline.walking import enqueue_walk, nudge
from responder.runbook.loader import LoadedRule
from responder.runbook.rule import Option
from responder.store import Refused, Transaction
from responder.store.incidents import incident_from_row, lock_incident

#: What was proposed longer ago is diagnosed anew first: the target may have changed.
PROPOSAL_HOLDS = timedelta(hours=24)
#: Stages at which an incident rests with nothing of a fix open.
_AT_REST = (Stage.DIAGNOSE, Stage.WATCH)
#: What a person compares when somebody decided anew while they were looking.
_COMPARED = ("action", "reason", "option", "sentence")


class Objection(StrEnum):
    """Why it is not begun."""

    NOT_FOUND = "not_found"
    FORBIDDEN = "forbidden"
    WRONG_PARAMETERS = "wrong_parameters"
    STALE = "stale"
    CONFLICT = "conflict"
    NOT_POSSIBLE = "not_possible"
    KEY_REUSED = "key_reused"


class NotBegun(Exception):
    """The fix was not begun and nothing was changed; `more` is for whoever asked."""

    def __init__(self, objection: Objection, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.objection, self.more = objection, more


class _Outdated(Exception):
    """What the person saw is no base for a fix any more."""


@dataclass(frozen=True)
class Asked:
    """What a person asks for; seen: the decision they looked at, None: there was none.

    key: the same request under the same key gives the same fix, for a day.
    """

    incident: UUID
    option: str
    seen: UUID | None
    parameters: Mapping[str, str] = field(default_factory=dict)
    dry_run: bool = False
    key: str | None = None

    @property
    def digest(self) -> bytes:
        """SHA-256 of all but the key."""
        seen = self.seen and str(self.seen)
        told = [str(self.incident), self.option, seen, dict(self.parameters), self.dry_run]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).digest()


class Begun(NamedTuple):
    """fix: a walk carries it out now; None: the `approval` waits for a second person.

    again: the same request gave it before.
    """

    fix: UUID | None
    approval: Mapping[str, Any] | None = None
    again: bool = False


def ask(services: Services, asked: Asked, actor: Actor, role: str) -> Begun:
    """What comes of it; a dangerous option waits for a second person. NotBegun."""
    try:
        with services.store.transaction() as tx:
            begun = _ask(services, tx, asked, actor, role)
    except Refused as refused:
        if refused.constraint != "fix_one_per_key":
            raise
        raise NotBegun(Objection.CONFLICT, "another fix of the same key is open") from None
    if isinstance(begun, _Outdated):
        detail = f"{begun}; it diagnoses anew now, so look at what it finds and ask again"
        raise NotBegun(Objection.NOT_POSSIBLE, detail)
    return begun


def _ask(
    services: Services, tx: Transaction, asked: Asked, actor: Actor, role: str
) -> Begun | _Outdated:
    try:
        return once(tx, asked, actor, lambda: _begin(services, tx, asked, actor, role))
    except _Outdated as outdated:  # before anything was written
        incident = lock_incident(tx, asked.incident)
        record(tx, incident, "decision", actor, after="outdated", why=str(outdated))
        nudge(tx, incident)
        return outdated


class Request(Protocol):
    """What somebody asks for, perhaps under a key."""

    @property
    def key(self) -> str | None: ...

    @property
    def digest(self) -> bytes: ...


def once(tx: Transaction, asked: Request, actor: Actor, begin: Callable[[], Begun]) -> Begun:
    """What is begun, or what an earlier request with this key gave."""
    known = _known(tx, asked, actor)
    if known is not None:
        return known
    begun = begin()
    if asked.key is not None:
        tx.run(
            "remember_request",
            caller=actor.name,
            key=asked.key,
            request=asked.digest,
            fix_id=begun.fix,
            approval_id=begun.approval and begun.approval["id"],
        )
    return begun


def _known(tx: Transaction, asked: Request, actor: Actor) -> Begun | None:
    """What an earlier request with this key gave; whoever asks at the same time waits here."""
    if asked.key is None:
        return None
    tx.one("lock_request", caller=actor.name, key=asked.key)
    known = tx.maybe("known_request", caller=actor.name, key=asked.key)
    if known is None:
        return None
    if known["request"] != asked.digest:
        raise NotBegun(Objection.KEY_REUSED, "another request was made with this Idempotency-Key")
    if known["fix_id"] is not None:
        return Begun(known["fix_id"], again=True)
    return Begun(None, tx.one("approval", id=known["approval_id"]), again=True)


def _begin(services: Services, tx: Transaction, asked: Asked, actor: Actor, role: str) -> Begun:
    row = tx.maybe("lock_incident", id=asked.incident)
    if row is None:
        raise NotBegun(Objection.NOT_FOUND, "there is no such incident")
    incident = incident_from_row(row)
    notice_failover(services, tx)  # what is begun from here on is not lost
    rule, option = _option(services, tx, incident, asked, role)
    _look(tx, incident, asked)
    if rule.checksum != incident.rule_checksum:
        raise _Outdated("the rule was edited since the diagnosis")
    parameters = _parameters(rule, option, incident, row["findings"], asked.parameters)
    first = None
    if option.dangerous and not asked.dry_run:
        first = _first_of_two(services, tx, incident, asked, actor)
        if first["actor"] == actor.name:  # who approves twice is still one person
            return Begun(None, first)
    fix_id = services.new_id()
    change = (
        change_of(incident, services, rule, option, parameters)
        if option.transactional
        else work_of(incident, rule, option, parameters)
    )
    attempt = incident.attempt + 1  # of the walk that is enqueued here, and of no later one
    intend(tx, incident, fix_id, rule, option, change, attempt, actor, asked.dry_run)
    if first is not None:
        approve_second(tx, incident, first, actor, fix_id)
    if incident.stage == Stage.DIAGNOSE:
        tx.run("drop_timer", id=incident.id, whats=("look_again",))
    started = incident_from_row(tx.one("start_walk", id=incident.id, stage=Stage.FIX))
    told = {} if asked.dry_run else climbing.heard_of(services, tx, incident)
    record(tx, started, "stage", actor, before=incident.stage, after=started.stage, **told)
    enqueue_walk(tx, started)
    return Begun(fix_id)


def _first_of_two(
    services: Services, tx: Transaction, incident: Incident, asked: Asked, actor: Actor
) -> Mapping[str, Any]:
    """The approval that waits for a second person: somebody else's, or their own from now on."""
    if asked.seen is None:
        detail = "it is dangerous, and there is no decision that two people could look at"
        raise NotBegun(Objection.NOT_POSSIBLE, detail)
    subject = Subject(incident.id, asked.option, asked.parameters, asked.seen)
    first = waiting(tx, subject)
    if first is None:
        first = approve_first(services, tx, incident, subject, actor)
        tell(services, tx, incident, Happening.UPDATED)
    return first


def _option(
    services: Services, tx: Transaction, incident: Incident, asked: Asked, role: str
) -> tuple[LoadedRule, Option]:
    """The option, if this caller may run it and it can be run here at all."""
    rule = services.rule_of(incident)
    option = rule.options.get(asked.option) if rule else None
    if rule is None or option is None:
        offered = ", ".join(rule.options) if rule else "nothing"
        raise NotBegun(Objection.NOT_POSSIBLE, f"no such option; the runbook offers {offered}")
    if not may(role, option.role):
        raise NotBegun(Objection.FORBIDDEN, f"this option needs the role {option.role}")
    target = services.settings.targets.get(incident.target or "")
    run = command_of(rule, option, target)
    objections = {
        NO_DIRECT: run and not option.transactional,
        f"it is a command for a person to run: {run}": run,
        "it reaches outside of its transaction, so it cannot be tried": (
            option.outside and asked.dry_run
        ),
        NO_WINDOW: option.in_window and not window_allows(tx, incident.labels),
        "the target has no fixing role": (
            option.transactional and (target is None or target.writing is None)
        ),
        NO_CLAIMS: option.claims and target is not None and not target.claims,
    }
    for objection, holds in objections.items():
        if holds:
            more = {"run": run} if run else {}
            raise NotBegun(Objection.NOT_POSSIBLE, objection, **more)
    return rule, option


def _look(tx: Transaction, incident: Incident, asked: Asked) -> None:
    """Does the person see what is, and does nothing else happen at this moment?"""
    if incident.status == IncidentStatus.RESOLVED:
        raise NotBegun(Objection.NOT_POSSIBLE, "the incident is resolved")
    if asked.seen != incident.decision_id:
        detail = "the responder has decided anew since; see the difference"
        raise NotBegun(Objection.STALE, detail, difference=_difference(tx, incident, asked.seen))
    if incident.walking or incident.stage not in _AT_REST:
        detail = f"the incident is in hand, at the stage {incident.stage}; ask again in a moment"
        raise NotBegun(Objection.CONFLICT, detail)
    other = tx.maybe("open_fix", key=incident.key)
    if other is not None:
        detail = "another fix of the same key is open"
        raise NotBegun(Objection.CONFLICT, detail, fix=str(other["id"]))
    decision = tx.maybe("decision", id=incident.decision_id)
    if decision is not None and decision["at"] <= tx.now - PROPOSAL_HOLDS:
        raise _Outdated("the proposal is older than 24 hours")


def _difference(tx: Transaction, incident: Incident, seen: UUID | None) -> dict[str, Any]:
    """Both decisions, as far as this incident knows them, and in what they differ."""
    told = []
    for decision_id in (seen, incident.decision_id):
        row = tx.maybe("decision", id=decision_id)
        ours = row is not None and row["incident_id"] == incident.id
        told.append(
            {"id": str(decision_id), **{name: row[name] for name in _COMPARED}}
            if row is not None and ours
            else None
        )
    before, now = told
    differs = [name for name in _COMPARED if (before or {}).get(name) != (now or {}).get(name)]
    return {"seen": before, "now": now, "differs": differs}


def _parameters(
    rule: LoadedRule,
    option: Option,
    incident: Incident,
    findings: Sequence[Mapping[str, Any]],
    answered: Mapping[str, str],
) -> dict[str, Any]:
    """All that the statements bind: of the alert, of the finding that offers it, of the person."""
    wrong = {
        **{name: ["the option does not ask for it"] for name in answered.keys() - option.asks},
        **{name: [asks] for name, asks in option.asks.items() if not answered.get(name)},
    }
    if wrong:
        detail = "the option asks for other parameters"
        raise NotBegun(Objection.WRONG_PARAMETERS, detail, errors={"parameters": wrong})
    offering = [finding for finding in findings if option.name in finding["offers"]]
    found = offering[0]["parameters"] if offering else {}
    parameters = {**incident.parameters, **found, **answered}
    parts = (*option.statements, f"{option.name}_after", f"{option.name}_undo")
    statements = [rule.statements[part] for part in parts if part in rule.statements]
    needed = {name for each in statements for name in each.needs()} - {"before", "after"}
    unsaid = sorted(name for name in needed if parameters.get(name) is None)
    if unsaid:
        detail = f"neither the alert nor the finding says {', '.join(unsaid)}"
        raise NotBegun(Objection.NOT_POSSIBLE, detail)
    return parameters
