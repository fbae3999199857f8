"""The responder works as a role that owns nothing and may not change what proves something."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from responder.domain.settings import Retention
from responder.pipeline.people import close, note
from responder.pipeline.retention import retain
from responder.store import Store
from responder.store.migrations import MigrationRefused, migrate
from responder.worker import sweep, tidy
from tests.audit.conftest import ANN, make_settings, scene_of, seal_now
from tests.house import House, alert
from tests.small_rules import TABLE, small_rule

PROOFS = ["audit_event", "audit_event_default", "answer", "decision", "note", "seal", "rule_source"]


@pytest.fixture
def role(database: str) -> Iterator[str]:
    """A role that owns nothing, as `migrate --grant-to` leaves it."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE ROLE responder_app LOGIN")
        try:
            migrate(database, grant_to="responder_app")
            yield make_conninfo(database, user="responder_app")
        finally:
            connection.execute("DROP OWNED BY responder_app")
            connection.execute("DROP ROLE responder_app")


def test_the_whole_product_works(
    make_house: Callable[..., House], role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is over goes; an alert, a fix, a note, a month ahead, and the proof of all of it."""
    rule = small_rule(tmp_path)
    house = make_house([rule], seal=make_settings(tmp_path))
    house.shop.run(TABLE)
    house.services.store.close()
    store = Store(role, 4, "test")
    store.open()
    for way in ("transaction", "at_once"):
        monkeypatch.setattr(house.services.store, way, getattr(store, way))
    try:
        store.offset = timedelta(days=-400)
        house.sql("UPDATE housekeeping SET tidied_at = '-infinity'")
        tidy(house.services)
        house.post(alert("Nobody"))
        house.settle()
        close(house.services, house.incident().id, ANN)
        house.settle()
        store.offset = timedelta()
        seal_now(house)
        house.with_settings(retention=Retention(audit=timedelta(days=100)))
        retain(house.services)
        gone = house.sql("SELECT subject FROM audit_event WHERE what = 'retention'")
        assert house.incidents() == [] and len(gone) > 3
        house.promote(rule)
        house.post(alert("Thing"))
        house.settle()
        note(house.services, house.incident().id, ANN, "Seen.")
        store.offset = timedelta(days=40)
        tidy(house.services)
        sweep(house.services)
        seal_now(house)
        assert house.document()["fixes"][0]["status"] == "committed"
    finally:
        store.close()
    report = scene_of(house).verify()
    assert report.ok and report.events > 10, [each.sentence for each in report.troubles]
    ahead = house.sql(
        "SELECT count(*) AS months FROM pg_class WHERE relname ~ '^audit_event_2\\d+$'"
    )
    today, then = (datetime.now(UTC) + timedelta(days=days) for days in (0, 40))
    passed = (then.year - today.year) * 12 + then.month - today.month
    assert ahead[0]["months"] == passed + 3, "that month, two ahead, and those before it"


@pytest.mark.parametrize("table", PROOFS)
def test_what_proves_something_is_not_changed(role: str, table: str) -> None:
    with psycopg.connect(role, autocommit=True) as connection:
        connection.execute("SET search_path = responder")
        for statement in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())
        rows = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0",
            (table,),
        ).fetchall()
        for (column,) in rows:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f'UPDATE {table} SET "{column}" = "{column}"'.encode())
    for statement in (
        "DROP TABLE responder.seal",
        "ALTER TABLE responder.fix DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
    ):
        with (
            psycopg.connect(role) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement.encode())


def test_a_role_that_is_not_there_is_refused(database: str) -> None:
    with pytest.raises(MigrationRefused, match="there is no role 'nobody'"):
        migrate(database, grant_to="nobody")
