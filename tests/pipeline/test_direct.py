"""What cannot run in a transaction: an index is built by people, once, whatever dies meanwhile."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.incident import Stage
from responder.domain.secret import Secret
from responder.pipeline import walk
from responder.pipeline.by_hand import Asked, NotBegun, ask
from responder.pipeline.direct import conclude, work_of
from responder.pipeline.document import NO_DIRECT
from responder.pipeline.gate import pass_gate, permit_of
from responder.pipeline.people import close
from responder.store import Fenced
from responder.store.incidents import incident_from_row
from responder.targets import direct
from responder.targets.writing import Made, NotPermitted
from tests.house import House, alert
from tests.walks import dies, fixes, refusing, timers, until

ANN = Actor(ActorKind.PERSON, "ann")
Start = Callable[..., House]
OPTION = 'Option("mend", "Index it", transactional=False, verify=Within("2m", every="30s"))'
INDEX = {
    "mend": "CREATE INDEX CONCURRENTLY thing_state ON thing (state)",
    "mend_check": """
        SELECT CASE WHEN i.indexrelid IS NULL THEN 'not_done' WHEN i.indisvalid THEN 'done'
            WHEN EXISTS (SELECT FROM pg_locks l WHERE l.relation = i.indrelid
                AND l.mode = 'ShareUpdateExclusiveLock' AND l.pid <> pg_backend_pid())
            THEN 'at_work' ELSE 'half_done' END AS state
        FROM (SELECT) one LEFT JOIN pg_index i ON i.indexrelid = to_regclass('thing_state')
    """,
    "mend_cleanup": "DROP INDEX CONCURRENTLY IF EXISTS thing_state",
}
#: The states of three things are the same, so this leaves an invalid index.
FAILING = "CREATE UNIQUE INDEX CONCURRENTLY thing_state ON thing (state)"
INDEXES = "SELECT indisvalid FROM pg_index WHERE indrelid = 'thing'::regclass AND NOT indisprimary"
AT_WORK = "SELECT pid FROM pg_stat_activity WHERE usename = 'responder_direct' AND state = 'active'"


@pytest.fixture
def offered(start: Start) -> Callable[..., House]:
    """A house whose rule offers an index to a person; statements: other ones than these."""

    def made(direct_url: str = "env:TEST_DIRECT", option: str = OPTION, **statements: str) -> House:
        house = start(promoted=False, options=f"{option},", statements=INDEX | statements)
        house.shop.run("ALTER TABLE thing OWNER TO responder_direct")
        house.shop.run("GRANT SELECT ON thing TO responder_writing")
        (target,) = house.services.settings.targets.values()
        url = Secret((direct_url,)) if direct_url else None
        house.with_settings(targets={target.name: replace(target, direct_url=url)})
        house.post(alert("Thing"))
        house.settle()
        assert house.decision() == ("propose", "not_automatic")
        return house

    return made


def ask_for(house: House, role: str = "operator", dry_run: bool = False) -> UUID:
    incident = house.incident()
    asked = Asked(incident.id, "mend", incident.decision_id, dry_run=dry_run)
    return ask(house.services, asked, ANN, role)[0]


def the_fix(house: House) -> dict[str, Any]:
    (fix,) = fixes(house)
    return fix


def steps(house: House) -> list[str | None]:
    """Of the fix, in the trail, under the name of whoever asked for it."""
    rows = house.sql(
        "SELECT after, actor FROM audit_event WHERE what = 'fix' AND actor_kind = 'person'"
        " ORDER BY id"
    )
    assert {row["actor"] for row in rows} <= {"ann"}
    return [row["after"] for row in rows]


def waits(house: House) -> list[str]:
    """Why its walks came back later."""
    rows = house.sql("SELECT details FROM audit_event WHERE what = 'waiting' ORDER BY id")
    return [row["details"]["why"] for row in rows]


@contextmanager
def held_up(house: House) -> Iterator[None]:
    """A transaction that an index must wait for."""
    with psycopg.connect(house.shop.url("postgres")) as other:
        other.execute("UPDATE thing SET made_at = now() WHERE id = 1")
        yield
        other.rollback()


def build_that_fails(house: House) -> None:
    """What somebody leaves half done."""
    with (
        pytest.raises(psycopg.errors.UniqueViolation),
        psycopg.connect(house.shop.url("postgres"), autocommit=True) as other,
    ):
        other.execute(FAILING)
    assert house.shop.rows(INDEXES) == [False]


def come_back(house: House) -> None:
    """The timer that settles it."""
    house.later(timedelta(minutes=6))
    house.settle()


def finish(house: House) -> None:
    """All of it, also when it takes longer than its walk waits."""
    house.settle()
    until(lambda: nobody_at_work(house))
    if the_fix(house)["status"] == "recorded":
        come_back(house)


def nobody_at_work(house: House) -> bool:
    return not [each for each in threading.enumerate() if each.name == "direct"]


# What a person may


def test_an_index_is_built_and_verified(offered: Start) -> None:
    house = offered()
    fix_id = ask_for(house)
    finish(house)
    fix = the_fix(house)
    assert house.shop.rows(INDEXES) == [True]
    assert (fix["id"], fix["status"], fix["verification"]) == (fix_id, "committed", "held")
    assert (fix["actor"], fix["reason"], fix["xid"]) == ("ann", "", None)
    assert fix["before_rows"] == [{"state": "not_done"}]
    assert set(fix["statements"]) == {"apply", "check", "cleanup"}
    assert steps(house) == ["started", "recorded", "committed"]
    assert ("verification", "held") in house.trail()
    assert (house.incident().stage, house.gap()) == (Stage.WATCH, (0, 0))


def test_a_dry_run_only_checks(offered: Start) -> None:
    house = offered()
    ask_for(house, dry_run=True)
    finish(house)
    fix = the_fix(house)
    assert (fix["status"], fix["dry_run"]) == ("rolled_back", True)
    assert fix["reason"] == "dry run, which only checks: it is not done"
    assert house.shop.rows(INDEXES) == []
    assert steps(house) == ["started", "rolled_back"]


def test_without_a_direct_url_it_says_what_to_do(offered: Start) -> None:
    house = offered(direct_url="")
    with pytest.raises(NotBegun) as caught:
        ask_for(house)
    assert (str(caught.value), caught.value.more) == (NO_DIRECT, {"run": INDEX["mend"]})
    (option,) = house.document()["options"]
    assert (option["why_not"], option["run"]) == (NO_DIRECT, INDEX["mend"])
    assert fixes(house) == []


def test_with_one_it_is_no_command(offered: Start) -> None:
    (option,) = offered().document()["options"]
    assert (option["why_not"], option["run"]) == ("not_automatic", "")


def test_a_viewer_may_not(offered: Start) -> None:
    with pytest.raises(NotBegun, match="needs the role operator"):
        ask_for(offered(), role="viewer")


def test_it_is_for_people_only(offered: Start) -> None:
    house = offered()
    fix_id = ask_for(house)
    house.sql("UPDATE fix SET actor_kind = 'responder', severity = 'P3'")
    target = house.services.settings.targets["shop_eu"]
    rule = house.services.catalogue.rules["thing"]
    work = work_of(house.incident(), rule, rule.options["mend"], {})
    with (
        pytest.raises(NotPermitted, match="for people only"),
        direct.begin(target, fix_id, permit_of(house.services), work),
    ):
        pass


# What is there already, or half


def test_what_is_done_already_is_refused(offered: Start) -> None:
    house = offered()
    house.shop.run("CREATE INDEX thing_state ON thing (state)")
    ask_for(house)
    finish(house)
    assert (the_fix(house)["status"], the_fix(house)["reason"]) == ("refused", "it is done already")
    assert steps(house) == ["started", "refused"]


def test_what_somebody_left_half_done_is_cleaned_up_first(offered: Start) -> None:
    house = offered()
    build_that_fails(house)
    ask_for(house)
    finish(house)
    assert house.shop.rows(INDEXES) == [True]
    assert (the_fix(house)["status"], the_fix(house)["verification"]) == ("committed", "held")
    assert the_fix(house)["before_rows"] == [{"state": "half_done"}]


def test_a_dry_run_cleans_nothing_up(offered: Start) -> None:
    house = offered()
    build_that_fails(house)
    ask_for(house, dry_run=True)
    finish(house)
    assert the_fix(house)["reason"] == "dry run, which only checks: it is half done"
    assert house.shop.rows(INDEXES) == [False]


def test_what_somebody_is_building_is_left_alone(offered: Start) -> None:
    house = offered()
    build_that_fails(house)
    with psycopg.connect(house.shop.url("postgres")) as other:
        other.execute("LOCK TABLE thing IN SHARE UPDATE EXCLUSIVE MODE")
        ask_for(house)
        finish(house)
    assert the_fix(house)["status"] == "refused"
    assert the_fix(house)["reason"] == "somebody else is at work on it"
    assert house.shop.rows(INDEXES) == [False]


@pytest.mark.parametrize(
    ("lock", "why"),
    [
        ("'responder:fix:' || (%(key)s)::text", "another fix of the same key is at work"),
        ("'responder:direct' || left(%(key)s, 0)", "other work outside of a transaction is under"),
    ],
)
def test_one_at_a_time(offered: Start, lock: str, why: str) -> None:
    house = offered()
    with psycopg.connect(house.shop.url("responder_direct")) as other:
        key = {"key": house.incident().key}
        other.execute(f"SELECT pg_advisory_lock(hashtextextended({lock}, 0))", key)
        ask_for(house)
        finish(house)
    assert the_fix(house)["status"] == "refused"
    assert the_fix(house)["reason"].startswith(why)
    assert house.shop.rows(INDEXES) == []


# What fails


def test_a_build_that_fails_is_cleaned_up_with_the_servers_words(offered: Start) -> None:
    house = offered(mend=FAILING)
    ask_for(house)
    finish(house)
    fix = the_fix(house)
    assert (fix["status"], fix["verification"]) == ("rolled_back", None)
    assert fix["reason"] == (
        'could not create unique index "thing_state"; what it left half done is cleaned up'
    )
    assert house.shop.rows(INDEXES) == []
    assert steps(house) == ["started", "recorded", "rolled_back"]
    assert (house.incident().stage, house.decision()) == (Stage.WATCH, ("propose", "not_automatic"))


def test_a_vacuum_that_may_not_only_warns_and_is_not_taken_for_done(offered: Start) -> None:
    vacuum = {"mend": "VACUUM other", "mend_check": "SELECT 'not_done' AS state"}
    house = offered(**vacuum)
    ask_for(house)
    finish(house)
    fix = the_fix(house)
    assert fix["status"] == "rolled_back"
    assert "permission denied to vacuum" in fix["reason"]


def test_a_second_statement_does_not_parse(offered: Start) -> None:
    house = offered(mend="SELECT 1; DROP TABLE thing")
    ask_for(house)
    finish(house)
    assert "cannot insert multiple commands" in the_fix(house)["reason"]
    assert house.shop.rows("SELECT count(*) FROM thing") == [13]


@pytest.mark.parametrize(
    ("check", "why"),
    [
        ("SELECT 'perhaps' AS state", "mend_check does not say one of done, not_done"),
        ("SELECT 'done' AS state WHERE false", "mend_check does not say one of done, not_done"),
        ("SELECT 1 / 0 AS state", "mend_check cannot be asked: division by zero"),
    ],
)
def test_a_check_that_says_nothing_begins_nothing(offered: Start, check: str, why: str) -> None:
    house = offered(mend_check=check)
    ask_for(house)
    finish(house)
    assert the_fix(house)["status"] == "rolled_back"
    assert the_fix(house)["reason"].startswith(why)
    assert house.shop.rows(INDEXES) == []


@pytest.mark.parametrize(
    "url", ["env:NOBODY_HAS_IT", "env:UNREACHABLE"], ids=["no secret", "nobody answers"]
)
def test_a_target_that_cannot_be_reached(
    offered: Start, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNREACHABLE", "postgresql://u:hidden@127.0.0.1:1/x")
    house = offered(direct_url=url)
    ask_for(house)
    finish(house)
    assert the_fix(house)["status"] == "rolled_back"
    assert "hidden" not in the_fix(house)["reason"]


def test_a_resolved_incident_stops_it_at_the_last_gate(offered: Start) -> None:
    house = offered()
    ask_for(house)
    close(house.services, house.incident().id, ANN)
    house.settle()
    assert (the_fix(house)["status"], the_fix(house)["reason"]) == (
        "refused",
        "the incident is resolved",
    )
    assert house.shop.rows(INDEXES) == []


# What takes long, and what dies


def test_a_build_that_takes_long_is_settled_by_a_later_walk(
    offered: Start,
) -> None:
    house = offered()
    with held_up(house):
        ask_for(house)
        house.settle()
        assert (the_fix(house)["status"], timers(house)[-1]) == ("recorded", "settle")
        assert (house.incident().stage, house.incident().walking) == (Stage.FIX, False)
        come_back(house)
        assert waits(house) == ["it is at work on the target"] * 2
        with pytest.raises(NotBegun, match="in hand"):
            ask_for(house)
        assert len(house.shop.rows(AT_WORK)) == 1
    until(lambda: nobody_at_work(house))
    assert the_fix(house)["status"] == "recorded"
    come_back(house)
    assert (the_fix(house)["status"], the_fix(house)["verification"]) == ("committed", "held")
    assert (the_fix(house)["reason"], steps(house)) == ("", ["started", "recorded", "committed"])
    assert house.shop.rows(INDEXES) == [True]


def test_a_build_that_is_ended_on_the_target_is_cleaned_up_by_a_later_walk(
    offered: Start,
) -> None:
    house = offered()
    with held_up(house):
        ask_for(house)
        house.settle()
        (pid,) = house.shop.rows(AT_WORK)
        house.shop.run("SELECT pg_terminate_backend(%(pid)s)", {"pid": pid})
        until(lambda: nobody_at_work(house))
        assert house.shop.rows(INDEXES) == [False]
    come_back(house)
    assert the_fix(house)["status"] == "rolled_back"
    assert "terminating connection due to administrator command" in the_fix(house)["reason"]
    assert house.shop.rows(INDEXES) == []
    ask_for(house)  # a person may ask again


def gone_at_the_gate(house: House) -> None:
    """Everything up to the last gate, after which the process is gone."""
    fix_id = ask_for(house)
    house.sql("DELETE FROM procrastinate_jobs")
    with house.services.store.transaction() as tx:
        incident = incident_from_row(tx.one("take_walk", id=house.incident().id))
    target = house.services.settings.targets["shop_eu"]
    rule = house.services.catalogue.rules["thing"]
    work = work_of(incident, rule, rule.options["mend"], {})
    with direct.begin(target, fix_id, permit_of(house.services), work) as session:
        made = Made(None, *session.server, before=json.dumps([{"state": session.state()}]))
        pass_gate(incident, house.services, fix_id, rule.options["mend"], made)


def test_a_crash_before_the_gate_has_changed_nothing(offered: Start) -> None:
    house = offered()
    build_that_fails(house)
    ask_for(house)
    with refusing(house, "fix", "NEW.status = 'recorded'"):
        dies(house.run_jobs)
    assert (the_fix(house)["status"], house.shop.rows(INDEXES)) == ("started", [False])
    house.later(timedelta(minutes=1))
    walk(house.services, house.incident().id, 1)
    assert the_fix(house)["status"] == "rolled_back"
    assert the_fix(house)["reason"] == "interrupted before it was decided"
    assert house.shop.rows(INDEXES) == [False]


@pytest.mark.parametrize(
    ("left", "status", "indexes"),
    [("nothing", "rolled_back", []), ("half", "rolled_back", []), ("all", "committed", [True])],
)
def test_a_crash_after_the_gate_is_settled_by_what_is_there(
    offered: Start, left: str, status: str, indexes: list[bool]
) -> None:
    house = offered()
    gone_at_the_gate(house)
    if left == "half":
        build_that_fails(house)
    if left == "all":
        house.shop.run("CREATE INDEX thing_state ON thing (state)")
    walk(house.services, house.incident().id, 1)
    assert (the_fix(house)["status"], house.shop.rows(INDEXES)) == (status, indexes)
    if status == "rolled_back":
        assert the_fix(house)["reason"].startswith("interrupted")
    assert steps(house) == ["started", "recorded", status]


def test_a_crash_after_the_end_is_no_second_build(offered: Start) -> None:
    house = offered()
    ask_for(house)
    with refusing(house, "fix", "NEW.status = 'committed'"):
        dies(house.run_jobs)
    (built,) = house.shop.rows("SELECT 'thing_state'::regclass::oid")
    walk(house.services, house.incident().id, 1)
    assert (the_fix(house)["status"], the_fix(house)["verification"]) == ("committed", "held")
    assert house.shop.rows("SELECT 'thing_state'::regclass::oid") == [built]


def test_who_was_taken_over_settles_nothing(offered: Start) -> None:
    house = offered()
    gone_at_the_gate(house)
    old = house.incident()
    with house.services.store.transaction() as tx:
        tx.one("take_walk", id=old.id)
    before = house.trail()
    with pytest.raises(Fenced):
        conclude(old, house.services, the_fix(house))
    assert (the_fix(house)["status"], house.trail()) == ("recorded", before)


@pytest.mark.parametrize("column", ["system_identifier = '1'", "timeline = timeline + 1"])
def test_another_server_knows_nothing(offered: Start, column: str) -> None:
    house = offered()
    gone_at_the_gate(house)
    house.sql(f"UPDATE fix SET {column}")
    walk(house.services, house.incident().id, 1)
    assert the_fix(house)["status"] == "unknown"
    assert house.decision() == ("hand_over", "unknown")
    assert house.shop.rows(INDEXES) == []


def test_who_cannot_be_asked_is_asked_later(offered: Start) -> None:
    house = offered()
    gone_at_the_gate(house)
    settings = house.services.settings.targets["shop_eu"]
    house.with_settings(targets={"shop_eu": replace(settings, direct_url=None)})
    walk(house.services, house.incident().id, 1)
    assert the_fix(house)["status"] == "recorded"
    assert waits(house) == ["target shop_eu has no direct_url any more"]
    house.with_settings(targets={"shop_eu": settings})
    come_back(house)
    assert the_fix(house)["status"] == "rolled_back"


@pytest.mark.parametrize("failures", [0, 3])
def test_a_target_that_is_no_longer_configured_cannot_be_asked(
    offered: Start, failures: int
) -> None:
    house = offered()
    gone_at_the_gate(house)
    house.with_settings(targets={})
    walk(house.services, house.incident().id, failures)
    assert the_fix(house)["status"] == "unknown"
    assert house.decision() == ("hand_over", "unknown")
    assert steps(house) == ["started", "recorded", "unknown"]


def test_what_stays_half_done_is_told_to_people_in_the_end(offered: Start) -> None:
    house = offered(mend_cleanup="SELECT 1 / 0")
    gone_at_the_gate(house)
    build_that_fails(house)
    walk(house.services, house.incident().id, 1)
    said = "what is half done cannot be cleaned up: division by zero"
    assert (the_fix(house)["status"], waits(house)) == ("recorded", [said])
    house.later(timedelta(hours=1))
    house.settle()
    assert (the_fix(house)["status"], the_fix(house)["reason"]) == ("unknown", said)
    assert house.shop.rows(INDEXES) == [False]
