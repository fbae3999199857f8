"""`plan`, one row for each reason, and the second wall of promise 2 alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.decision import REASONS, SENTENCES, Action, Autonomy, Facts, Reason
from responder.domain.severity import Severity
from responder.pipeline.plan import plan
from responder.runbook import Finding, Option
from responder.runbook.loader import LoadedRule

NOW = datetime.now(UTC)
SOON = NOW + timedelta(minutes=1)
FREE = Facts(at=NOW, severity=Severity.P2, autonomy=Autonomy.ACT)
OPTIONS = {
    option.name: option
    for option in (
        Option("retry", "Retry", automatic=True),
        Option("restart", "Restart", automatic=True),
        Option("clear", "Clear"),
    )
}
HANDED_OVER = REASONS[Action.HAND_OVER] - {
    Reason.NOTHING_FOUND,
    Reason.DIAGNOSIS_FAILED,
    Reason.NO_OPTION,
}


def finding(*offers: str, name: str = "stuck", **more: Any) -> Finding:
    return Finding(name, "It is stuck.", offers=offers, **more)


@dataclass(frozen=True)
class Row:
    """Free to act on one automatic option, but for what the row says."""

    action: Action
    reason: Reason
    findings: Sequence[Finding] = (finding("retry"),)
    facts: Mapping[str, Any] = field(default_factory=dict)
    option: str | None = None


ROWS = [
    Row(Action.FIX, Reason.ALLOWED, option="retry"),
    *(Row(Action.HAND_OVER, reason, facts={"trouble": reason}) for reason in sorted(HANDED_OVER)),
    Row(Action.HAND_OVER, Reason.NOTHING_FOUND, findings=()),
    Row(Action.HAND_OVER, Reason.DIAGNOSIS_FAILED, findings=(), facts={"all_answered": False}),
    Row(Action.HAND_OVER, Reason.NO_OPTION, findings=(finding(),)),
    Row(Action.WAIT, Reason.LOOK_AGAIN, findings=(finding("retry", look_again="60s"),)),
    Row(Action.WAIT, Reason.FIX_RUNNING, facts={"fix_running": True}),
    Row(Action.WAIT, Reason.VERIFYING, facts={"verifying": True}),
    Row(Action.PROPOSE, Reason.SEVERITY, facts={"severity": Severity.P1}, option="retry"),
    Row(
        Action.PROPOSE,
        Reason.SEVERITY_UNREADABLE,
        facts={"severity_unreadable": True},
        option="retry",
    ),
    Row(Action.PROPOSE, Reason.AUTONOMY, facts={"autonomy": Autonomy.PROPOSE}, option="retry"),
    Row(Action.PROPOSE, Reason.NOT_AUTOMATIC, findings=(finding("clear"),), option="clear"),
    Row(Action.PROPOSE, Reason.TARGET_ON_FIRE, facts={"target_on_fire": True}, option="retry"),
    Row(Action.PROPOSE, Reason.COOLDOWN, facts={"cooldowns": {"retry": SOON}}, option="retry"),
    Row(Action.PROPOSE, Reason.BREAKER, facts={"breaker": True}, option="retry"),
    Row(Action.PROPOSE, Reason.LIMIT, facts={"limit_reached": True}, option="retry"),
    Row(Action.PROPOSE, Reason.WINDOW, facts={"window": True}, option="retry"),
    Row(Action.PROPOSE, Reason.STOPPED, facts={"stopped": True}, option="retry"),
]

#: All that can speak against a fix at once.
AGAINST: dict[str, Any] = {
    "severity": Severity.P0,
    "severity_unreadable": True,
    "autonomy": Autonomy.OBSERVE,
    "target_on_fire": True,
    "stopped": True,
    "window": True,
    "breaker": True,
    "limit_reached": True,
    "cooldowns": {"retry": SOON, "restart": SOON},
}
PRECEDENCE = {
    "P0 comes before all else that speaks against a fix": Row(
        Action.PROPOSE, Reason.SEVERITY, facts=AGAINST, option="retry"
    ),
    "P0 and an option for people": Row(
        Action.PROPOSE,
        Reason.SEVERITY,
        findings=(finding("clear"),),
        facts={"severity": Severity.P0},
        option="clear",
    ),
    "trouble comes before everything": Row(
        Action.HAND_OVER,
        Reason.UNKNOWN,
        facts={**AGAINST, "trouble": Reason.UNKNOWN, "fix_running": True, "verifying": True},
    ),
    "what a window keeps from being asked": Row(
        Action.PROPOSE, Reason.WINDOW, findings=(), facts={"unasked_until": SOON}
    ),
    "what a window keeps from being asked, whatever the alert lacks": Row(
        Action.PROPOSE,
        Reason.WINDOW,
        findings=(),
        facts={**AGAINST, "trouble": Reason.PARAMETER_MISSING, "unasked_until": SOON},
    ),
    "a running fix is waited for at P0 too": Row(
        Action.WAIT, Reason.FIX_RUNNING, facts={**AGAINST, "fix_running": True, "verifying": True}
    ),
    "a verification is waited for, whatever is found": Row(
        Action.WAIT, Reason.VERIFYING, findings=(), facts={"verifying": True}
    ),
    "looking again costs nothing, at P0 too": Row(
        Action.WAIT,
        Reason.LOOK_AGAIN,
        findings=(finding("retry", look_again="60s"),),
        facts=AGAINST,
    ),
    "one cause may pass, so nothing is done about the other": Row(
        Action.WAIT,
        Reason.LOOK_AGAIN,
        findings=(finding("retry"), finding(name="breaker_open", look_again="60s")),
    ),
    "the third look again": Row(
        Action.WAIT,
        Reason.LOOK_AGAIN,
        findings=(finding("retry", look_again="60s"),),
        facts={"looked_again": 2},
    ),
    "there is no fourth: now it may be fixed": Row(
        Action.FIX,
        Reason.ALLOWED,
        findings=(finding("retry", look_again="60s"),),
        facts={"looked_again": 3},
        option="retry",
    ),
    "there is no fourth: no option": Row(
        Action.HAND_OVER,
        Reason.NO_OPTION,
        findings=(finding(look_again="60s"),),
        facts={"looked_again": 3},
    ),
    "the first automatic offer, not the first offer": Row(
        Action.FIX, Reason.ALLOWED, findings=(finding("clear", "retry", "restart"),), option="retry"
    ),
    "the first allowed one when the best is cooling down": Row(
        Action.FIX,
        Reason.ALLOWED,
        findings=(finding("retry", "restart"),),
        facts={"cooldowns": {"retry": SOON}},
        option="restart",
    ),
    "of a later finding when the gravest has none": Row(
        Action.FIX,
        Reason.ALLOWED,
        findings=(finding(), finding("clear"), finding("restart", name="hung")),
        option="restart",
    ),
    "the automatic one is proposed, with what speaks against it": Row(
        Action.PROPOSE,
        Reason.COOLDOWN,
        findings=(finding("clear", "retry"),),
        facts={"cooldowns": {"retry": SOON}},
        option="retry",
    ),
    "a cool-down that is over": Row(
        Action.FIX, Reason.ALLOWED, facts={"cooldowns": {"retry": NOW}}, option="retry"
    ),
    "a cool-down of another option": Row(
        Action.FIX, Reason.ALLOWED, facts={"cooldowns": {"clear": SOON}}, option="retry"
    ),
    "P3 may be fixed": Row(
        Action.FIX, Reason.ALLOWED, facts={"severity": Severity.P3}, option="retry"
    ),
    "a cause that was found counts, though not all was answered": Row(
        Action.FIX, Reason.ALLOWED, facts={"all_answered": False}, option="retry"
    ),
    "observing is less than acting": Row(
        Action.PROPOSE, Reason.AUTONOMY, facts={"autonomy": Autonomy.OBSERVE}, option="retry"
    ),
}


def check(row: Row) -> None:
    decision = plan(OPTIONS, row.findings, replace(FREE, **row.facts))
    assert (decision.action, decision.reason) == (row.action, row.reason)
    assert decision.option == row.option
    assert decision.sentence.startswith(SENTENCES[row.reason])
    looks_again = row.action == Action.WAIT or "unasked_until" in row.facts
    assert (decision.look_again_in is not None) is looks_again


@pytest.mark.parametrize("row", ROWS, ids=[SENTENCES[row.reason] for row in ROWS])
def test_the_reason(row: Row) -> None:
    check(row)


def test_there_is_a_row_for_every_reason() -> None:
    assert sorted(row.reason for row in ROWS) == sorted(Reason)


@pytest.mark.parametrize("row", PRECEDENCE.values(), ids=PRECEDENCE.keys())
def test_what_comes_first(row: Row) -> None:
    check(row)


def test_the_decision_names_its_finding_and_parameters() -> None:
    hung = finding("restart", name="hung", parameters={"pid": 7})
    decision = plan(OPTIONS, [finding(), hung], FREE)
    assert (decision.finding, decision.parameters) == ("hung", {"pid": 7})
    proposed = plan(OPTIONS, [finding(), hung], replace(FREE, stopped=True))
    assert (proposed.finding, proposed.parameters) == ("hung", {"pid": 7})


def test_it_looks_again_when_the_finding_says() -> None:
    decision = plan(OPTIONS, [finding(look_again="90s")], FREE)
    assert decision.look_again_in == timedelta(seconds=90)


def test_it_looks_again_when_a_window_lets_it() -> None:
    decision = plan(OPTIONS, [], replace(FREE, unasked_until=SOON))
    assert decision.look_again_in == SOON - NOW
    assert SOON.isoformat() in decision.sentence


def test_people_read_the_detail_too() -> None:
    facts = replace(FREE, trouble=Reason.AMBIGUOUS_TARGET, detail="these match: a, b")
    sentence = plan(OPTIONS, [], facts).sentence
    assert sentence == f"{SENTENCES[Reason.AMBIGUOUS_TARGET]} these match: a, b"


@pytest.mark.parametrize("severity", [Severity.P0, Severity.P1])
def test_a_p2_rule_is_not_fixed_at_p0_and_p1(
    rules: Mapping[str, LoadedRule], severity: Severity
) -> None:
    """The second wall alone: a shipped p2 rule, its automatic option, nothing else against it."""
    rule = rules["shopify_queue_stuck"]
    found = [Finding("exhausted", "Twelve items failed.", offers=("retry_failed", "clear_failed"))]
    assert plan(rule.options, found, FREE).action == Action.FIX

    decision = plan(rule.options, found, replace(FREE, severity=severity))
    assert (decision.action, decision.reason) == (Action.PROPOSE, Reason.SEVERITY)
    assert decision.option == "retry_failed"


times = st.sampled_from([NOW - timedelta(hours=1), NOW, SOON])
all_facts = st.builds(
    Facts,
    at=st.just(NOW),
    severity=st.sampled_from(Severity),
    severity_unreadable=st.booleans(),
    autonomy=st.sampled_from(Autonomy),
    trouble=st.none() | st.sampled_from(sorted(HANDED_OVER)),
    detail=st.just(""),
    all_answered=st.booleans(),
    looked_again=st.integers(0, 4),
    fix_running=st.booleans(),
    verifying=st.booleans(),
    target_on_fire=st.booleans(),
    stopped=st.booleans(),
    window=st.booleans(),
    unasked_until=st.none() | st.just(SOON),
    breaker=st.booleans(),
    limit_reached=st.booleans(),
    cooldowns=st.dictionaries(st.sampled_from(sorted(OPTIONS)), times),
)
# Facts of which most are in favour, else hardly any example would come to a fix.
nearly_free = st.builds(
    lambda against, names: replace(FREE, **{name: getattr(against, name) for name in names}),
    all_facts,
    st.sets(st.sampled_from([*AGAINST, "looked_again", "verifying"]), max_size=2),
)
all_findings = st.lists(
    st.builds(
        lambda offers, look_again: finding(*offers, look_again=look_again),
        st.lists(st.sampled_from(sorted(OPTIONS)), unique=True),
        st.sampled_from(["", "60s"]),
    ),
    max_size=3,
)


@given(all_findings, all_facts | nearly_free)
def test_a_fix_has_everything_in_its_favour(findings: list[Finding], facts: Facts) -> None:
    decision = plan(OPTIONS, findings, facts)
    assert decision.reason in REASONS[decision.action]
    assert decision == plan(OPTIONS, findings, facts)
    if decision.action != Action.FIX:
        return
    assert facts.severity in (Severity.P2, Severity.P3)
    assert facts.autonomy == Autonomy.ACT
    assert facts.trouble is None and facts.unasked_until is None
    against = ("severity_unreadable", "fix_running", "verifying", "target_on_fire", "stopped")
    assert not any(getattr(facts, name) for name in (*against, "window", "breaker"))
    assert not facts.limit_reached
    assert decision.option is not None and OPTIONS[decision.option].automatic
    assert facts.cooldowns.get(decision.option, NOW) <= NOW
    assert any(decision.option in each.offers for each in findings)


@given(all_findings, all_facts | nearly_free, st.sampled_from([Severity.P0, Severity.P1]))
def test_p0_and_p1_are_never_fixed(
    findings: list[Finding], facts: Facts, severity: Severity
) -> None:
    assert plan(OPTIONS, findings, replace(facts, severity=severity)).action != Action.FIX
