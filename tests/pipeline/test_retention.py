"""What is older than the settings keep goes, whole months at a time; what is needed stays."""

import re
import threading
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.settings import Retention
from responder.pipeline.hold import hold, release
from responder.pipeline.people import close, note
from responder.pipeline.raw import read_body
from responder.pipeline.retention import retain
from responder.store import StoreAway
from responder.worker import tidy
from tests.house import House, alert

ANN = Actor(ActorKind.PERSON, "ann")
LONG_AGO = timedelta(days=400)
KEPT = Retention(deliveries=timedelta(days=30), audit=timedelta(days=100))
EXHAUSTED = """
INSERT INTO shopify_sync_queue
    (inventory_item_id, action, status, retry_count, max_retries, last_error, created_at)
SELECT gen_random_uuid(), 'update', 'failed', 3, 3, 'HTTP 503', now() - interval '20 minutes'
FROM generate_series(1, 3)
"""
#: Every table of ours that points to an incident, or to what points to one.
POINTING = """
WITH RECURSIVE pointing AS (
    SELECT 'incident'::regclass::oid AS id
    UNION
    SELECT c.conrelid FROM pg_constraint c JOIN pointing p ON p.id = c.confrelid
    WHERE c.contype = 'f' AND c.confdeltype <> 'c')
SELECT id::regclass::text AS name FROM pointing ORDER BY 1
"""


@pytest.fixture
def old_house(house: House) -> House:
    """An incident of each kind of work, opened and ended long ago, and one that is open now."""
    house.with_settings(retention=KEPT)
    house.later(-LONG_AGO)
    tidy_now(house)
    house.shop.run(EXHAUSTED)
    house.post(alert("ShopifyQueueStuck", severity="warning"))
    house.settle()
    note(house.services, house.incident().id, ANN, "I am looking.")
    house.post(alert("Nobody"), {"labels": {}})
    house.settle()
    for incident in house.incidents():
        close(house.services, incident.id, ANN)
    house.settle()
    assert house.sql("UPDATE review SET waiting = false RETURNING 1"), "what was fixed is reviewed"
    house.later(LONG_AGO)
    house.post(alert("Today"))
    house.settle()
    return house


def tidy_now(house: House) -> None:
    house.sql("UPDATE housekeeping SET tidied_at = '-infinity'")
    tidy(house.services)


def in_tables(house: House) -> dict[str, int]:
    """How many rows there are of all that belongs to incidents, and of what is partitioned."""
    names = [row["name"] for row in house.sql(POINTING)]
    names += ["delivery", "alert", "audit_event"]
    return {name: house.sql(f"SELECT count(*) AS n FROM {name}")[0]["n"] for name in names}


def old_partitions(house: House) -> list[str]:
    rows = house.sql("SELECT name FROM partitions() WHERE ends < now() - interval '40 days'")
    return sorted(row["name"] for row in rows)


def dropped(house: House) -> list[str]:
    """What went, by the trail."""
    rows = house.sql("SELECT subject FROM audit_event WHERE what = 'retention' ORDER BY id")
    return [row["subject"] for row in rows]


def first(house: House) -> Any:
    return house.incidents()[0].id


def test_what_is_over_goes_with_all_that_belongs_to_it(old_house: House) -> None:
    house = old_house
    fixes = house.sql("SELECT count(*) AS n FROM fix")[0]["n"]
    assert fixes and house.sql("SELECT FROM note") and house.sql("SELECT FROM answer")
    old = old_partitions(house)
    assert {name.rpartition("_")[0] for name in old} == {"delivery", "alert", "audit_event"}
    retain(house.services)
    assert [each.title for each in house.incidents()] == ["Today in the shop"]
    only = first(house)
    for name in ("fix", "note", "answer", "decision", "condition", "escalation", "timer"):
        assert house.sql(f"SELECT DISTINCT incident_id FROM {name}") in (
            [],
            [{"incident_id": only}],
        )
    assert old_partitions(house) == []
    assert {name for name in dropped(house) if not name.startswith("incidents of")} == set(old)
    (told,) = house.sql("SELECT * FROM audit_event WHERE subject LIKE 'incidents of%'")
    assert (told["actor_kind"], told["after"], told["details"]["incidents"]) == (
        *("responder", "dropped"),
        2,
    )
    rows = house.sql(
        "SELECT (details ->> 'events')::int AS n FROM audit_event"
        " WHERE what = 'retention' AND subject LIKE 'audit_event%'"
    )
    assert sum(row["n"] for row in rows) > 10
    before = in_tables(house)
    retain(house.services)
    assert in_tables(house) == before, "a second pass finds nothing"
    assert house.gap() == (0, 0)


def held(house: House) -> None:
    assert hold(house.services.store, first(house), ANN, "the case of 14 March")


#: Why an incident that began long ago is needed, and how that ends; both of them change its row.
NEEDS = {
    "it is open": ("incident", "status = 'open'", "status = 'resolved'"),
    "it is under way": ("incident", "stage = 'watch'", "stage = 'done'"),
    "it ended lately": (
        *("incident", "resolved_at = now()"),
        "resolved_at = opened_at + interval '1 hour'",
    ),
    "it waits for review": ("review", "waiting = true", "waiting = false"),
    "an open breaker stands on it": ("fix", "status = 'unknown'", "status = 'committed'"),
}


def test_a_month_stays_whole_while_one_incident_of_it_is_needed(old_house: House) -> None:
    house = old_house
    for why, (table, begins, ends) in NEEDS.items():
        change = f"UPDATE {table} SET %s WHERE {'' if table == 'incident' else 'incident_'}id = %%s"
        house.sql(change % begins, first(house))
        before = in_tables(house)
        retain(house.services)
        after = in_tables(house)
        changes = {name for name in after if after[name] != before[name]}
        assert changes <= {"delivery", "audit_event"}, why
        assert after["audit_event"] >= before["audit_event"], why
        house.sql(change % ends, first(house))
    held(house)
    before = in_tables(house)
    retain(house.services)
    assert in_tables(house) == before
    assert release(house.services.store, first(house), ANN, "it is settled")
    assert release(house.services.store, first(house), ANN, "twice is no mistake")
    retain(house.services)
    assert len(house.incidents()) == 1
    assert old_partitions(house) == []


def test_a_day_stays_while_a_delivery_of_it_is_held_or_not_triaged(old_house: House) -> None:
    house = old_house
    days = [name for name in old_partitions(house) if name.startswith("delivery")]
    held(house)
    house.with_settings(retention=Retention())
    retain(house.services)
    (day,) = (name for name in old_partitions(house) if name.startswith("delivery"))
    assert len(days) > 1
    release(house.services.store, first(house), ANN, "it is settled")
    house.sql(f"UPDATE {day} SET triaged_at = NULL")
    retain(house.services)
    assert day in old_partitions(house)
    house.sql(f"UPDATE {day} SET triaged_at = received_at")
    retain(house.services)
    assert day not in old_partitions(house)


def test_raw_bodies_and_exact_rows_of_what_is_held_stay(old_house: House) -> None:
    house = old_house
    count = "SELECT (SELECT count(*) FROM raw_body) AS b, (SELECT count(*) FROM fix_image) AS i"
    before = house.sql(count)
    (old,) = house.sql("SELECT delivery_id AS id FROM alert WHERE incident_id = %s", first(house))
    assert read_body(house.services, old["id"], ANN) is None, "raw_days are over"
    held(house)
    tidy_now(house)
    assert house.sql(count) == before
    assert b"ShopifyQueueStuck" in (read_body(house.services, old["id"], ANN) or b"")
    release(house.services.store, first(house), ANN, "it is settled")
    tidy_now(house)
    assert house.sql(count) == [{"b": 1, "i": 0}], "today's alone"
    assert before[0]["b"] > 1 and before[0]["i"] > 0


def test_each_hold_is_in_the_trail_once(old_house: House) -> None:
    house = old_house
    for _ in range(2):
        held(house)
    release(house.services.store, first(house), ANN, "it is settled")
    rows = house.sql(
        "SELECT actor, after, details FROM audit_event WHERE what = 'hold' ORDER BY id"
    )
    assert [(row["actor"], row["after"], row["details"]) for row in rows] == [
        ("ann", "held", {"why": "the case of 14 March"}),
        ("ann", "released", {"why": "it is settled"}),
    ]


def test_without_a_setting_the_audit_and_its_incidents_stay_for_ever(old_house: House) -> None:
    house = old_house
    house.with_settings(retention=Retention())
    before = in_tables(house)
    retain(house.services)
    after = in_tables(house)
    assert before.pop("delivery") > after.pop("delivery") == 1
    assert after.pop("audit_event") == before.pop("audit_event") + len(dropped(house))
    assert after == before


def test_what_lies_in_the_default_partitions_goes_when_all_of_it_is_old(house: House) -> None:
    house.with_settings(retention=KEPT)
    house.later(-LONG_AGO)
    house.post(alert("Nobody"))  # no worker has made partitions
    house.settle()
    close(house.services, house.incident().id, ANN)
    house.settle()
    house.later(LONG_AGO)
    defaults = ["alert_default", "audit_event_default", "delivery_default"]
    assert all(house.sql(f"SELECT FROM {name}") for name in defaults)
    retain(house.services)
    assert not any(house.sql(f"SELECT FROM {name}") for name in defaults)
    assert set(defaults) < set(dropped(house))
    house.later(timedelta(days=900))
    house.post(alert("Late"))  # the new default partitions take what comes
    house.settle()
    assert house.sql("SELECT FROM audit_event_default")
    with (
        psycopg.connect(house.services.store.url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="never changed"),
    ):
        connection.execute("TRUNCATE responder.audit_event_default")


def test_our_database_drops_nothing_young_nothing_needed_and_nothing_else(old_house: House) -> None:
    held(old_house)
    young = old_house.sql("SELECT name FROM partitions() WHERE coalesce(ends > now(), true)")
    names = [row["name"] for row in young] + ["incident", "nothing", "delivery"]
    names += [name for name in old_partitions(old_house) if old_house.sql(f"SELECT FROM {name}")]
    assert len(names) > 15
    for name in names:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            old_house.sql("SELECT drop_partition(%s)", name)
    for incident in (first(old_house), old_house.incidents()[-1].id):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            old_house.sql("SELECT drop_incidents(ARRAY[%s::uuid])", incident)


def test_a_role_that_owns_nothing_may_drop_what_is_old_and_read_no_more_than_it_may(
    old_house: House,
) -> None:
    house = old_house
    month = next(name for name in old_partitions(house) if name.startswith("audit_event"))
    role = f"keeper_{month[-6:]}_{id(house)}"
    house.sql(f"CREATE ROLE {role}")
    try:
        house.sql(f"GRANT USAGE ON SCHEMA responder TO {role}")
        drop = f"SET ROLE {role}; SELECT drop_partition('{month}')"
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
            house.sql(drop)
        house.sql(f"GRANT EXECUTE ON FUNCTION drop_partition TO {role}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="needed"):
            house.sql(drop)
        house.sql("UPDATE incident SET opened_at = now(), seen_at = now(), resolved_at = now()")
        house.sql(drop)
        assert month not in old_partitions(house)
    finally:
        house.sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_who_reads_for_long_is_waited_for_a_moment_and_nobody_waits_behind(
    old_house: House,
) -> None:
    """A dump holds the whole table: what is to go stays until it has ended, and alerts come in."""
    house = old_house
    waited: list[float] = []
    over = threading.Event()

    def accept_alerts() -> None:
        while not over.is_set():
            began = time.perf_counter()
            house.post(alert("Meanwhile"))
            house.run_triage()
            waited.append(time.perf_counter() - began)

    with psycopg.connect(house.services.store.url) as dump:
        dump.execute("SELECT count(*) FROM responder.delivery, responder.alert")
        writer = threading.Thread(target=accept_alerts)
        writer.start()
        try:
            before = old_partitions(house)
            for _ in range(5):
                with pytest.raises(StoreAway, match="LockNotAvailable"):
                    retain(house.services)
            assert old_partitions(house) == before
        finally:
            over.set()
            writer.join()
    retain(house.services)
    assert old_partitions(house) == []
    # The patience of our own sessions is 5 s; ours for a lock is a tenth of a second.
    assert waited and max(waited) < 2
    assert house.gap() == (0, 0)


def test_all_that_points_to_an_incident_is_deleted_before_it(house: House) -> None:
    """A new table that points to an incident needs a statement here, or its months never end."""
    names = {row["name"] for row in house.sql(POINTING)} - {"legal_hold"}
    (row,) = house.sql("SELECT prosrc AS body FROM pg_proc WHERE proname = 'drop_incidents'")
    assert names == set(re.findall(r"DELETE FROM (\w+)", row["body"]))
