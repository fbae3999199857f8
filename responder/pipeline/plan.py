"""Findings and facts become one decision with one reason. `plan` is pure: replay it as you like.

The second wall of promise 2 stands in `_objection`: P0 and P1 are proposed, never fixed.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from responder.domain.decision import (
    SENTENCES,
    Action,
    Autonomy,
    Decision,
    Facts,
    Reason,
)
from responder.domain.duration import parse_duration
from responder.runbook.rule import Finding, Option

#: A cause that may go away by itself is looked at so often, then a person looks.
LOOK_AGAIN_LIMIT = 3
#: How soon to look when a fix of the same key is under way.
SETTLE = timedelta(seconds=5)


def plan(options: Mapping[str, Option], findings: Sequence[Finding], facts: Facts) -> Decision:
    """What to do, and the first reason why not to do more."""
    if facts.unasked_until is not None:
        detail = f"Nothing was asked; it is looked at again at {facts.unasked_until.isoformat()}."
        wait = facts.unasked_until - facts.at
        return _because(Action.PROPOSE, Reason.WINDOW, detail, look_again_in=wait)
    if facts.trouble is not None:
        return _because(Action.HAND_OVER, facts.trouble, facts.detail)
    if facts.fix_running:
        return _because(Action.WAIT, Reason.FIX_RUNNING, look_again_in=SETTLE)
    if facts.verifying:
        return _because(Action.WAIT, Reason.VERIFYING, look_again_in=SETTLE)
    if not findings:
        reason = Reason.NOTHING_FOUND if facts.all_answered else Reason.DIAGNOSIS_FAILED
        return _because(Action.HAND_OVER, reason)
    for finding in findings:
        if finding.look_again and facts.looked_again < LOOK_AGAIN_LIMIT:
            return _because(
                Action.WAIT,
                Reason.LOOK_AGAIN,
                finding=finding.name,
                look_again_in=parse_duration(finding.look_again),
            )
    offers = [(finding, options[name]) for finding in findings for name in finding.offers]
    if not offers:
        return _because(Action.HAND_OVER, Reason.NO_OPTION, finding=findings[0].name)
    return _choose(offers, facts)


def _choose(offers: Sequence[tuple[Finding, Option]], facts: Facts) -> Decision:
    """The first offer that is automatic and allowed; else the first automatic one is proposed."""
    objections = [(finding, option, _objection(option, facts)) for finding, option in offers]
    for finding, option, objection in objections:
        if objection is None:
            return _because(
                Action.FIX,
                Reason.ALLOWED,
                finding=finding.name,
                option=option.name,
                parameters=finding.parameters,
            )
    automatic = [each for each in objections if each[1].automatic]
    finding, option, objection = (automatic or objections)[0]
    assert objection is not None
    return _because(
        Action.PROPOSE,
        objection,
        finding=finding.name,
        option=option.name,
        parameters=finding.parameters,
    )


def _objection(option: Option, facts: Facts) -> Reason | None:
    """The gravest reason not to take this option now, None when it is allowed."""
    cooled = facts.cooldowns.get(option.name)
    objections = {
        Reason.SEVERITY: facts.severity.pages,
        Reason.SEVERITY_UNREADABLE: facts.severity_unreadable,
        Reason.NOT_AUTOMATIC: not option.automatic,
        Reason.TARGET_ON_FIRE: facts.target_on_fire,
        Reason.STOPPED: facts.stopped,
        Reason.WINDOW: facts.window,
        Reason.BREAKER: facts.breaker,
        Reason.COOLDOWN: cooled is not None and facts.at < cooled,
        Reason.LIMIT: facts.limit_reached,
        # The last one, so that it says that only the promotion was missing.
        Reason.AUTONOMY: facts.autonomy != Autonomy.ACT,
    }
    return next((reason for reason, holds in objections.items() if holds), None)


def _because(action: Action, reason: Reason, detail: str = "", **more: Any) -> Decision:
    sentence = f"{SENTENCES[reason]} {detail}".rstrip()
    return Decision(action, reason, sentence, **more)
