"""Ask the target what the rule wants to know, all at once, within a budget; then it concludes.

A question that several incidents ask is asked once in 30 s; whoever claims it asks for all.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from responder.domain.alert import Alert, alert_from_json
from responder.domain.answer import (
    Answer,
    AnswerStatus,
    Error,
    ErrorKind,
    answer_from_json,
)
from responder.domain.decision import Reason
from responder.domain.duration import parse_duration
from responder.domain.incident import Incident, Stage
from responder.domain.settings import Target
from responder.pipeline.maintenance import asking_resumes
from responder.pipeline.services import Services, move
from responder.runbook.loader import LoadedRule
from responder.runbook.module import RuleFailed
from responder.runbook.rule import Case, Diagnostic, Finding, Http, Sql
from responder.targets.reading import Question, ask

#: A diagnosis takes no longer than this, whatever its questions do.
BUDGET = 10.0
#: Walks whose target is slow come again so soon, and so far from each other.
PUT_OFF = timedelta(seconds=1)
APART = timedelta(milliseconds=100)
#: Threads that ask for one incident; the slots of the target are the real limit.
_ASKERS = 4
_POLL = 0.03
#: Rows of a finding, and values within them, lie no deeper in each other: others read them, too.
_DEEPEST = 32
#: How long a P0 or P1 waits for somebody else's asking before it asks for itself.
URGENT_PATIENCE = 0.5
#: Reasons for which nothing can be asked.
UNASKABLE = frozenset({Reason.NO_RULE, Reason.NO_TARGET, Reason.AMBIGUOUS_TARGET})


@dataclass(frozen=True)
class Asked:
    """A question, and what came back."""

    question: Question
    answer: Answer


def diagnose(incident: Incident, services: Services) -> Incident:
    """Stage: answers and findings are stored, then the plan; a page that waited leaves now."""
    rule = services.rule_of(incident)
    asked: list[Asked] = []
    findings: list[Finding] = []
    trouble, detail = incident.trouble or "", incident.trouble_detail
    if rule is None and incident.rule is not None:
        trouble, detail = Reason.NO_RULE, f"The rule {incident.rule} is no longer loaded."
    elif rule is not None and trouble == Reason.NO_RULE:  # it was gone, and is back
        trouble, detail = "", ""
    askable = rule is not None and trouble not in UNASKABLE
    if rule is not None and askable:
        asked = _kept_off(services, incident, rule)
    if rule is not None and askable and not asked:
        assert incident.target is not None
        target = services.settings.targets[incident.target]
        urgent = incident.severity.pages
        with services.turns.at(target.name, urgent) as got:
            if not got:
                return _put_off(services, incident)
            asked = ask_all(services, rule, target, incident.parameters, urgent)
        try:
            findings = conclude(rule, _case(services, incident, asked))
            findings += _of_missing_indexes(asked)
        except RuleFailed as failed:
            if trouble != Reason.PARAMETER_MISSING:  # a rule may well fail without it
                trouble, detail = Reason.RULE_FAILED, str(failed)
        else:
            trouble = "" if trouble == Reason.RULE_FAILED else trouble
    with services.store.transaction() as tx:
        told = {
            "findings": [finding.name for finding in findings],
            "answers": {each.question.name: each.answer.status for each in asked},
            "trouble": trouble,
        }
        after = move(tx, incident, "advance", told, next=Stage.PLAN)
        tx.run(
            "set_findings",
            id=incident.id,
            attempt=incident.attempt,
            findings=[asdict(finding) for finding in findings],
            rule_checksum=rule.checksum if rule else None,
            trouble=trouble,
            trouble_detail=detail,
        )
        tx.many("insert_answer", _answer_rows(incident, asked))
        tx.run("hasten_pages", incident_id=incident.id)
    return replace(after, trouble=trouble or None, trouble_detail=detail)


def _put_off(services: Services, incident: Incident) -> Incident:
    """Its target is slow, and enough walks are asking it: it comes again behind those that wait."""
    with services.store.transaction() as tx:
        waiting = tx.one("put_off_walks", target=incident.target)["walks"]
        due_at = tx.now + PUT_OFF + waiting * APART
        tx.run("set_timer", id=incident.id, what="look_again", due_at=due_at)
        after = move(tx, incident, "rest", next=Stage.DIAGNOSE)
    services.log.info("put off: its target is slow", target=incident.target, waiting=waiting)
    return after


def _of_missing_indexes(asked: Sequence[Asked]) -> list[Finding]:
    """The questions that were spared a large table without the index that they need."""
    return [
        Finding(
            f"index_missing_{each.question.name}",
            f"Not asked, since {each.answer.error.message}: {each.question.text}",
        )
        for each in asked
        if each.answer.error and each.answer.error.kind == ErrorKind.NO_INDEX
    ]


def conclude(rule: LoadedRule, case: Case) -> list[Finding]:
    """The rule's findings on these answers; RuleFailed whatever goes wrong in it."""
    try:
        return [_sound(rule, finding) for finding in rule.rule.conclude(case)]
    except RuleFailed:
        raise
    except Exception as error:  # a rule is somebody's code; the incident must reach a person
        raise RuleFailed(f"{type(error).__name__}: {error}") from error


def _sound(rule: LoadedRule, finding: object) -> Finding:
    """The finding, if the plan can read it and our database can keep it."""
    if not isinstance(finding, Finding):
        raise TypeError(f"conclude() yielded {type(finding).__name__}, not a Finding")
    unknown = set(finding.offers) - set(rule.options)
    if unknown:
        raise ValueError(f"{finding.name} offers {', '.join(sorted(unknown))}: no such option")
    if finding.look_again:
        parse_duration(finding.look_again)
    plain = asdict(finding)
    if _depth(plain) > _DEEPEST:
        raise ValueError(f"{finding.name} is nested too deeply")
    written = json.dumps(plain, allow_nan=False, ensure_ascii=False)
    if b"\\u0000" in written.encode():
        raise ValueError(f"{finding.name} holds a NUL character")
    return finding


def _depth(value: object) -> int:
    """How many lists and objects lie in each other."""
    if not isinstance(value, Mapping | list | tuple):
        return 0
    parts = value.values() if isinstance(value, Mapping) else value
    return 1 + max(map(_depth, parts), default=0)


def _case(services: Services, incident: Incident, asked: Sequence[Asked]) -> Case:
    with services.store.transaction() as tx:
        alerts = tx.all("incident_alerts", id=incident.id)
        at = tx.now
    return Case(
        alert=_latest(alerts),
        parameters={name: str(value) for name, value in incident.parameters.items()},
        at=at,
        answers={each.question.name: each.answer for each in asked},
    )


def _latest(rows: Sequence[Mapping[str, Any]]) -> Alert:
    return alert_from_json(rows[0]["notice"])


def _answer_rows(incident: Incident, asked: Sequence[Asked]) -> list[dict[str, Any]]:
    return [
        {
            "incident_id": incident.id,
            "attempt": incident.attempt,
            "position": position,
            "name": each.question.name,
            "question": each.question.text,
            "target": incident.target,
            "sql": each.question.sql or f"{each.question.method} {each.question.path}".strip(),
            "parameters": dict(each.question.parameters),
            "status": each.answer.status,
            "answer": each.answer.to_json(),
        }
        for position, each in enumerate(asked)
    ]


def ask_all(
    services: Services,
    rule: LoadedRule,
    target: Target,
    parameters: Mapping[str, Any],
    urgent: bool,
) -> list[Asked]:
    """Every question of the rule, concurrently; one behind a failed question is skipped."""
    deadline = time.monotonic() + BUDGET
    pending: dict[str, Future[Answer]] = {}
    questions = [question_of(rule, diagnostic, parameters) for diagnostic in rule.diagnostics]
    with ThreadPoolExecutor(_ASKERS, thread_name_prefix="ask") as pool:
        for question, diagnostic in zip(questions, rule.diagnostics, strict=True):
            before = pending.get(diagnostic.after)
            pending[question.name] = pool.submit(
                _ask_one, services, urgent, target, question, before, deadline
            )
        return [Asked(question, pending[question.name].result()) for question in questions]


def _kept_off(services: Services, incident: Incident, rule: LoadedRule) -> list[Asked]:
    """The questions that a maintenance window keeps off the target; none: they may be asked."""
    with services.store.transaction() as tx:
        until = asking_resumes(tx, incident.labels)
        now = tx.now
    if until is None:
        return []
    why = f"not asked: a maintenance window keeps questions off until {until.isoformat()}"
    answer = _skipped(now, ErrorKind.WINDOW, why)
    return [
        Asked(question_of(rule, each, incident.parameters), answer) for each in rule.diagnostics
    ]


def question_of(
    rule: LoadedRule, diagnostic: Diagnostic, parameters: Mapping[str, Any]
) -> Question:
    """A diagnostic as it is asked, with these parameters bound."""
    timeout = parse_duration(diagnostic.timeout).total_seconds()
    if isinstance(diagnostic, Sql):
        statement = rule.statements[diagnostic.name]
        bound = {name: parameters.get(name) for name in sorted(statement.needs())}
        return Question(
            diagnostic.name,
            diagnostic.question,
            "sql",
            sql=statement.sql,
            parameters=bound,
            index=diagnostic.index,
            timeout=timeout,
        )
    if isinstance(diagnostic, Http):
        return Question(
            diagnostic.name,
            diagnostic.question,
            "http",
            path=diagnostic.path,
            method=diagnostic.method,
            timeout=timeout,
        )
    return Question(diagnostic.name, diagnostic.question, "tcp", timeout=timeout)


def _ask_one(
    services: Services,
    urgent: bool,
    target: Target,
    question: Question,
    before: Future[Answer] | None,
    deadline: float,
) -> Answer:
    """One question, or why it is not asked; it waits for earlier ones only, so no deadlock."""
    missing = [name for name, value in question.parameters.items() if value is None]
    if missing:
        why = f"the alert does not say: {', '.join(missing)}"
        return _skipped(_now(services), ErrorKind.PARAMETER, why)
    if before is not None:
        earlier = before.result()
        if earlier.error is not None:
            why = f"not asked: {earlier.error.message}"
            return _skipped(_now(services), ErrorKind.BEHIND, why)
    return shared(
        services,
        target.name,
        question.digest,
        deadline,
        urgent,
        lambda now: ask_in_slot(services, target, question, urgent, deadline, now),
    )


def _now(services: Services) -> datetime:
    with services.store.transaction() as tx:
        return tx.now


def ask_in_slot(
    services: Services,
    target: Target,
    question: Question,
    urgent: bool,
    deadline: float,
    now: datetime,
) -> Answer:
    """The target's own answer, over one of the few diagnosing connections that it bears.

    now: by our database's clock; what is waited for a connection is added.
    """
    began = time.monotonic()
    with services.slots.reading(target.name, urgent, deadline - began) as got:
        now += timedelta(seconds=time.monotonic() - began)
        left = deadline - time.monotonic()
        if not got or left <= 0:
            return _skipped(now, ErrorKind.BUSY, "no diagnosing connection became free in time")
        return ask(target, replace(question, timeout=min(question.timeout, left)), now)


def shared(
    services: Services,
    target: str,
    digest: bytes,
    deadline: float,
    urgent: bool,
    asking: Callable[[datetime], Answer],
) -> Answer:
    """The answer that somebody got within the last seconds, else ours, for all who wait for it.

    Who is urgent does not wait long for another one's asking, which may wait for a slot itself.
    """
    me = services.new_id()
    impatient = time.monotonic() + URGENT_PATIENCE
    while True:
        left = deadline - time.monotonic()
        with services.store.transaction() as tx:
            now = tx.now
            patience = timedelta(seconds=max(left, 0) + 1)
            question = {"target": target, "digest": digest}
            claimed = tx.maybe("claim_question", **question, asker=me, patience=patience)
            known = None if claimed else tx.maybe("shared_answer", **question)
        if known is not None:
            return replace(answer_from_json(known["answer"]), shared=True)
        if claimed is not None or (urgent and time.monotonic() > impatient):
            break
        if left <= 0:
            return _skipped(now, ErrorKind.BUSY, "another asking of this question did not end")
        time.sleep(_POLL)
    answer = asking(now)
    with services.store.transaction() as tx:
        asked = {"target": target, "digest": digest, "asker": me}
        if answer.status == AnswerStatus.SKIPPED:  # the target said nothing that others could use
            tx.run("give_up_question", **asked)
        else:
            tx.run("share_answer", **asked, answer=answer.to_json())
    return answer


def _skipped(now: datetime, kind: ErrorKind, message: str) -> Answer:
    return Answer(AnswerStatus.SKIPPED, asked_at=now, error=Error(kind, "", message))
