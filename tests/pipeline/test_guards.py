"""What holds automatic fixes back is rows: seen by the plan, at the start and at the last gate.

Each guard is told by its outcome and by its trail, and is the same for every host.
"""

from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.decision import SENTENCES, Reason
from responder.domain.incident import Stage
from responder.pipeline import switch, walk
from responder.pipeline.maintenance import Window, open_window
from responder.store.queries import QUERIES
from tests.house import House, alert
from tests.walks import BAD, SLOWLY, fixes, meanwhile, on_fire, reasons, timers, until, walk_to

ANN = Actor(ActorKind.PERSON, "ann")
Start = Callable[..., House]
Make = Callable[..., House]
HOUR = timedelta(hours=1)


def stopped(house: House) -> None:
    switch.stop(house.services.store, ANN, "a release", patience=0)


def in_a_window(house: House) -> None:
    open_window(house.services, Window("a release", (), duration=HOUR, fix=False), ANN)


def taken_back(house: House) -> None:
    house.promote(house.services.catalogue.rules["thing"], "propose")


def raised(house: House) -> None:
    house.post(alert("Thing", severity="critical", instance="b"))
    house.run_triage()


def unreadable(house: House) -> None:
    house.post(alert("Thing", severity="banana", instance="b"))
    house.run_triage()


GUARDS = {
    Reason.STOPPED: stopped,
    Reason.TARGET_ON_FIRE: on_fire,
    Reason.WINDOW: in_a_window,
    Reason.AUTONOMY: taken_back,
    Reason.SEVERITY: raised,
    Reason.SEVERITY_UNREADABLE: unreadable,
}


def last_of_ours(house: House) -> tuple[str, str]:
    """Action and reason of the newest decision about the thing."""
    (row,) = house.sql(
        "SELECT d.action, d.reason FROM decision d JOIN incident i ON i.id = d.incident_id"
        " WHERE i.rule = 'thing' ORDER BY d.at DESC, d.id DESC LIMIT 1"
    )
    return row["action"], row["reason"]


def trail(house: House, what: str) -> list[tuple[str | None, str | None]]:
    """What happened to the thing, as (after, reason)."""
    rows = house.sql(
        "SELECT e.after, e.details->>'reason' AS reason FROM audit_event e"
        " JOIN incident i ON i.id = e.incident_id WHERE i.rule = 'thing' AND e.what = %s"
        " ORDER BY e.id",
        what,
    )
    return [(row["after"], row["reason"]) for row in rows]


@pytest.mark.parametrize("reason", GUARDS)
def test_the_plan_sees_it(start: Start, reason: Reason) -> None:
    house = start()
    incident = walk_to(house, Stage.PLAN)
    GUARDS[reason](house)
    walk(house.services, incident.id, 0)
    house.run_jobs()
    assert (fixes(house), house.shop.rows(BAD)) == ([], [1, 2, 3])
    assert last_of_ours(house) == ("propose", reason)
    assert set(trail(house, "decision")) == {("propose", reason)}


@pytest.mark.parametrize("reason", GUARDS)
def test_the_last_gate_sees_it(start: Start, reason: Reason) -> None:
    """It comes up while the change is being made; that is rolled back, and decided anew."""
    house = start(statements={"mend_before": SLOWLY})
    house.post(alert("Thing", severity="warning"))
    house.run_triage()
    with meanwhile(house.run_walks):
        until(lambda: fixes(house))
        GUARDS[reason](house)
    house.run_jobs()
    assert house.shop.rows(BAD) == [1, 2, 3]
    (fix,) = fixes(house)
    assert fix["status"] == "refused"
    assert (
        fix["reason"] == SENTENCES[reason]
    )  # of the severity it is the CHECK of the row that says it
    assert trail(house, "fix") == [("started", None), ("refused", fix["reason"])]
    assert last_of_ours(house) == ("propose", reason)


def test_a_fire_that_no_rule_answers_is_one_too(start: Start) -> None:
    """Its labels say which target it is about, as those of every other alert."""
    house = start()
    house.post(alert("NobodyKnowsThis", severity="critical"))
    house.post(alert("Elsewhere", severity="critical", env="staging"))
    house.settle()
    assert sorted(i.target or "" for i in house.incidents()) == ["", "shop_eu"]
    house.post(alert("Thing"))
    house.settle()
    assert last_of_ours(house) == ("propose", Reason.TARGET_ON_FIRE)
    assert house.shop.rows(BAD) == [1, 2, 3]


# One fix of a key


def of_another(house: House, count: int, key: str = "another", status: str = "committed") -> None:
    """Fixes that another host made a moment ago, of an incident that is over for people."""
    house.sql(
        "WITH over AS (INSERT INTO incident SELECT (jsonb_populate_record(i, jsonb_build_object("
        " 'id', gen_random_uuid(), 'status', 'resolved', 'stage', 'done', 'rule', 'other',"
        " 'walking', false, 'resolved_at', i.opened_at, 'resolved_by', 'sender'))).*"
        " FROM incident i RETURNING id)"
        " INSERT INTO fix (id, incident_id, key, rule, rule_checksum, option, target, parameters,"
        " actor_kind, actor, severity, status, attempt, started_at, ended_at)"
        " SELECT gen_random_uuid(), id, %s, 'thing', '', 'mend', 'shop_eu', '{}', 'responder',"
        " 'responder', 'P2', %s, 1, now(), now() FROM over, generate_series(1, %s)",
        *(key, status, count),
    )


@pytest.mark.parametrize("stage", [Stage.PLAN, Stage.FIX])
def test_one_fix_of_a_key_is_under_way_at_a_time(start: Start, stage: Stage) -> None:
    house = start()
    incident = walk_to(house, stage)
    of_another(house, 1, incident.key, "started")
    walk(house.services, incident.id, 0)
    assert [fix["status"] for fix in fixes(house)] == ["started"], "there is the other one alone"
    assert (house.shop.rows(BAD), last_of_ours(house)) == ([1, 2, 3], ("wait", "fix_running"))
    refused = [("refused", "Another fix of the same key is open.")] if stage == Stage.FIX else []
    assert trail(house, "fix") == refused
    house.sql("UPDATE fix SET status = 'rolled_back'")
    house.later(timedelta(seconds=6))
    house.settle()
    assert (last_of_ours(house), house.shop.rows(BAD)) == (("fix", "allowed"), [])


def test_a_verification_is_waited_for_by_the_next_incident_of_the_key(start: Start) -> None:
    house = start(within="50m", cooldown="1m")
    incident = walk_to(house, Stage.VERIFY)
    house.shop.run("UPDATE thing SET state = 'bad' WHERE id = 2")
    walk(house.services, incident.id, 0)
    house.post(alert("Thing", status="resolved"))
    house.run_triage()
    house.later(house.services.settings.flap_window * 2)
    house.post(alert("Thing", instance="b"))
    house.run_jobs()
    assert len(house.incidents()) == 2
    assert (last_of_ours(house), len(fixes(house))) == (("wait", "verifying"), 1)
    assert trail(house, "decision")[-1] == ("wait", "verifying")
    assert house.shop.rows(BAD) == [2]
    house.sql("UPDATE fix SET verification = 'held'")
    house.later(timedelta(seconds=6))
    house.settle()
    assert (last_of_ours(house), house.shop.rows(BAD)) == (("fix", "allowed"), [])


# The decay guard


def test_notices_during_a_verification_are_counted_and_do_not_fix(start: Start) -> None:
    house = start(within="10m", cooldown="1m")
    incident = walk_to(house, Stage.VERIFY)
    house.shop.run("UPDATE thing SET state = 'bad' WHERE id = 2")
    walk(house.services, incident.id, 0)
    for severity, instance in (("info", "b"), ("warning", "c"), ("banana", "d")):
        house.later(timedelta(minutes=2))
        house.post(alert("Thing", severity=severity, instance=instance))
        house.settle()
    assert house.outcomes() == ["opened", "joined", "joined", "joined"]
    assert (house.incident().stage, house.incident().again) == (Stage.VERIFY, True)
    assert [fix["verification"] for fix in fixes(house)] == ["waiting"]
    assert (reasons(house), house.shop.rows(BAD)) == (["allowed"], [2])
    house.shop.run("UPDATE thing SET state = 'good'")
    house.later(timedelta(seconds=31))
    house.settle()
    assert [fix["verification"] for fix in fixes(house)] == ["held"]
    assert trail(house, "verification")[-1][0] == "held"
    assert reasons(house) == ["allowed", "nothing_found"], "only then it looks again"


# Cool-down and limit


def test_the_cool_down_holds_on_every_host(start: Start, make_house: Make) -> None:
    first = start()
    first.post(alert("Thing"))
    first.settle()
    first.post(alert("Thing", status="resolved"))
    first.settle()
    first.shop.run("UPDATE thing SET state = 'bad' WHERE id = 1")
    second = make_house(list(first.services.catalogue.rules.values()))
    second.later(timedelta(minutes=25))
    second.post(alert("Thing", instance="again"))
    second.settle()
    assert (last_of_ours(second), second.shop.rows(BAD)) == (("propose", "cooldown"), [1])
    assert trail(second, "decision")[-1] == ("propose", "cooldown")
    second.post(alert("Thing", status="resolved", instance="again"))
    second.settle()
    second.later(timedelta(minutes=25))
    second.post(alert("Thing", instance="later"))
    second.settle()
    assert (last_of_ours(second), second.shop.rows(BAD)) == (("fix", "allowed"), [])


def test_the_limit_of_an_hour_is_counted_when_a_fix_starts(start: Start) -> None:
    """Other hosts started theirs since this one was decided."""
    house = start()
    incident = walk_to(house, Stage.FIX)
    of_another(house, count=5)
    walk(house.services, incident.id, 0)
    assert (len(fixes(house)), house.shop.rows(BAD)) == (5, [1, 2, 3])
    assert trail(house, "fix") == [("refused", SENTENCES[Reason.LIMIT])]
    assert trail(house, "decision") == [("fix", "allowed"), ("propose", "limit")]
    house.later(HOUR + timedelta(minutes=1))
    house.sql("UPDATE incident SET severity = 'P3' WHERE stage <> 'done'")
    house.post(alert("Thing", severity="warning", instance="b"))  # graver, so it looks anew
    house.settle()
    assert (last_of_ours(house), house.shop.rows(BAD)) == (("fix", "allowed"), [])


def test_who_starts_at_the_same_moment_is_counted_too(start: Start) -> None:
    """Another host has written the fifth fix, and has not committed it yet."""
    house = start()
    incident = walk_to(house, Stage.FIX)
    of_another(house, count=4)
    with psycopg.connect(house.services.store.url) as other:
        other.execute("SET search_path = responder")
        other.execute(QUERIES["lock_rule"].sql, {"rule": "thing"})
        other.execute(
            "INSERT INTO fix SELECT (jsonb_populate_record(f, jsonb_build_object('id',"
            " gen_random_uuid()))).* FROM fix f LIMIT 1"
        )
        with meanwhile(lambda: walk(house.services, incident.id, 0)):
            until(lambda: house.sql("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
            other.commit()
    assert (len(fixes(house)), last_of_ours(house)) == (5, ("propose", "limit"))
    assert timers(house) == ["escalate", "quiet"]
