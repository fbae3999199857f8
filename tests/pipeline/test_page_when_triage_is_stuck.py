"""A worker that stopped in the middle of triage holds its locks; the page leaves all the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest

from tests.house import House, alert


@contextmanager
def locked(house: House, statement: str) -> Iterator[None]:
    """Somebody holds these rows and does not go on."""
    with psycopg.connect(house.services.store.url) as other:
        other.execute("SET search_path = responder")
        other.execute(statement)
        yield


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("SELECT FROM delivery FOR UPDATE", id="the delivery"),
        pytest.param("LOCK TABLE condition", id="the conditions"),
    ],
)
def test_a_bare_page_leaves_and_is_adopted(house: House, statement: str) -> None:
    house.post(alert("DatabaseDown", severity="critical"))
    house.later(timedelta(seconds=2))
    with locked(house, statement):
        house.watch()
        house.watch()
        (message,) = house.pager.got
        assert message.document["incident"]["title"] == "DatabaseDown in the shop"
        assert message.document["incident"]["id"] is None
    house.settle()
    assert len(house.pager.got) == 1, "the incident adopts the page that left"
    (row,) = house.sql("SELECT incident_id FROM notification WHERE page")
    assert row["incident_id"] == house.incident().id
    assert house.outcomes() == ["opened"]


def test_an_end_that_was_told_a_moment_ago_keeps_no_page_back(house: House) -> None:
    """It is a message of the same key too; only a page that woke somebody makes another useless."""
    house.post(alert("DatabaseDown", severity="critical"))
    house.settle()
    house.post(alert("DatabaseDown", "resolved", severity="critical"))
    house.settle()
    assert house.pager.happenings() == ["opened", "resolved"]
    long_ago = "UPDATE notification SET created_at = now() - interval '2 h'"
    house.sql(f"{long_ago} WHERE happening = 'opened'")
    house.post(alert("DatabaseDown", severity="critical"))
    house.later(timedelta(seconds=2))
    with locked(house, "SELECT FROM delivery FOR UPDATE"):
        house.watch()
        house.watch()
        assert house.pager.happenings() == ["opened", "resolved", "opened"]


def test_a_triage_that_is_only_slow_is_left_alone(house: House) -> None:
    house.post(alert("DatabaseDown", severity="critical"))
    house.later(timedelta(seconds=1.2))
    with locked(house, "SELECT FROM delivery FOR UPDATE"):
        house.watch()
        assert house.sql("SELECT FROM notification") == []


@pytest.mark.parametrize(("word", "pages"), [("high", 1), ("critical", 2)])
def test_whom_its_open_incident_has_woken_is_woken_barely_only_for_worse(
    house: House, word: str, pages: int
) -> None:
    """A long group that is told again is late each time; its incidents are in people's hands."""
    house.post(alert("ShopifyQueueStuck", severity="high"))
    house.settle()
    assert len(house.pager.got) == 1
    house.later(timedelta(minutes=8))
    house.post(alert("ShopifyQueueStuck", severity=word))
    house.later(timedelta(seconds=2))
    with locked(house, "LOCK TABLE condition"):
        house.watch()
    assert len(house.pager.got) == pages
    house.settle()
    assert len(house.pager.got) == pages
    assert house.outcomes() == ["opened", "joined"]


def test_an_incident_that_is_over_holds_no_bare_page_back(house: House) -> None:
    house.post(alert("CheckoutSlow", severity="high"))
    house.settle()
    house.post(alert("CheckoutSlow", severity="high", status="resolved"))
    house.settle()
    house.later(timedelta(hours=1))
    house.post(alert("CheckoutSlow", severity="high"))
    house.later(timedelta(seconds=2))
    with locked(house, "LOCK TABLE condition"):
        house.watch()
    assert house.pager.happenings() == ["opened", "resolved", "opened"]
