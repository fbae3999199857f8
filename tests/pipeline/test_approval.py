"""Dangerous options need two people who approve the very same; proposals do not hold for ever."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.incident import Stage
from responder.pipeline.approval import SECOND_WITHIN
from responder.pipeline.by_hand import PROPOSAL_HOLDS, Asked, Begun, NotBegun, Objection, ask
from responder.receivers.brief.approval import approvals_of
from responder.runbook.catalogue import Catalogue
from tests.house import House, alert
from tests.small_rules import small_rule
from tests.walks import BAD, dies, fixes, reasons, refusing

ANN, BEA, CAT = (Actor(ActorKind.PERSON, name) for name in ("ann", "bea", "cat"))
Start = Callable[..., House]
OPTIONS = (
    'Option("mend", "Mend it", changes=("thing",), max_rows=5, dangerous=True,'
    ' asks={"state": "Which state?"}), Option("grant", "For admins", changes=("thing",),'
    ' dangerous=True, role="admin")'
)
STATEMENTS = {
    "mend": "UPDATE thing SET state = %(state)s WHERE state = 'bad' RETURNING *",
    "mend_verify": "SELECT NOT EXISTS (SELECT FROM thing WHERE state = 'bad')"
    " AND %(state)s <> '' AS gone",
    "grant": "UPDATE thing SET state = 'good' WHERE state = 'bad' RETURNING *",
    "grant_before": "SELECT id FROM thing WHERE state = 'bad' FOR UPDATE",
    "grant_verify": "SELECT true AS gone",
}
GOOD = {"state": "good"}


@pytest.fixture
def house(start: Start) -> House:
    """An incident at P0 whose option is dangerous."""
    house = start(promoted=False, options=OPTIONS, statements=STATEMENTS)
    house.post(alert("Thing", severity="critical"))
    house.settle()
    assert house.incident().stage == Stage.WATCH
    return house


def wanted(house: House, **changes: Any) -> Asked:
    incident = house.incident()
    return replace(Asked(incident.id, "mend", incident.decision_id, GOOD), **changes)


def approve(house: House, actor: Actor, role: str = "operator", **changes: Any) -> Begun:
    return ask(house.services, wanted(house, **changes), actor, role)


def nothing_done(house: House) -> bool:
    house.settle()
    return fixes(house) == [] and house.shop.rows(BAD) == [1, 2, 3]


def approvals(house: House) -> list[tuple[str, str | None, str | None]]:
    """What the trail says of them: who, before, after."""
    rows = house.sql("SELECT * FROM audit_event WHERE what = 'approval' ORDER BY id")
    return [(row["actor"], row["before"], row["after"]) for row in rows]


def test_the_second_person_makes_the_fix(house: House) -> None:
    first = approve(house, ANN)
    assert first.fix is None and first.approval is not None
    assert first.approval["expires_at"] - first.approval["at"] == SECOND_WITHIN
    assert nothing_done(house)
    second = approve(house, BEA)
    house.settle()
    (fix,) = fixes(house)
    assert (fix["id"], fix["actor"], fix["severity"]) == (second.fix, "bea", "P0")
    assert (fix["status"], fix["verification"]) == ("committed", "held")
    assert fix["parameters"] == GOOD
    assert house.shop.rows(BAD) == []
    assert approvals(house) == [("ann", None, "waiting"), ("bea", "waiting", "given")]
    given = house.sql("SELECT details FROM audit_event WHERE what = 'approval' ORDER BY id")[1]
    assert (given["details"]["first"], given["details"]["fix"]) == ("ann", str(second.fix))
    assert house.gap() == (0, 0)


def test_people_are_told_that_it_waits(house: House) -> None:
    told = len(house.hook.got)
    approve(house, ANN)
    house.send()
    (message,) = house.hook.got[told:]
    (shown,) = message.document["approvals"]
    assert (shown["option"], shown["actor"], shown["parameters"]) == ("mend", "ann", GOOD)
    assert shown["seen"] == str(house.incident().decision_id)
    (sentence,) = approvals_of(message.document)
    assert sentence.startswith("ann approved mend with state = good. Another person must")
    approve(house, BEA)
    house.settle()
    assert house.document()["approvals"] == []


def test_who_approves_twice_is_one_person(house: House) -> None:
    """Whatever their tokens and keys are: who they are is the name that these stand for."""
    first = approve(house, ANN, key="k1")
    again = approve(house, ANN, role="admin", key="k2")
    assert again.approval == first.approval
    assert approve(house, ANN).approval == first.approval
    assert nothing_done(house)
    assert approvals(house) == [("ann", None, "waiting")]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"parameters": {"state": "fine"}}, id="another parameter"),
        pytest.param({"option": "grant", "parameters": {}}, id="another option"),
    ],
)
def test_another_thing_is_another_approval(house: House, changes: dict[str, Any]) -> None:
    approve(house, ANN)
    other = approve(house, BEA, role="admin", **changes)
    assert other.fix is None
    assert nothing_done(house)
    assert [each["actor"] for each in house.document()["approvals"]] == ["ann", "bea"]
    approve(house, CAT)
    house.settle()
    assert [fix["parameters"] for fix in fixes(house)] == [GOOD]


def test_the_decision_that_both_saw_must_stand(house: House) -> None:
    seen = house.incident().decision_id
    approve(house, ANN)
    house.sql("UPDATE incident SET severity = 'P1'")
    house.post(alert("Thing", severity="critical", instance="b"))  # graver, so it decides anew
    house.settle()
    assert house.incident().decision_id != seen
    with pytest.raises(NotBegun) as caught:
        approve(house, BEA, seen=seen)
    assert caught.value.objection == Objection.STALE
    assert house.document()["approvals"] == []
    anew = approve(house, BEA)
    assert anew.fix is None
    assert nothing_done(house)
    assert approve(house, ANN).fix is not None, "both saw the new one"


def test_an_approval_expires(house: House) -> None:
    approve(house, ANN)
    house.later(SECOND_WITHIN)
    assert house.document()["approvals"] == []
    late = approve(house, BEA)
    assert late.approval is not None and late.approval["actor"] == "bea"
    assert nothing_done(house)
    house.later(SECOND_WITHIN - timedelta(seconds=5))
    assert approve(house, ANN).fix is not None
    assert [after for _, _, after in approvals(house)] == ["waiting", "waiting", "given"]


def test_each_of_the_two_needs_the_options_role(house: House) -> None:
    for _ in range(2):
        with pytest.raises(NotBegun) as caught:
            approve(house, BEA, option="grant", parameters={})
        assert caught.value.objection == Objection.FORBIDDEN
        approve(house, ANN, role="admin", option="grant", parameters={})
    assert nothing_done(house)
    assert approvals(house) == [("ann", None, "waiting")]


def test_a_replay_approves_nothing_more(house: House) -> None:
    """A client repeats its request because it did not see the answer, also much later."""
    anns = wanted(house, key="k1")
    first = ask(house.services, anns, ANN, "operator")
    again = ask(house.services, anns, ANN, "operator")
    assert (again.again, again.approval) == (True, first.approval)
    beas = wanted(house, key="k1")  # a key is its caller's own
    second = ask(house.services, beas, BEA, "operator")
    house.settle()
    assert [ask(house.services, anns, who, "operator") for who in (ANN, BEA)] == [
        Begun(second.fix, again=True)
    ] * 2
    assert len(fixes(house)) == 1
    assert [after for _, _, after in approvals(house)] == ["waiting", "given"]


def test_a_replay_does_not_renew_what_expired(house: House) -> None:
    asked = wanted(house, key="k1")
    first = ask(house.services, asked, ANN, "operator")
    house.later(SECOND_WITHIN)
    assert ask(house.services, asked, ANN, "operator").approval == first.approval
    assert house.document()["approvals"] == []
    assert len(approvals(house)) == 1


def test_another_request_under_the_key_is_refused(house: House) -> None:
    approve(house, ANN, key="k1")
    with pytest.raises(NotBegun) as caught:
        approve(house, ANN, key="k1", parameters={"state": "fine"})
    assert caught.value.objection == Objection.KEY_REUSED


def test_of_two_second_people_one_makes_the_fix(house: House) -> None:
    approve(house, ANN)
    asked, barrier = wanted(house), threading.Barrier(4)
    got: list[str] = []

    def press(actor: Actor) -> None:
        barrier.wait()
        try:
            got.append("fix" if ask(house.services, asked, actor, "operator").fix else "waits")
        except NotBegun as not_begun:
            got.append(not_begun.objection)

    threads = [threading.Thread(target=press, args=(who,)) for who in (BEA, CAT) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == ["conflict"] * 3 + ["fix"]
    house.settle()
    assert [fix["status"] for fix in fixes(house)] == ["committed"]


def test_of_two_first_people_the_later_one_is_the_second(house: House) -> None:
    """Both press at the same moment: that is two people who approve the same."""
    asked, barrier = wanted(house), threading.Barrier(2)
    got: list[Begun] = []

    def press(actor: Actor) -> None:
        barrier.wait()
        got.append(ask(house.services, asked, actor, "operator"))

    threads = [threading.Thread(target=press, args=(who,)) for who in (ANN, BEA)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(begun.fix is None for begun in got) == [False, True]
    assert [after for _, _, after in approvals(house)] == ["waiting", "given"]


def test_each_fix_needs_two_people(house: House) -> None:
    """It came to nothing; the approvals are used up all the same."""
    approve(house, ANN)
    approve(house, BEA)
    house.later(timedelta(minutes=6))
    house.settle()
    assert [fix["reason"] for fix in fixes(house)] == ["no worker took it in time"]
    assert approve(house, BEA).fix is None
    assert approve(house, ANN).fix is not None


def test_what_our_database_did_not_keep_is_not_approved(house: House) -> None:
    approve(house, ANN)
    with refusing(house, "fix", "NEW.status = 'started'"):
        dies(lambda: approve(house, BEA))
    assert [each["actor"] for each in house.document()["approvals"]] == ["ann"]
    assert approvals(house) == [("ann", None, "waiting")]
    assert approve(house, BEA).fix is not None


def test_edited_code_is_not_what_was_approved(house: House, tmp_path: Path) -> None:
    approve(house, ANN)
    edited = small_rule(
        tmp_path / "edited", options=OPTIONS, statements={**STATEMENTS, "x": "SELECT 1"}
    )
    house.services = replace(
        house.services, catalogue=Catalogue((edited,), house.services.settings.targets)
    )
    with pytest.raises(NotBegun, match="the rule was edited"):
        approve(house, BEA)
    house.settle()
    assert approve(house, BEA).fix is None
    assert nothing_done(house)


def test_without_a_decision_there_is_nothing_to_agree_on(house: House) -> None:
    house.sql("UPDATE incident SET decision_id = NULL")
    with pytest.raises(NotBegun, match="no decision that two people could look at"):
        approve(house, ANN)
    assert approvals(house) == []


# Proposals


def test_a_proposal_expires_and_is_diagnosed_anew(start: Start) -> None:
    house = start(promoted=False)
    house.post(alert("Thing"))
    house.settle()
    seen = house.incident().decision_id
    house.later(PROPOSAL_HOLDS)
    told = len(house.hook.got)
    with pytest.raises(NotBegun) as caught:
        ask(house.services, Asked(house.incident().id, "mend", seen), ANN, "operator")
    assert caught.value.objection == Objection.NOT_POSSIBLE
    assert str(caught.value).startswith("the proposal is older than 24 hours; it diagnoses anew")
    assert (fixes(house), house.incident().stage) == ([], Stage.DIAGNOSE)
    (event,) = house.sql("SELECT * FROM audit_event WHERE after = 'outdated'")
    assert (event["what"], event["actor"]) == ("decision", "ann")
    house.settle()
    assert reasons(house) == ["autonomy", "autonomy"]
    assert len(house.hook.got) > told
    incident = house.incident()
    ask(house.services, Asked(incident.id, "mend", incident.decision_id), ANN, "operator")
    house.settle()
    assert [fix["status"] for fix in fixes(house)] == ["committed"]


def test_until_then_it_holds(start: Start) -> None:
    house = start(promoted=False)
    house.post(alert("Thing"))
    house.settle()
    house.later(PROPOSAL_HOLDS - timedelta(minutes=1))
    incident = house.incident()
    assert ask(
        house.services, Asked(incident.id, "mend", incident.decision_id), ANN, "operator"
    ).fix
