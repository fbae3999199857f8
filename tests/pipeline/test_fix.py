"""The fix protocol on a real target: each reason to roll back, each gate, each crash."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from responder.domain.actor import ActorKind
from responder.domain.incident import Incident, Stage
from responder.domain.severity import Severity
from responder.pipeline import walk
from responder.pipeline.fix import _start, change_of
from responder.pipeline.gate import permit_of
from responder.store import Refused
from responder.targets import writing
from tests.house import House, alert
from tests.walks import BAD, SLOWLY, fixes, meanwhile, on_fire, reasons, until, walk_to


def fix_events(house: House) -> list[str | None]:
    return [after for what, after in house.trail() if what == "fix"]


def test_what_was_bad_is_good_and_nothing_else_changed(start: Callable[..., House]) -> None:
    house = start()
    house.post(alert("Thing"))
    house.settle()
    (fix,) = fixes(house)
    assert house.shop.rows(BAD) == []
    assert (fix["status"], fix["verification"], fix["severity"]) == ("committed", "held", "P2")
    assert fix["counts"] == {"thing": 3}
    assert [row["state"] for row in fix["before_rows"]] == ["bad"] * 3
    assert [row["state"] for row in fix["after_rows"]] == ["good"] * 3
    assert fix_events(house) == ["started", "recorded", "committed"]
    assert reasons(house) == ["allowed"]
    assert house.incident().stage == Stage.WATCH


TRIGGER = """
CREATE FUNCTION spill() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO other (note) SELECT 'x' FROM generate_series(1, 200); RETURN NULL; END $$;
CREATE TRIGGER spill AFTER UPDATE ON thing FOR EACH STATEMENT EXECUTE FUNCTION spill();
"""
DEFERRED = """
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO other (note) VALUES ('late'); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON thing DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION late();
"""
ROLLBACKS = [
    pytest.param({"max_rows": 2}, "", "more than 2 rows", id="more rows than max_rows before"),
    pytest.param(
        {"changes": '("thing", "other")'}, TRIGGER, "it changed 203 rows", id="a trigger writes"
    ),
    pytest.param({}, TRIGGER, "it also changed other", id="a table that changes does not name"),
    pytest.param({}, DEFERRED, "it also changed other", id="a deferred trigger writes"),
    pytest.param(
        {"statements": {"mend": "UPDATE thing SET state = 'good' WHERE id < 12 RETURNING *"}},
        "",
        "it changed 4 rows, but 3",
        id="more rows than were looked at",
    ),
    pytest.param(
        {
            "statements": {
                "mend": "UPDATE thing SET state = 'good' WHERE id IN (1, 2, 11) RETURNING *",
                "mend_verify": "SELECT true AS gone",
            }
        },
        "",
        "other rows",
        id="other rows than were looked at",
    ),
    pytest.param(
        {"statements": {"mend": "UPDATE thing SET state = state WHERE state = 'bad' RETURNING *"}},
        "",
        "the cause would still be there",
        id="the cause is not gone",
    ),
    pytest.param(
        {"statements": {"mend": "UPDATE thing SET state = NULL WHERE state = 'bad' RETURNING *"}},
        "",
        "not-null",
        id="the statement fails",
    ),
    pytest.param(
        {"statements": {"mend": "UPDATE system_settings SET value = '1' RETURNING *"}},
        "",
        "permission denied",
        id="the fixing role may not",
    ),
    pytest.param(
        {"statements": {"mend": "UPDATE thing SET state = 'good' RETURNING *; DELETE FROM thing"}},
        "",
        "syntax error",
        id="a second statement",
    ),
]


@pytest.mark.parametrize(("of_rule", "setup", "why"), ROLLBACKS)
def test_rolled_back_and_handed_over(
    start: Callable[..., House], of_rule: dict[str, Any], setup: str, why: str
) -> None:
    house = start(**of_rule)
    if setup:
        house.shop.run(setup)
    house.post(alert("Thing"))
    house.settle()
    (fix,) = fixes(house)
    assert house.shop.rows(BAD) == [1, 2, 3]
    assert house.shop.rows("SELECT note FROM other") == []
    assert fix["status"] == "rolled_back"
    assert why in fix["reason"]
    assert house.decision() == ("hand_over", "fix_failed")
    assert why in house.document()["decision"]["sentence"]
    assert fix_events(house) == ["started", "rolled_back"]
    assert house.pager.happenings() == ["opened"], "a fix that failed wakes people at P2"


def test_nothing_left_to_change_is_refused_and_watched(start: Callable[..., House]) -> None:
    statements = {"mend_before": "SELECT id FROM thing WHERE state = 'gone' FOR UPDATE"}
    house = start(statements=statements)
    house.post(alert("Thing"))
    house.settle()
    (fix,) = fixes(house)
    assert (fix["status"], fix["reason"]) == ("refused", "there is nothing left to change")
    assert house.incident().stage == Stage.WATCH
    assert house.pager.got == []


def test_another_fix_of_the_key_is_waited_for(start: Callable[..., House]) -> None:
    house = start()
    house.post(alert("Thing"))
    house.run_triage()
    with psycopg.connect(house.shop.url("responder_writing")) as other:
        other.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('responder:fix:' || %s, 0))",
            [house.incident().key],
        )
        house.run_jobs()
        assert [fix["status"] for fix in fixes(house)] == ["refused"]
        assert house.shop.rows(BAD) == [1, 2, 3]
    house.later(timedelta(seconds=6))
    house.settle()
    assert [fix["status"] for fix in fixes(house)] == ["refused", "committed"]
    assert house.shop.rows(BAD) == []


def test_who_is_outrun_tries_once_more(start: Callable[..., House]) -> None:
    """Somebody else changes the same rows between our snapshot and our change."""
    slowly = "SELECT id FROM thing WHERE state = 'bad' AND (SELECT pg_sleep(1)) IS NOT NULL"
    house = start(statements={"mend_before": slowly})
    house.post(alert("Thing"))
    house.run_triage()
    with meanwhile(house.run_jobs):
        until(lambda: fixes(house))
        time.sleep(0.2)
        house.shop.run("UPDATE thing SET made_at = now() WHERE id = 3")
    assert [fix["status"] for fix in fixes(house)] == ["rolled_back", "committed"]
    assert fixes(house)[0]["reason"].startswith("outrun")
    assert house.shop.rows(BAD) == []


def p0_incident(house: House) -> Incident:
    """The rule is p2, the alert says P0; its walk stands before the fix, past the plan."""
    house.post(alert("Thing", severity="critical"))
    house.run_jobs()
    assert house.decision() == ("propose", "severity")
    house.sql("UPDATE incident SET stage = 'fix', walking = true, attempt = attempt + 1")
    return house.incident()


def test_plan_holds_alone_against_a_p0_alert(start: Callable[..., House]) -> None:
    house = start()
    house.post(alert("Thing", severity="critical"))
    house.settle()
    assert house.decision() == ("propose", "severity")
    assert (fixes(house), house.shop.rows(BAD)) == ([], [1, 2, 3])


def test_the_fix_row_holds_alone_against_a_p0_incident(start: Callable[..., House]) -> None:
    """Whoever comes past the plan cannot even write the row that a session needs."""
    house = start()
    incident = p0_incident(house)
    rule = house.services.catalogue.rules["thing"]
    option = rule.options["mend"]
    change = change_of(incident, house.services, rule, option, {})
    with pytest.raises(Refused, match="fix_never_ours_at_p0_p1"):
        _start(incident, house.services, rule, option, change)
    assert fixes(house) == []


def test_no_session_opens_without_a_committed_row(start: Callable[..., House]) -> None:
    house = start()
    incident = p0_incident(house)
    rule = house.services.catalogue.rules["thing"]
    change = change_of(incident, house.services, rule, rule.options["mend"], {})
    target = house.services.settings.targets["shop_eu"]
    permits = [
        permit_of(house.services),
        lambda _: writing.Permit(Severity.P1, ActorKind.RESPONDER),
    ]
    for permit in permits:
        with (
            pytest.raises(writing.NotPermitted),
            writing.make(target, incident.id, permit, change),
        ):
            pytest.fail("a session was opened")
    assert house.shop.rows(BAD) == [1, 2, 3]


def test_a_p0_that_comes_during_the_fix_stops_it_at_the_gate(start: Callable[..., House]) -> None:
    """The plan allowed it at P2; the severity is copied at the last moment and the CHECK acts."""
    house = start(statements={"mend_before": SLOWLY})
    house.post(alert("Thing", severity="warning"))
    house.run_triage()
    with meanwhile(house.run_jobs):
        until(lambda: fixes(house))
        house.post(alert("Thing", severity="critical", instance="b"))
        house.run_triage()
    house.settle()
    assert {fix["status"] for fix in fixes(house)} == {"refused"}
    assert house.shop.rows(BAD) == [1, 2, 3]
    assert house.decision() == ("propose", "severity")
    assert house.pager.happenings() == ["opened"]


def raised(house: House) -> None:
    house.sql("UPDATE incident SET severity = 'P1'")


def page_untriaged(house: House) -> None:
    house.post(alert("Another", severity="critical"))


def stopped(house: House) -> None:
    house.sql("UPDATE autofix SET enabled = false")


def resolved(house: House) -> None:
    house.sql(
        "UPDATE incident SET status = 'resolved', resolved_at = now(), resolved_by = 'sender'"
    )


def taken_over(house: House) -> None:
    house.sql("UPDATE incident SET attempt = attempt + 1")


def taken_back(house: House) -> None:
    house.promote(house.services.catalogue.rules["thing"], "propose")


EVENTS = [raised, on_fire, page_untriaged, stopped, resolved, taken_over, taken_back]


@pytest.mark.parametrize("event", EVENTS)
def test_the_last_gate(start: Callable[..., House], event: Callable[[House], None]) -> None:
    """Whatever happens between the intent and the decision, the target is rolled back."""
    house = start(statements={"mend_before": SLOWLY})
    house.post(alert("Thing", severity="warning"))
    house.run_triage()
    with meanwhile(house.run_walks):
        until(lambda: fixes(house))
        event(house)
    assert house.shop.rows(BAD) == [1, 2, 3]
    assert "recorded" not in fix_events(house)


def test_the_limit_of_an_hour(start: Callable[..., House]) -> None:
    """Five fixes of a rule in an hour, over all its incidents; the next one is proposed."""
    house = start()
    house.post(alert("Thing"))
    house.run_triage()
    house.sql(
        "INSERT INTO fix (id, incident_id, key, rule, rule_checksum, option, target, parameters,"
        " actor_kind, actor, severity, status, attempt, started_at)"
        " SELECT gen_random_uuid(), id, 'another key', 'thing', '', 'mend', 'shop_eu', '{}',"
        " 'responder', 'responder', 'P2', 'committed', 1, now() - n * interval '1 minute'"
        " FROM incident, generate_series(1, 5) n"
    )
    house.settle()
    assert house.decision() == ("propose", "limit")
    assert house.shop.rows(BAD) == [1, 2, 3]


def test_a_cool_down_is_kept(start: Callable[..., House]) -> None:
    house = start()
    house.post(alert("Thing"))
    house.settle()
    house.later(timedelta(minutes=1))
    house.post(alert("Thing", status="resolved"))
    house.settle()
    house.shop.run("UPDATE thing SET state = 'bad' WHERE id = 1")
    house.later(timedelta(minutes=20))
    house.post(alert("Thing", instance="again"))
    house.settle()
    assert reasons(house) == ["allowed", "cooldown"]
    assert house.shop.rows(BAD) == [1]


def fix_that_does_not_hold(house: House) -> None:
    """The cause is back between the commit and the first verification."""
    incident = walk_to(house, Stage.VERIFY)
    house.shop.run("UPDATE thing SET state = 'bad' WHERE id = 2")
    walk(house.services, incident.id, 0)


def test_a_verification_is_asked_until_its_time_is_over(start: Callable[..., House]) -> None:
    house = start(within="1m")
    fix_that_does_not_hold(house)
    assert [fix["verification"] for fix in fixes(house)] == ["waiting"]
    for _ in range(4):
        house.later(timedelta(seconds=31))
        house.settle()
    assert [fix["verification"] for fix in fixes(house)] == ["failed"]
    assert house.decision() == ("hand_over", "not_verified")
    assert house.pager.happenings() == ["opened"]


def test_a_verification_that_holds_later_is_enough(start: Callable[..., House]) -> None:
    house = start(within="2m")
    fix_that_does_not_hold(house)
    house.shop.run("UPDATE thing SET state = 'good'")
    house.later(timedelta(seconds=31))
    house.settle()
    assert [fix["verification"] for fix in fixes(house)] == ["held"]
    assert house.incident().stage == Stage.WATCH
    assert house.pager.got == []


def test_a_resolve_does_not_end_a_verification_and_a_failed_one_reopens(
    start: Callable[..., House],
) -> None:
    house = start(within="1m")
    fix_that_does_not_hold(house)
    house.post(alert("Thing", status="resolved"))
    house.run_triage()
    assert (house.incident().status, house.incident().stage) == ("resolved", "verify")
    for _ in range(4):
        house.later(timedelta(seconds=31))
        house.settle()
    assert house.incident().status == "open"
    assert house.decision() == ("hand_over", "not_verified")


def test_two_failed_verifications_open_the_breaker(start: Callable[..., House]) -> None:
    house = start()
    house.post(alert("Thing"))
    house.run_triage()
    house.sql(
        "INSERT INTO fix (id, incident_id, key, rule, rule_checksum, option, target, parameters,"
        " actor_kind, actor, severity, status, attempt, started_at, verification)"
        " SELECT gen_random_uuid(), id, key, 'thing', '', 'mend', 'shop_eu', '{}', 'responder',"
        " 'responder', 'P2', 'rolled_back', 1, now() - n * interval '1 day', 'failed'"
        " FROM incident, generate_series(1, 2) n"
    )
    house.settle()
    assert house.decision() == ("propose", "breaker")
    assert house.shop.rows(BAD) == [1, 2, 3]


def left_behind(house: House, status: str, **columns: Any) -> Incident:
    """What a worker leaves that was killed: a row in this status, the incident at the stage fix."""
    incident = walk_to(house, Stage.FIX)
    rule = house.services.catalogue.rules["thing"]
    option = rule.options["mend"]
    change = change_of(incident, house.services, rule, option, {})
    fix_id = _start(incident, house.services, rule, option, change)
    values = {"status": status, **columns}
    for name, value in values.items():
        house.sql(f"UPDATE fix SET {name} = %s WHERE id = %s", value, fix_id)
    return incident


def identity(house: House) -> dict[str, Any]:
    """Of a transaction on the target that just committed."""
    with psycopg.connect(house.shop.url("responder_writing")) as connection:
        row = connection.execute(
            "SELECT pg_current_xact_id()::text, system_identifier::text FROM pg_control_system()"
        ).fetchone()
        assert row is not None
    return {"xid": row[0], "system_identifier": row[1], "timeline": 1}


def aborted(house: House) -> dict[str, Any]:
    with psycopg.connect(house.shop.url("responder_writing")) as connection:
        row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
        assert row is not None
        connection.rollback()
    return {**identity(house), "xid": row[0]}


def test_started_and_killed_is_rolled_back_and_tried_once_more(
    start: Callable[..., House],
) -> None:
    house = start()
    incident = left_behind(house, "started")
    walk(house.services, incident.id, 0)
    assert house.incident().walking is False, "its transaction may still be open: a timer waits"
    assert house.shop.rows(BAD) == [1, 2, 3]
    house.later(timedelta(seconds=40))
    house.settle()
    assert [fix["status"] for fix in fixes(house)] == ["rolled_back", "committed"]
    assert house.shop.rows(BAD) == []


@pytest.mark.parametrize(
    ("made", "status", "reason"),
    [
        pytest.param(identity, "committed", None, id="it was committed"),
        pytest.param(
            lambda house: {**identity(house), "system_identifier": "1"},
            "unknown",
            "unknown",
            id="another server",
        ),
        pytest.param(
            lambda house: {**identity(house), "timeline": 7}, "unknown", "unknown", id="failed over"
        ),
        pytest.param(
            lambda house: {**identity(house), "xid": "4000000000"},
            "unknown",
            "unknown",
            id="a future xid",
        ),
        pytest.param(
            lambda house: {**identity(house), "xid": "3"}, "unknown", "unknown", id="an ancient xid"
        ),
    ],
)
def test_recorded_and_killed_asks_the_target(
    start: Callable[..., House],
    made: Callable[[House], dict[str, Any]],
    status: str,
    reason: str | None,
) -> None:
    house = start()
    incident = left_behind(house, "recorded", **made(house))
    walk(house.services, incident.id, 0)
    (fix,) = fixes(house)
    assert fix["status"] == status
    if reason is not None:
        assert house.decision() == ("hand_over", reason)
        house.later(timedelta(hours=2))
        house.settle()
        assert len(fixes(house)) == 1, "what is unknown is never tried again"


def test_recorded_and_aborted_is_tried_once_more(start: Callable[..., House]) -> None:
    house = start()
    incident = left_behind(house, "recorded", **aborted(house))
    walk(house.services, incident.id, 0)
    assert [fix["status"] for fix in fixes(house)] == ["rolled_back", "committed"]


def test_recorded_and_still_open_is_asked_again(start: Callable[..., House]) -> None:
    house = start()
    with psycopg.connect(house.shop.url("responder_writing")) as connection:
        row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
        assert row is not None
        incident = left_behind(house, "recorded", **{**identity(house), "xid": row[0]})
        walk(house.services, incident.id, 0)
        assert [fix["status"] for fix in fixes(house)] == ["recorded"]
        assert house.incident().walking is False
        connection.commit()
    house.later(timedelta(seconds=6))
    house.settle()
    assert fixes(house)[0]["status"] == "committed"


def test_our_failover_switches_fixes_off(start: Callable[..., House]) -> None:
    house = start()
    house.post(alert("Thing"))
    house.run_triage()
    house.sql("UPDATE autofix SET system_identifier = '1'")
    house.settle()
    assert house.decision() == ("hand_over", "our_failover")
    assert house.shop.rows(BAD) == [1, 2, 3]
    assert ("autofix", "off") in house.trail()
