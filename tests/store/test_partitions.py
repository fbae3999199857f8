"""Partitions are made ahead; rows that came before theirs neither stop anything nor get lost."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from responder.worker import sweep, tidy
from tests.house import House, alert

PARTITIONS = """
SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = ('responder.' || %s)::regclass ORDER BY c.relname
"""


def partitions(house: House, parent: str) -> list[str]:
    return [row["name"] for row in house.sql(PARTITIONS, parent)]


def in_default(house: House, parent: str) -> int:
    (row,) = house.sql(f"SELECT count(*) AS rows FROM {parent}_default")
    return int(row["rows"])


def handled(house: House, name: str) -> Any:
    """One more alert from the door to its incident."""
    house.post(alert(name))
    house.settle()
    return house.incidents()[-1].title


@pytest.mark.parametrize(("days", "parents"), [(10, ["delivery"]), (100, ["delivery", "alert"])])
def test_a_sleep_that_was_longer_than_the_partitions_ahead(
    house: House, days: int, parents: list[str]
) -> None:
    """Nobody has tidied for so long that rows fell into the default partition."""
    house.later(timedelta(days=days))
    assert handled(house, "First") == "First in the shop"
    assert all(in_default(house, parent) for parent in parents)
    before = partitions(house, "delivery")
    tidy(house.services)
    sweep(house.services)
    assert len(partitions(house, "delivery")) == len(before) + 7, "all but today's"
    waiting = in_default(house, "delivery")
    assert handled(house, "Second") == "Second in the shop"
    assert in_default(house, "delivery") == waiting + 1, "today goes on where it began"
    house.later(timedelta(days=1))
    assert handled(house, "Third") == "Third in the shop"
    assert in_default(house, "delivery") == waiting + 1
    house.later(timedelta(hours=2))
    tidy(house.services)
    assert house.gap() == (0, 0)


def test_tidying_twice_makes_nothing_twice(house: House) -> None:
    before = partitions(house, "delivery")
    for _ in range(2):
        house.later(timedelta(hours=2))
        tidy(house.services)
    assert set(before) <= set(partitions(house, "delivery"))
    assert len(partitions(house, "delivery")) <= len(before) + 1


@pytest.mark.parametrize("statement", ["TRUNCATE {}", "DELETE FROM {}", "UPDATE {} SET what = ''"])
@pytest.mark.parametrize("ahead", [timedelta(), timedelta(days=200)])
def test_no_partition_of_the_audit_lets_its_events_be_changed(
    house: House, statement: str, ahead: timedelta
) -> None:
    """Neither the first ones nor those that were made later; nor the whole."""
    house.later(ahead)
    tidy(house.services)
    handled(house, "Thing")
    names = ["audit_event", *partitions(house, "audit_event")]
    assert "audit_event_default" in names
    for name in names:
        with psycopg.connect(house.services.store.url) as connection:
            table = sql.Identifier("responder", name)
            (rows,) = connection.execute(
                sql.SQL("SELECT count(*) FROM {}").format(table)
            ).fetchone() or (0,)
            if rows == 0 and "TRUNCATE" not in statement:
                continue  # row triggers see no rows
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="never changed"):
                connection.execute(sql.SQL(statement).format(table))
