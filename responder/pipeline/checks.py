"""Scheduled checks: a rule with a cron is asked without an alert, and raises its own if need be.

When each is due is a row. Whoever leases it asks, and tells in the transaction that plans the next
time; then what was found goes the way of every alert, as a delivery of the source `responder`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from responder.domain.actor import Actor, ActorKind
from responder.domain.alert import OWN_SOURCE, Alert, AlertStatus, fingerprint
from responder.domain.answer import Error, ErrorKind
from responder.domain.settings import Source, Target
from responder.pipeline.accept import Read, keep, most_severe
from responder.pipeline.diagnose import Asked, ask_all, conclude
from responder.pipeline.maintenance import asking_resumes
from responder.pipeline.services import Services
from responder.runbook.loader import LoadedRule
from responder.runbook.module import RuleFailed
from responder.runbook.rule import Case, Finding
from responder.runbook.schedule import next_due, plain_value
from responder.sources import Request
from responder.store import Transaction

#: How soon a check comes again whose process died; no asking takes so long.
LEASE = timedelta(minutes=1)
#: A target that does not answer is asked again so soon; people hear of it when it was so often.
AGAIN = timedelta(minutes=5)
TRIES = 3
_SOURCE = Source(OWN_SOURCE, OWN_SOURCE)
_ACTOR = Actor(ActorKind.SYSTEM, "schedule")
#: What no alert told us, and what therefore was not asked either, is no failure of the asking.
_UNTOLD = (ErrorKind.PARAMETER, ErrorKind.BEHIND)


class Outcome(StrEnum):
    """What a check came to; all but the second are told to people."""

    FOUND = "found"
    NOTHING_FOUND = "nothing_found"
    NOT_ASKED = "not_asked"
    RULE_FAILED = "rule_failed"


@dataclass(frozen=True)
class _Check:
    """A rule that is to be asked of a target by its schedule."""

    rule: LoadedRule
    target: Target

    @property
    def row(self) -> dict[str, str]:
        cron = " ".join(self.rule.rule.schedule.split())
        return {"rule": self.rule.name, "target": self.target.name, "cron": cron}

    @property
    def labels(self) -> dict[str, str]:
        """What the rule answers, and what the target matches as far as it is a plain value."""
        answered = {each.name: plain_value(each) or "" for each in self.rule.matchers}
        matched = {each.name: each.value for each in self.target.matches if each.operator == "="}
        return {**matched, **answered, "target": self.target.name}

    def next(self, after: datetime) -> datetime:
        return next_due(self.row["cron"], after)

    def alert(self, status: AlertStatus, outcome: Outcome, at: datetime) -> Alert:
        """Our own alert, as triage takes it."""
        title = self.rule.summary.rstrip(".")
        if outcome in (Outcome.NOT_ASKED, Outcome.RULE_FAILED):
            title = f"A scheduled check could not be made: {title}"
        return Alert(
            source=OWN_SOURCE,
            fingerprint=fingerprint(self.labels),
            status=status,
            name=self.labels.get("alertname", self.rule.name),
            title=title,
            service=self.target.name,
            labels=self.labels,
            starts_at=at if status == AlertStatus.FIRING else None,
            ends_at=at if status == AlertStatus.RESOLVED else None,
        )


def run_checks(services: Services) -> None:
    """Make the checks that are due, one after the other; each once over all processes."""
    for check in _due(services):
        with services.store.transaction() as tx:
            leased = tx.maybe("lease_check", **check.row, lease=LEASE)
        if leased is not None:
            _make(services, check, leased)


def _due(services: Services) -> list[_Check]:
    """What is due and not kept off its target; what is new is planned."""
    checks = [
        _Check(rule, target)
        for rule in services.catalogue.rules.values()
        if rule.rule.schedule
        for target in services.settings.targets.values()
        if target.kind == rule.rule.target
    ]
    if not checks:
        return []
    with services.store.transaction() as tx:
        planned = {(row["rule"], row["target"], row["cron"]) for row in tx.all("schedules")}
        for check in checks:
            if tuple(check.row.values()) not in planned:
                tx.run("plan_check", **check.row, due_at=check.next(tx.now))
        due = {tuple(row.values()) for row in tx.all("due_checks")}
        return [
            check
            for check in checks
            if tuple(check.row.values()) in due and asking_resumes(tx, check.labels) is None
        ]


def _make(services: Services, check: _Check, leased: Mapping[str, Any]) -> None:
    """Ask, then tell and plan the next time; the times that an outage took are one."""
    with services.store.transaction() as tx:
        alert = check.alert(AlertStatus.FIRING, Outcome.FOUND, tx.now)
    parameters = services.catalogue.identify(alert).parameters
    asked = ask_all(services, check.rule, check.target, parameters, check.rule.severity.pages)
    answers = {each.question.name: each.answer for each in asked}
    with services.store.transaction() as tx:
        case = Case(alert, parameters, tx.now, answers)
    outcome, findings, why = _conclude(check.rule, case, asked)
    tries = leased["tries"] + 1 if outcome == Outcome.NOT_ASKED else 0
    again = 0 < tries < TRIES
    with services.store.transaction() as tx:
        due_at = tx.now + AGAIN if again else check.next(tx.now)
        plan = {"leased": leased["due_at"], "next": due_at, "tries": tries % TRIES}
        if not tx.run("take_check", **check.row, **plan):
            return  # it took so long that somebody else has made it
        tx.record(
            "check",
            _ACTOR,
            f"rule {check.rule.name}",
            after=outcome,
            target=check.target.name,
            findings=[finding.name for finding in findings],
            why=why,
            next=due_at.isoformat(),
            delivery=None if again else _tell(services, tx, check, outcome),
        )
    services.log.info("checked", outcome=outcome, **check.row)


def _conclude(
    rule: LoadedRule, case: Case, asked: Sequence[Asked]
) -> tuple[Outcome, Sequence[Finding], str]:
    """What it came to, what was found, and why nothing could be said."""
    try:
        findings = conclude(rule, case)
    except RuleFailed as failed:
        return Outcome.RULE_FAILED, (), str(failed)
    if findings:
        return Outcome.FOUND, findings, ""
    unasked = [error.message for error in _unanswered(asked) if error.kind not in _UNTOLD]
    return (Outcome.NOT_ASKED, (), unasked[0]) if unasked else (Outcome.NOTHING_FOUND, (), "")


def _unanswered(asked: Sequence[Asked]) -> Iterator[Error]:
    """An endpoint or a port that does not answer is an answer to its question."""
    for each in asked:
        if each.answer.error and each.question.kind == "sql":
            yield each.answer.error


def _tell(services: Services, tx: Transaction, check: _Check, outcome: Outcome) -> str | None:
    """Deliver our alert: firing, or its end if it was; the id of the delivery."""
    status = AlertStatus.FIRING
    if outcome == Outcome.NOTHING_FOUND:
        known = {"source": OWN_SOURCE, "fingerprint": fingerprint(check.labels)}
        row = tx.maybe("condition_firing", **known)
        if row is None or not row["firing"]:
            return None
        status = AlertStatus.RESOLVED
    alert = check.alert(status, outcome, tx.now)
    body = json.dumps({**check.row, "outcome": outcome, "status": status}).encode()
    severity, pages = most_severe(services, [alert], tx.now)
    read = Read(_SOURCE, Request({}, body, tx.now), body, None, [alert])
    return str(keep(services, tx, read, severity, pages).delivery)
