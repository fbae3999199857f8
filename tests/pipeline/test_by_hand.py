"""Fixes that people ask for: at any severity, at most once, and nothing behind their backs."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.ids import new_id
from responder.domain.incident import Stage
from responder.pipeline import STAGES, walk
from responder.pipeline.by_hand import Asked, Begun, NotBegun, Objection, ask
from responder.pipeline.people import close
from responder.runbook.catalogue import Catalogue
from responder.store.incidents import incident_from_row
from tests.house import House, alert
from tests.small_rules import small_rule
from tests.walks import (
    BAD,
    SLOWLY,
    dies,
    fixes,
    meanwhile,
    on_fire,
    reasons,
    refusing,
    timers,
    until,
)

ANN = Actor(ActorKind.PERSON, "ann")
BEA = Actor(ActorKind.PERSON, "bea")
Start = Callable[..., House]


def proposed(start: Start, severity: str = "warning", **of_rule: Any) -> House:
    """An incident that waits for a person: the rule is not promoted."""
    house = start(promoted=False, **of_rule)
    house.post(alert("Thing", severity=severity))
    house.settle()
    assert house.incident().stage == Stage.WATCH
    return house


def asked(house: House, **changes: Any) -> Asked:
    incident = house.incident()
    return replace(Asked(incident.id, "mend", incident.decision_id), **changes)


def ask_for(house: House, actor: Actor = ANN, role: str = "operator", **changes: Any) -> UUID:
    fix_id = ask(house.services, asked(house, **changes), actor, role).fix
    assert fix_id is not None
    return fix_id


def refused(house: House, role: str = "operator", **changes: Any) -> NotBegun:
    """Why it is not begun; then there is no trace of it."""
    before = house.trail(), fixes(house), house.incident()
    with pytest.raises(NotBegun) as caught:
        ask_for(house, role=role, **changes)
    assert (house.trail(), fixes(house), house.incident()) == before
    return caught.value


def by_ann(house: House) -> list[tuple[str, str | None, str | None]]:
    """What stands in the trail under her name."""
    rows = house.sql(
        "SELECT what, before, after FROM audit_event"
        " WHERE actor_kind = 'person' AND actor = 'ann' ORDER BY id"
    )
    return [(row["what"], row["before"], row["after"]) for row in rows]


def refusals(house: House) -> dict[str, int]:
    """What counts towards leaving the incident to people."""
    with house.services.store.transaction() as tx:
        return tx.one("refusals", incident_id=house.incident().id)


# What a person may


def test_a_person_fixes_a_p0_and_it_is_verified(start: Start) -> None:
    house = proposed(start, severity="critical")
    assert house.decision() == ("propose", "severity")
    decision = house.incident().decision_id
    fix_id = ask_for(house)
    assert (house.incident().stage, house.incident().walking) == (Stage.FIX, True)
    house.settle()
    (fix,) = fixes(house)
    assert house.shop.rows(BAD) == []
    assert (fix["id"], fix["status"], fix["verification"]) == (fix_id, "committed", "held")
    assert (fix["severity"], fix["actor_kind"], fix["actor"]) == ("P0", "person", "ann")
    assert (fix["counts"], fix["decision_id"]) == ({"thing": 3}, decision)
    assert by_ann(house) == [
        ("fix", None, "started"),
        ("stage", "watch", "fix"),
        ("fix", "started", "recorded"),
        ("fix", "recorded", "committed"),
    ]
    assert (house.incident().stage, house.incident().decision_id) == (Stage.WATCH, decision)
    (told,) = house.hook.got[-1].document["fixes"]
    assert told["actor"] == {"kind": "person", "name": "ann"}
    assert (told["dry_run"], told["verification"]) == (False, "held")
    assert house.gap() == (0, 0)


def stopped(house: House) -> None:
    house.sql("UPDATE autofix SET enabled = false")


def unreadable(house: House) -> None:
    house.sql("UPDATE incident SET severity_unreadable = true")


def untriaged(house: House) -> None:
    house.post(alert("Another", severity="critical"))


def in_a_window(house: House) -> None:
    house.sql(
        "INSERT INTO maintenance_window VALUES (gen_random_uuid(), now() - interval '1 hour',"
        " now() + interval '1 day', '[]', true, true, false, 'bea', 'a test')"
    )


def often(house: House) -> None:
    house.sql(
        "INSERT INTO fix (id, incident_id, key, rule, rule_checksum, option, target, parameters,"
        " actor_kind, actor, severity, status, attempt, started_at, ended_at, verification)"
        " SELECT gen_random_uuid(), id, key, 'thing', '', 'mend', 'shop_eu', '{}', 'responder',"
        " 'responder', 'P2', 'committed', 1, now(), now(), 'failed'"
        " FROM incident, generate_series(1, 6)"
    )


@pytest.mark.parametrize("event", [stopped, unreadable, on_fire, untriaged, in_a_window, often])
def test_what_holds_the_responder_back_does_not_hold_a_person(
    start: Start, event: Callable[[House], None]
) -> None:
    """The switch, severities, other fires, windows, cool-down, breaker and limit."""
    house = proposed(start)
    wanted = asked(house)
    event(house)
    fix_id = ask(house.services, wanted, ANN, "operator").fix
    house.run_walks()
    (status,) = house.sql("SELECT status FROM fix WHERE id = %s", fix_id)
    assert (status["status"], house.shop.rows(BAD)) == ("committed", [])


def test_what_a_person_fixed_wakes_nobody_as_unattended(start: Start) -> None:
    house = proposed(start)
    assert timers(house) == ["escalate", "quiet"]
    ask_for(house)
    house.settle()
    house.later(timedelta(hours=2))
    house.settle()
    assert (timers(house), house.pager.got) == (["quiet"], [])


# A dry run


def digest(house: House) -> list[Any]:
    """Every row of the shop's own tables with the transaction that wrote it."""
    names = house.shop.rows(
        "SELECT quote_ident(relname) FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
    )
    assert "thing" in names
    return [
        (name, row)
        for name in names
        for row in house.shop.rows(f"SELECT (xmin, ctid, t)::text FROM {name} t ORDER BY 1")
    ]


def test_a_dry_run_says_what_it_would_change_and_changes_nothing(start: Start) -> None:
    house = proposed(start)
    before, decision = digest(house), house.incident().decision_id
    ask_for(house, dry_run=True)
    house.settle()
    (fix,) = fixes(house)
    assert digest(house) == before
    assert (fix["status"], fix["reason"], fix["verification"]) == ("rolled_back", "dry run", None)
    assert fix["counts"] == {"thing": 3}
    assert [row["state"] for row in fix["before_rows"]] == ["bad"] * 3
    assert [row["state"] for row in fix["after_rows"]] == ["good"] * 3
    assert by_ann(house) == [
        ("fix", None, "started"),
        ("stage", "watch", "fix"),
        ("fix", "started", "rolled_back"),
    ]
    assert (house.incident().stage, house.incident().decision_id) == (Stage.WATCH, decision)
    (told,) = house.hook.got[-1].document["fixes"]
    assert (told["dry_run"], told["counts"]) == (True, {"thing": 3})
    assert house.pager.got == []


def test_after_a_dry_run_all_is_as_if_it_had_not_been(start: Start) -> None:
    """No cool-down, no failure, no refusal: the responder fixes, and so may a person at once."""
    house = proposed(start)
    for _ in range(4):
        ask_for(house, dry_run=True)
        house.settle()
    house.promote(house.services.catalogue.rules["thing"])
    house.post(alert("Thing", severity="banana", instance="b"))
    house.settle()
    assert house.decision() == ("propose", "severity_unreadable")
    (facts,) = house.sql("SELECT facts FROM decision ORDER BY at DESC, id DESC LIMIT 1")
    told = {name: facts["facts"][name] for name in ("breaker", "fix_running", "limit_reached")}
    assert (set(told.values()), facts["facts"]["cooldowns"]) == ({False}, {})
    ask_for(house)
    house.settle()
    assert [fix["status"] for fix in fixes(house)] == ["rolled_back"] * 4 + ["committed"]


def test_a_dry_run_that_would_fail_says_why(start: Start) -> None:
    house = proposed(start, max_rows=2)
    before = digest(house)
    ask_for(house, dry_run=True)
    house.settle()
    (fix,) = fixes(house)
    assert (fix["status"], fix["reason"]) == ("rolled_back", "more than 2 rows would be changed")
    assert (digest(house), reasons(house)) == (before, ["autonomy"])


def test_a_dry_run_whose_walk_was_taken_over_leaves_no_verdict(start: Start) -> None:
    house = proposed(start, statements={"mend_before": SLOWLY})
    ask_for(house, dry_run=True)
    with meanwhile(house.run_walks):
        until(lambda: house.incident().attempt > 1)
        house.sql("UPDATE incident SET attempt = attempt + 1")
    assert [fix["status"] for fix in fixes(house)] == ["started"]
    house.later(timedelta(minutes=1))
    walk(house.services, house.incident().id, 0)
    (fix,) = fixes(house)
    assert (fix["status"], fix["counts"]) == ("rolled_back", {})


# What comes to nothing


@pytest.mark.parametrize(
    ("of_rule", "status", "why"),
    [
        pytest.param({"max_rows": 2}, "rolled_back", "more than 2 rows", id="too many rows"),
        pytest.param(
            {"statements": {"mend": "UPDATE thing SET state = NULL WHERE state = 'bad'"}},
            "rolled_back",
            "not-null",
            id="the statement fails",
        ),
        pytest.param(
            {"statements": {"mend_before": "SELECT id FROM thing WHERE state = 'x' FOR UPDATE"}},
            "refused",
            "nothing left to change",
            id="already gone",
        ),
    ],
)
def test_what_comes_to_nothing_is_told_and_left_to_the_person(
    start: Start, of_rule: dict[str, Any], status: str, why: str
) -> None:
    """Nothing is decided anew, nothing is tried again by itself, nobody is woken."""
    house = proposed(start, **of_rule)
    for _ in range(4):
        ask_for(house)
        told = len(house.hook.got)
        house.settle()
        assert len(house.hook.got) > told
    house.later(timedelta(minutes=10))
    house.settle()
    assert {fix["status"] for fix in fixes(house)} == {status}
    assert all(why in fix["reason"] for fix in fixes(house))
    assert len(fixes(house)) == 4
    assert (house.shop.rows(BAD), reasons(house)) == ([1, 2, 3], ["autonomy"])
    assert by_ann(house)[-1] == ("fix", None, status)
    assert (house.incident().stage, house.pager.got) == (Stage.WATCH, [])
    assert house.gap() == (0, 0)


def test_a_busy_target_is_told(start: Start) -> None:
    house = proposed(start)
    ask_for(house)
    with psycopg.connect(house.shop.url("responder_writing")) as other:
        other.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('responder:fix:' || %s, 0))",
            [house.incident().key],
        )
        house.settle()
    assert [fix["status"] for fix in fixes(house)] == ["refused"]
    assert (timers(house), reasons(house)) == (["escalate", "quiet"], ["autonomy"])


def test_who_is_outrun_is_told(start: Start) -> None:
    slowly = "SELECT id FROM thing WHERE state = 'bad' AND (SELECT pg_sleep(1)) IS NOT NULL"
    house = proposed(start, statements={"mend_before": slowly})
    ask_for(house)
    with meanwhile(house.run_walks):
        until(lambda: house.shop.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event='PgSleep'"))
        house.shop.run("UPDATE thing SET made_at = now() WHERE id = 3")
    house.settle()
    (fix,) = fixes(house)
    assert (fix["status"], fix["reason"].startswith("outrun")) == ("rolled_back", True)
    assert reasons(house) == ["autonomy"]


def test_what_people_asked_for_in_vain_does_not_hold_the_responder_back(start: Start) -> None:
    house = proposed(start, statements={"mend_before": SLOWLY.replace("'bad'", "'worse'")})
    for _ in range(3):
        ask_for(house)
        house.settle()
    assert [fix["status"] for fix in fixes(house)] == ["refused"] * 3
    assert set(refusals(house).values()) == {0}


def test_the_verification_of_a_persons_fix_that_fails_is_handed_over(start: Start) -> None:
    house = proposed(start, within="1m")
    ask_for(house)
    with house.services.store.transaction() as tx:
        walker = incident_from_row(tx.one("take_walk", id=house.incident().id))
    STAGES[Stage.FIX](walker, house.services)
    house.shop.run("UPDATE thing SET state = 'bad' WHERE id = 2")
    house.run_walks()
    for _ in range(4):
        house.later(timedelta(seconds=31))
        house.settle()
    assert [fix["verification"] for fix in fixes(house)] == ["failed"]
    assert house.decision() == ("hand_over", "not_verified")
    assert house.pager.happenings() == ["opened"]


def test_nobody_made_it_in_time(start: Start) -> None:
    """No worker ran; what somebody wanted then may not be what they want now."""
    house = proposed(start)
    ask_for(house)
    house.later(timedelta(minutes=6))
    house.settle()
    (fix,) = fixes(house)
    assert (fix["status"], fix["reason"]) == ("refused", "no worker took it in time")
    assert (house.shop.rows(BAD), house.incident().stage) == ([1, 2, 3], Stage.WATCH)


@pytest.mark.parametrize("dry_run", [True, False])
def test_an_incident_that_waited_to_be_looked_at_again_still_is(
    start: Start, dry_run: bool
) -> None:
    house = proposed(start, max_rows=2)
    house.sql("UPDATE decision SET action = 'wait', reason = 'look_again'")
    house.sql("UPDATE incident SET stage = 'diagnose'")
    house.sql("INSERT INTO timer SELECT id, 'look_again', now() + interval '1 h' FROM incident")
    ask_for(house, dry_run=dry_run)
    house.settle()
    assert [fix["status"] for fix in fixes(house)] == ["rolled_back"]
    assert house.decision() == ("propose", "autonomy")
    assert "look_again" not in timers(house)


# Killed in the middle


def test_killed_before_the_gate_it_is_rolled_back_and_may_be_asked_for_again(
    start: Start,
) -> None:
    house = proposed(start)
    incident = house.incident().id
    ask_for(house)
    with refusing(house, "fix", "NEW.status = 'recorded'"):
        dies(house.run_walks)
    assert house.shop.rows(BAD) == [1, 2, 3]
    walk(house.services, incident, 1)
    assert [fix["status"] for fix in fixes(house)] == ["started"], "its session may still be open"
    assert refused(house).objection == Objection.CONFLICT
    house.later(timedelta(minutes=1))
    house.settle()
    (fix,) = fixes(house)
    assert (fix["status"], fix["reason"]) == ("rolled_back", "interrupted before it was decided")
    assert (house.shop.rows(BAD), reasons(house)) == ([1, 2, 3], ["autonomy"])
    assert set(refusals(house).values()) == {0}
    ask_for(house)
    house.settle()
    assert [fix["status"] for fix in fixes(house)] == ["rolled_back", "committed"]
    assert house.shop.rows(BAD) == []


def made(house: House) -> tuple[str, str]:
    """The xid of a transaction that just mended the target, and which server it is."""
    with psycopg.connect(house.shop.url("responder_writing")) as connection:
        connection.execute("UPDATE thing SET state = 'good'")
        row = connection.execute(
            "SELECT pg_current_xact_id()::text, system_identifier::text FROM pg_control_system()"
        ).fetchone()
        assert row is not None
    return row


def aborted(house: House) -> tuple[str, str]:
    with psycopg.connect(house.shop.url("responder_writing")) as connection:
        row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
        assert row is not None
        connection.rollback()
    (server,) = house.shop.rows("SELECT system_identifier::text FROM pg_control_system()")
    return row[0], server


@pytest.mark.parametrize(
    ("left", "status", "decision"),
    [
        pytest.param(made, "committed", ("propose", "autonomy"), id="committed"),
        pytest.param(aborted, "rolled_back", ("propose", "autonomy"), id="aborted"),
        pytest.param(lambda _: ("3", "1"), "unknown", ("hand_over", "unknown"), id="failed over"),
    ],
)
def test_killed_after_the_gate_the_target_is_asked(
    start: Start,
    left: Callable[[House], tuple[str, str]],
    status: str,
    decision: tuple[str, str],
) -> None:
    house = proposed(start)
    fix_id = ask_for(house)
    house.sql("DELETE FROM procrastinate_jobs")
    house.sql("UPDATE incident SET attempt = attempt + 1")  # the walk whose process died
    xid, server = left(house)
    house.sql(
        "UPDATE fix SET status = 'recorded', xid = %s, system_identifier = %s, timeline = 1"
        " WHERE id = %s",
        *(xid, server, fix_id),
    )
    walk(house.services, house.incident().id, 1)
    house.later(timedelta(minutes=5))
    house.settle()
    (fix,) = fixes(house)
    assert (fix["status"], house.decision()) == (status, decision)
    assert ("fix", None if status != "committed" else "recorded", status) in by_ann(house)
    assert house.pager.happenings() == (["opened"] if status == "unknown" else [])


def test_killed_after_the_targets_commit_it_is_not_made_twice(start: Start) -> None:
    house = proposed(start)
    ask_for(house)
    with refusing(house, "fix", "NEW.status = 'committed'"):
        dies(house.run_walks)
    assert house.shop.rows(BAD) == []
    house.shop.run("UPDATE thing SET state = 'bad' WHERE id = 1")
    walk(house.services, house.incident().id, 1)
    assert [fix["status"] for fix in fixes(house)] == ["committed"]
    assert house.shop.rows(BAD) == [1], "it was made once"


def test_a_walk_that_was_started_twice_makes_it_once(start: Start) -> None:
    """The sweeper took the job for lost and enqueued another one."""
    house = proposed(start, statements={"mend_before": SLOWLY})
    ask_for(house)
    with meanwhile(house.run_walks):
        until(lambda: house.incident().attempt > 1)
        walk(house.services, house.incident().id, 0)
    house.later(timedelta(minutes=1))
    house.settle()
    assert [fix["status"] for fix in fixes(house)] in (["rolled_back"], ["refused"])
    assert house.shop.rows(BAD) == [1, 2, 3]


# Who may not, and when


def test_of_two_who_ask_at_once_one_is_told_to_wait(start: Start) -> None:
    house = proposed(start)
    wanted = asked(house)
    got: list[UUID | Objection | None] = []
    barrier = threading.Barrier(4)

    def press(actor: Actor) -> None:
        barrier.wait()
        try:
            got.append(ask(house.services, wanted, actor, "operator").fix)
        except NotBegun as not_begun:
            got.append(not_begun.objection)

    threads = [threading.Thread(target=press, args=(actor,)) for actor in (ANN, BEA) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, got))[1:] == ["conflict"] * 3
    assert len(fixes(house)) == 1
    house.settle()
    assert [fix["status"] for fix in fixes(house)] == ["committed"]


def test_who_saw_another_decision_is_told_the_difference(start: Start) -> None:
    house = proposed(start)
    seen = house.incident().decision_id
    house.post(alert("Thing", severity="critical", instance="b"))
    house.settle()
    stale = refused(house, seen=seen)
    assert stale.objection == Objection.STALE
    difference = stale.more["difference"]
    assert (difference["seen"]["id"], difference["seen"]["reason"]) == (str(seen), "autonomy")
    assert difference["now"]["id"] == str(house.incident().decision_id)
    assert difference["now"]["reason"] == "severity"
    assert difference["differs"] == ["reason", "sentence"]


@pytest.mark.parametrize("seen", [None, UUID(int=7)])
def test_who_saw_no_decision_of_this_incident_is_told_the_one_that_stands(
    start: Start, seen: UUID | None
) -> None:
    stale = refused(proposed(start), seen=seen)
    assert (stale.objection, stale.more["difference"]["seen"]) == (Objection.STALE, None)
    assert stale.more["difference"]["now"]["action"] == "propose"


def test_the_decision_of_another_incident_is_not_told(start: Start) -> None:
    house = proposed(start)
    other, seen = new_id(), house.incident().decision_id
    house.sql(
        "INSERT INTO incident SELECT (jsonb_populate_record(i, jsonb_build_object('id', %s::text,"
        " 'key', 'other', 'decision_id', NULL))).* FROM incident i",
        str(other),
    )
    with pytest.raises(NotBegun) as caught:
        ask(house.services, Asked(other, "mend", seen), ANN, "operator")
    assert caught.value.more["difference"] == {"seen": None, "now": None, "differs": []}


def resolved(house: House) -> None:
    close(house.services, house.incident().id, BEA)


def walking(house: House) -> None:
    house.sql("UPDATE incident SET walking = true")


def verifying(house: House) -> None:
    ask_for(house, actor=BEA)
    house.run_walks()
    house.sql("UPDATE fix SET verification = 'waiting'")


def gone(house: House) -> None:
    catalogue = Catalogue((), house.services.settings.targets)
    house.services = replace(house.services, catalogue=catalogue)


@pytest.mark.parametrize(
    ("event", "objection", "why"),
    [
        (resolved, Objection.NOT_POSSIBLE, "the incident is resolved"),
        (walking, Objection.CONFLICT, "in hand, at the stage watch"),
        (verifying, Objection.CONFLICT, "another fix of the same key is open"),
        (gone, Objection.NOT_POSSIBLE, "the runbook offers nothing"),
    ],
)
def test_when_it_is_not_begun(
    start: Start, event: Callable[[House], None], objection: Objection, why: str
) -> None:
    house = proposed(start)
    event(house)
    not_begun = refused(house)
    assert not_begun.objection == objection
    assert why in str(not_begun)


def test_the_fix_that_is_open_is_named(start: Start) -> None:
    house = proposed(start)
    verifying(house)
    assert refused(house).more == {"fix": str(fixes(house)[0]["id"])}


def test_an_incident_that_is_not_there(start: Start) -> None:
    house = proposed(start)
    assert refused(house, incident=new_id()).objection == Objection.NOT_FOUND


OPTIONS = """
Option("mend", "Mend it", changes=("thing",), max_rows=5, asks={"state": "Which state?"}),
Option("restart", "Restart it", run="systemctl restart thing"),
Option("grant", "For admins", changes=("thing",), role="admin"),
Option("drop", "For two", changes=("thing",), dangerous=True),
Option("vacuum", "Outside", transactional=False),
Option("call", "Reaches far", changes=("thing",), outside=True),
"""
MEND = {
    "mend": "UPDATE thing SET state = %(state)s WHERE state = 'bad' RETURNING *",
    "mend_verify": "SELECT NOT EXISTS (SELECT FROM thing WHERE state = 'bad')"
    " AND %(state)s <> '' AS gone",
}


def with_options(start: Start) -> House:
    statements = dict(MEND)
    for name in ("grant", "drop", "call"):
        statements |= {
            name: "UPDATE thing SET state = 'good' WHERE state = 'bad' RETURNING *",
            f"{name}_before": "SELECT id FROM thing WHERE state = 'bad' FOR UPDATE",
            f"{name}_verify": "SELECT true AS gone",
        }
    statements |= {
        "vacuum": "VACUUM thing",
        "vacuum_check": "SELECT 'not_done' AS state",
        "vacuum_cleanup": "SELECT 1",
    }
    return proposed(start, options=OPTIONS, statements=statements)


@pytest.mark.parametrize(
    ("changes", "objection", "why"),
    [
        ({"option": "nobody"}, "not_possible", "the runbook offers mend, restart"),
        ({"option": "restart"}, "not_possible", "systemctl restart thing"),
        ({"option": "grant"}, "forbidden", "needs the role admin"),
        ({"option": "vacuum"}, "not_possible", "no `direct_url`"),
        ({"option": "call", "dry_run": True}, "not_possible", "cannot be tried"),
        ({}, "wrong_parameters", "asks for other parameters"),
    ],
)
def test_options_that_a_person_cannot_run_here(
    start: Start, changes: dict[str, Any], objection: str, why: str
) -> None:
    not_begun = refused(with_options(start), **changes)
    assert (not_begun.objection, why in str(not_begun)) == (objection, True), str(not_begun)


def test_a_command_to_run_is_told(start: Start) -> None:
    assert refused(with_options(start), option="restart").more == {"run": "systemctl restart thing"}


@pytest.mark.parametrize(
    ("option", "role", "dry_run"), [("grant", "admin", False), ("drop", "operator", True)]
)
def test_options_that_this_person_may_run(
    start: Start, option: str, role: str, dry_run: bool
) -> None:
    house = with_options(start)
    ask_for(house, role=role, option=option, dry_run=dry_run)
    house.settle()
    (fix,) = fixes(house)
    assert fix["counts"] == {"thing": 3}
    assert fix["reason"] == ("dry run" if dry_run else "")


@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [
        ({}, {"state": ["Which state?"]}),
        ({"state": ""}, {"state": ["Which state?"]}),
        ({"state": "good", "id": "7"}, {"id": ["the option does not ask for it"]}),
        (
            {"stat": "good"},
            {"state": ["Which state?"], "stat": ["the option does not ask for it"]},
        ),
    ],
)
def test_wrong_parameters_are_named(
    start: Start, parameters: Mapping[str, str], wrong: Mapping[str, list[str]]
) -> None:
    not_begun = refused(with_options(start), parameters=parameters)
    assert not_begun.more == {"errors": {"parameters": wrong}}


def test_what_was_asked_for_is_bound_never_spliced(start: Start) -> None:
    house = with_options(start)
    nasty = "x'; DROP TABLE thing; --"
    ask_for(house, parameters={"state": nasty})
    house.settle()
    (fix,) = fixes(house)
    assert (fix["status"], fix["parameters"]) == ("committed", {"state": nasty})
    assert house.shop.rows("SELECT state FROM thing WHERE id < 4") == [nasty] * 3


def test_what_the_alert_does_not_say_cannot_be_bound(start: Start) -> None:
    """An option of a rule that takes a label, for an alert that lacks it."""
    house = with_options(start)
    rule = house.services.catalogue.rules["thing"]
    needing = replace(rule.statements["call"], sql="UPDATE thing SET state = %(email)s")
    asking = replace(rule, statements={**rule.statements, "call": needing})
    catalogue = Catalogue((asking,), house.services.settings.targets)
    house.services = replace(house.services, catalogue=catalogue)
    not_begun = refused(house, option="call")
    assert not_begun.objection == Objection.NOT_POSSIBLE
    assert str(not_begun) == "neither the alert nor the finding says email"


def test_a_rule_that_was_edited_diagnoses_anew_first(start: Start, tmp_path: Path) -> None:
    """Else nobody could ever fix what the next notice does not change."""
    house = proposed(start)
    edited = small_rule(tmp_path, max_rows=4)
    catalogue = Catalogue((edited,), house.services.settings.targets)
    house.services = replace(house.services, catalogue=catalogue)
    with pytest.raises(NotBegun, match="the rule was edited"):
        ask_for(house)
    assert (fixes(house), house.incident().stage) == ([], Stage.DIAGNOSE)
    assert by_ann(house) == [("decision", None, "outdated")]
    house.settle()
    ask_for(house)
    house.settle()
    assert [fix["status"] for fix in fixes(house)] == ["committed"]


def test_a_rule_that_is_edited_before_the_walk_is_not_what_was_asked_for(
    start: Start, tmp_path: Path
) -> None:
    house = proposed(start)
    ask_for(house)
    edited = small_rule(tmp_path, max_rows=4)
    catalogue = Catalogue((edited,), house.services.settings.targets)
    house.services = replace(house.services, catalogue=catalogue)
    house.settle()
    (fix,) = fixes(house)
    assert (fix["status"], fix["reason"]) == ("refused", "the rule was edited meanwhile")
    assert house.shop.rows(BAD) == [1, 2, 3]


def test_what_is_resolved_before_the_gate_is_not_fixed(start: Start) -> None:
    house = proposed(start, statements={"mend_before": SLOWLY})
    ask_for(house)
    with meanwhile(house.run_walks):
        until(lambda: house.incident().attempt > 1)
        close(house.services, house.incident().id, BEA)
    (fix,) = fixes(house)
    assert (fix["status"], fix["reason"]) == ("refused", "the incident is resolved")
    assert house.shop.rows(BAD) == [1, 2, 3]
    assert house.incident().stage == Stage.DONE


# The same request again


def test_the_same_request_under_a_key_gives_the_same_fix(start: Start) -> None:
    house = proposed(start)
    wanted = asked(house, key="k1")
    first = ask(house.services, wanted, ANN, "operator")
    assert ask(house.services, wanted, ANN, "operator") == Begun(first.fix, again=True)
    house.settle()
    assert ask(house.services, wanted, ANN, "operator") == Begun(first.fix, again=True)
    assert (first.again, len(fixes(house))) == (False, 1)


def test_another_request_under_a_key_is_refused(start: Start) -> None:
    house = proposed(start)
    ask_for(house, key="k1", dry_run=True)
    house.settle()
    assert refused(house, key="k1").objection == Objection.KEY_REUSED
    ask_for(house, actor=BEA, key="k1")
    assert len(fixes(house)) == 2, "a key is its caller's own"


def test_a_key_is_forgotten_after_a_day(start: Start) -> None:
    house = proposed(start)
    first = ask_for(house, key="k1", dry_run=True)
    house.settle()
    house.later(timedelta(hours=25))
    house.settle()
    with pytest.raises(NotBegun, match="older than 24 hours"):
        ask_for(house, key="k1", dry_run=True)
    house.settle()
    assert ask_for(house, key="k1", dry_run=True) != first
    assert len(house.sql("SELECT key FROM idempotency_key")) == 1


def test_a_refused_request_may_be_sent_again_under_its_key(start: Start) -> None:
    house = proposed(start)
    walking(house)
    assert refused(house, key="k1").objection == Objection.CONFLICT
    house.sql("UPDATE incident SET walking = false")
    ask_for(house, key="k1")
    assert len(fixes(house)) == 1


def test_two_presses_of_one_button_are_one_fix(start: Start) -> None:
    house = proposed(start)
    wanted = asked(house, key="k1")
    got: list[Begun] = []
    barrier = threading.Barrier(4)

    def press() -> None:
        barrier.wait()
        got.append(ask(house.services, wanted, ANN, "operator"))

    threads = [threading.Thread(target=press) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({begun.fix for begun in got}) == 1
    assert sorted(begun.again for begun in got) == [False, True, True, True]
    assert len(fixes(house)) == 1
