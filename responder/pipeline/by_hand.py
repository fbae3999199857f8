"""A fix that a person asks for: what speaks against it, and the row that a walk carries out.

Who asks decides, so neither severity nor the switch, cool-downs, breakers, limits and windows stand
in the way, but for options that are only for windows. What must hold is that they know what they
decide about.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from responder.domain.actor import Actor, may
from responder.domain.incident import Incident, IncidentStatus, Stage
from responder.pipeline import climbing
from responder.pipeline.decide import notice_failover
from responder.pipeline.document import NO_CLAIMS
from responder.pipeline.fix import change_of, intend
from responder.pipeline.maintenance import NO_WINDOW, window_allows
from responder.pipeline.services import Services, record
from responder.pipeline.walking import enqueue_walk, nudge
from responder.runbook.loader import LoadedRule
from responder.runbook.rule import Option
from responder.store import Refused, Transaction
from responder.store.incidents import incident_from_row, lock_incident

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


class _Edited(Exception):
    """The rule is not the one whose diagnosis the person saw."""


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


def ask(services: Services, asked: Asked, actor: Actor, role: str) -> tuple[UUID, bool]:
    """The fix that a walk carries out now, and whether it was asked for before. NotBegun."""
    try:
        with services.store.transaction() as tx:
            known = _known(tx, asked, actor)
            if known is not None:
                return known, True
            fix_id = _begin(services, tx, asked, actor, role)
            if asked.key is not None:
                remembered = {"key": asked.key, "request": asked.digest, "fix_id": fix_id}
                tx.run("remember_request", caller=actor.name, **remembered)
    except _Edited:
        with services.store.transaction() as tx:
            nudge(tx, lock_incident(tx, asked.incident))
        raise NotBegun(
            Objection.NOT_POSSIBLE, "the rule was edited since the diagnosis; it diagnoses anew now"
        ) from None
    except Refused as refused:
        if refused.constraint != "fix_one_per_key":
            raise
        raise NotBegun(Objection.CONFLICT, "another fix of the same key is open") from None
    return fix_id, False


def _known(tx: Transaction, asked: Asked, actor: Actor) -> UUID | None:
    """The fix of an earlier request with this key; whoever asks at the same time waits here."""
    if asked.key is None:
        return None
    tx.one("lock_request", caller=actor.name, key=asked.key)
    known = tx.maybe("known_request", caller=actor.name, key=asked.key)
    if known is None:
        return None
    if known["request"] != asked.digest:
        raise NotBegun(Objection.KEY_REUSED, "another request was made with this Idempotency-Key")
    fix_id: UUID = known["fix_id"]
    return fix_id


def _begin(services: Services, tx: Transaction, asked: Asked, actor: Actor, role: str) -> UUID:
    row = tx.maybe("lock_incident", id=asked.incident)
    if row is None:
        raise NotBegun(Objection.NOT_FOUND, "there is no such incident")
    incident = incident_from_row(row)
    notice_failover(services, tx)  # what is begun from here on is not lost
    rule, option = _option(services, tx, incident, asked, role)
    _look(tx, incident, asked)
    if rule.checksum != incident.rule_checksum:
        raise _Edited
    parameters = _parameters(rule, option, incident, row["findings"], asked.parameters)
    fix_id = services.new_id()
    change = change_of(incident, services, rule, option, parameters)
    attempt = incident.attempt + 1  # of the walk that is enqueued here, and of no later one
    intend(tx, incident, fix_id, rule, option, change, attempt, actor, asked.dry_run)
    if incident.stage == Stage.DIAGNOSE:
        tx.run("drop_timer", id=incident.id, whats=("look_again",))
    started = incident_from_row(tx.one("start_walk", id=incident.id, stage=Stage.FIX))
    told = {} if asked.dry_run else climbing.heard_of(services, tx, incident)
    record(tx, started, "stage", actor, before=incident.stage, after=started.stage, **told)
    enqueue_walk(tx, started)
    return fix_id


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
    objections = {
        f"it is a command for a person to run: {option.run}": option.run,
        "what runs outside of a transaction cannot be run from here yet": not option.transactional,
        "it is dangerous and two people must approve it, which cannot be done from here yet": (
            option.dangerous and not asked.dry_run
        ),
        "it reaches outside of its transaction, so it cannot be tried": (
            option.outside and asked.dry_run
        ),
        NO_WINDOW: option.in_window and not window_allows(tx, incident.labels),
        "the target has no fixing role": target is None or target.writing is None,
        NO_CLAIMS: option.claims and target is not None and not target.claims,
    }
    for objection, holds in objections.items():
        if holds:
            more = {"run": option.run} if option.run else {}
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
    statements = (option.name, f"{option.name}_before", f"{option.name}_verify")
    needed = {name for each in statements for name in rule.statements[each].needs()}
    unsaid = sorted(name for name in needed if parameters.get(name) is None)
    if unsaid:
        detail = f"neither the alert nor the finding says {', '.join(unsaid)}"
        raise NotBegun(Objection.NOT_POSSIBLE, detail)
    return parameters
