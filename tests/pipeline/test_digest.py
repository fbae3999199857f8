"""The morning digest on a driven clock: once a business day, with true counts, whoever lives."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from threading import Barrier, Thread
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.hours import Hours
from responder.domain.notification import Happening
from responder.domain.settings import Item, Receiver, Route
from responder.pipeline.digest import MOST, next_digest, tell_digest
from responder.pipeline.maintenance import Window, open_window
from responder.pipeline.people import acknowledge
from tests.house import House, alert

ANN = Actor(ActorKind.PERSON, "ann")
BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 6, 1, 6, tzinfo=UTC)


def at(house: House, moment: datetime) -> None:
    """Our database's clock says this."""
    with house.services.store.transaction() as tx:
        house.services.store.offset += moment - tx.now


def morning(house: House) -> dict[str, Any] | None:
    """A tick of the watch, and what it told."""
    tell_digest(house.services)
    before = len(house.hook.got)
    house.send()
    told = [each for each in house.hook.got[before:] if each.happening == Happening.DIGEST]
    assert len(told) <= 1
    return dict(told[0].document["digest"]) if told else None


def counts(told: dict[str, Any] | None) -> dict[str, int]:
    return {part["name"]: part["count"] for part in told["parts"]} if told else {}


@pytest.fixture
def early(house: House) -> House:
    """Six in the morning of a Monday; the day begins at nine."""
    at(house, MONDAY)
    assert morning(house) is None
    return house


def test_everything_that_waits_is_told_once(early: House) -> None:
    early.shop.run(
        "INSERT INTO shopify_sync_queue (inventory_item_id, status, retry_count, last_error,"
        " created_at) SELECT id, 'failed', 3, 'HTTP 503', now() - interval '30 minutes'"
        " FROM intake_items LIMIT 12"
    )
    for name, severity in (
        *(("ShopifyQueueStuck", "warning"), ("Nobody", "warning"), ("NobodyElse", "info")),
        ("Taken", "critical"),
    ):
        # a fire somewhere else: here it would keep fixes off
        env = "staging" if name == "Taken" else "production"
        early.post(alert(name, severity=severity, env=env))
    early.post(alert("Over", "firing"), alert("Over", "resolved"))
    open_window(early.services, _tomorrow(early), ANN)
    early.settle()
    taken = next(each for each in early.incidents() if each.title.startswith("Taken"))
    assert acknowledge(early.services, taken.id, ANN)
    at(early, MONDAY + timedelta(hours=2, minutes=59))
    assert morning(early) is None
    at(early, MONDAY + timedelta(hours=3))
    told = morning(early)
    assert told is not None
    assert counts(told) == {"waiting": 1, "p3": 1, "fixed": 1, "maintenance": 1}
    by_name = {part["name"]: part["items"] for part in told["parts"]}
    assert by_name["waiting"][0]["title"] == "Nobody in the shop"
    assert by_name["p3"][0]["is_new"] is True
    (fix,) = by_name["fixed"]
    assert (fix["option"], fix["counts"], fix["verification"]) == (
        "retry_failed",
        {"shopify_sync_queue": 12},
        "held",
    )
    assert (by_name["maintenance"][0]["open"], by_name["maintenance"][0]["state"]) == (
        1,
        "announced",
    )
    assert early.trail().count(("digest", "due")) == 1
    assert early.pager.happenings() == ["opened", "acknowledged"], "it wakes nobody"
    assert morning(early) is None, "once"


def _tomorrow(house: House) -> Window:
    with house.services.store.transaction() as tx:
        starts_at = tx.now + timedelta(hours=20)
    return Window(
        *("a release", ()),
        starts_at=starts_at,
        duration=timedelta(hours=1),
        fix=False,
        before=[Item("Take a snapshot")],
    )


def test_the_next_morning_tells_what_came_since(early: House) -> None:
    early.post(alert("Nobody", severity="info"))
    early.settle()
    at(early, MONDAY + timedelta(hours=3))
    assert counts(morning(early)) == {"p3": 1}
    at(early, MONDAY + timedelta(hours=27))
    told = morning(early)
    assert told is not None
    assert told["since"].startswith("2026-06-01T09:00")
    assert told["parts"][0]["items"][0]["is_new"] is False, "it was told of yesterday"
    early.post(alert("Nobody", "resolved", severity="info"))
    early.settle()
    at(early, MONDAY + timedelta(hours=51))
    assert morning(early) is None, "nothing waits, so nothing is said"
    assert early.trail().count(("digest", "nothing")) == 1


def test_what_came_and_ended_overnight_at_p3_is_counted_once(early: House) -> None:
    early.post(*(alert(f"Nobody{n}", severity="info") for n in range(3)))
    early.post(alert("NobodyElse", severity="warning"))
    early.settle()
    early.post(*(alert(f"Nobody{n}", "resolved", severity="info") for n in range(2)))
    early.post(alert("NobodyElse", "resolved", severity="warning"))
    early.settle()
    at(early, MONDAY + timedelta(hours=3))
    told = morning(early)
    assert counts(told) == {"p3": 1, "ended": 2}
    early.post(alert("Nobody2", "resolved", severity="info"))
    early.settle()
    at(early, MONDAY + timedelta(hours=27))
    assert morning(early) is None, (
        "it was told of while it was open, the others when they had ended"
    )


def test_whoever_was_forgotten_is_named(early: House) -> None:
    early.post(alert("Nobody", severity="critical"))
    early.settle()
    assert acknowledge(early.services, early.incident().id, ANN)
    early.sql("UPDATE timer SET due_at = due_at + interval '1 year' RETURNING 1")
    at(early, MONDAY + timedelta(hours=27))
    told = morning(early)
    assert counts(told) == {"taken": 1}
    assert told and told["parts"][0]["items"][0]["acknowledged_by"] == "ann"


def test_the_counts_are_true_where_the_names_end(early: House) -> None:
    early.post(*(alert(f"Nobody{n}", severity="info") for n in range(MOST + 3)))
    early.settle()
    early.sql("UPDATE notification SET status = 'dead' WHERE status = 'sent' RETURNING 1")
    at(early, MONDAY + timedelta(hours=3))
    told = morning(early)
    assert told is not None
    assert counts(told)["p3"] == MOST + 3
    assert len(told["parts"][0]["items"]) == MOST
    assert counts(told)["dead"] > 0


@pytest.mark.parametrize(
    ("evening", "morning_at"),
    [
        (datetime(2026, 3, 27, 20, tzinfo=UTC), datetime(2026, 3, 30, 7, tzinfo=UTC)),
        (datetime(2026, 10, 23, 20, tzinfo=UTC), datetime(2026, 10, 26, 8, tzinfo=UTC)),
        (datetime(2026, 12, 31, 20, tzinfo=UTC), datetime(2027, 1, 1, 8, tzinfo=UTC)),
    ],
    ids=["summer begins", "summer ends", "a year begins"],
)
def test_the_day_begins_on_the_clock_of_the_wall(
    house: House, evening: datetime, morning_at: datetime
) -> None:
    """Over a weekend in which the clocks change."""
    house.with_settings(business_hours=Hours(zone=BERLIN))
    at(house, evening)
    assert morning(house) is None
    house.post(alert("Nobody", severity="info"))
    house.settle()
    at(house, morning_at - timedelta(seconds=1))
    assert morning(house) is None
    at(house, morning_at)
    assert counts(morning(house)) == {"p3": 1}


def test_mornings_that_nobody_lived_through_are_one(early: House) -> None:
    early.post(alert("Nobody", severity="info"))
    early.settle()
    at(early, MONDAY + timedelta(days=3))
    assert counts(morning(early)) == {"p3": 1}
    assert morning(early) is None
    assert early.trail().count(("digest", "due")) == 1


def test_two_processes_tell_it_once(early: House, make_house: Callable[..., House]) -> None:
    early.post(alert("Nobody", severity="info"))
    early.settle()
    at(early, MONDAY + timedelta(hours=3))
    other = make_house()
    other.services.store.offset = early.services.store.offset
    start = Barrier(2)

    def tick(house: House) -> None:
        start.wait(10)
        tell_digest(house.services)

    threads = [Thread(target=tick, args=(each,)) for each in (early, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = early.sql("SELECT receiver FROM notification WHERE happening = 'digest'")
    assert told == [{"receiver": "hook"}]
    assert early.trail().count(("digest", "due")) == 1


def test_an_earlier_beginning_counts_at_once(early: House) -> None:
    early.post(alert("Nobody", severity="info"))
    early.settle()
    early.with_settings(business_hours=Hours(opens=time(7)))
    assert morning(early) is None
    at(early, MONDAY + timedelta(hours=1))
    assert counts(morning(early)) == {"p3": 1}


@pytest.mark.parametrize(
    ("digest", "told"), [(None, ["hook", "mail"]), (["mail"], ["mail"]), ([], [])]
)
def test_who_gets_it(early: House, digest: list[str] | None, told: list[str]) -> None:
    receivers = {
        "pager": Receiver("pager", "pagerduty"),
        "hook": Receiver("hook", "webhook"),
        "mail": Receiver("mail", "email"),
        "notes": Receiver("notes", "pagerduty_notes"),
    }
    routes = (Route(("pager",), page=True), Route(("hook", "mail", "notes", "pager")))
    early.with_settings(receivers=receivers, routes=routes, digest=digest)
    early.post(alert("Nobody", severity="info"))
    early.run_jobs()
    with early.services.store.transaction() as tx:
        assert next_digest(early.services, tx)["receivers"] == told
    at(early, MONDAY + timedelta(hours=3))
    tell_digest(early.services)
    rows = early.sql("SELECT receiver FROM notification WHERE happening = 'digest' ORDER BY 1")
    assert [row["receiver"] for row in rows] == told


def test_a_process_that_dies_in_the_middle_leaves_it_to_another(early: House) -> None:
    """Messages, the next time and the event are one transaction."""
    early.post(alert("Nobody", severity="info"))
    early.settle()
    at(early, MONDAY + timedelta(hours=3))
    early.sql("ALTER TABLE audit_event ADD CONSTRAINT dies CHECK (what <> 'digest') NOT VALID")
    with pytest.raises(Exception, match="dies"):
        tell_digest(early.services)
    assert early.sql("SELECT FROM notification WHERE happening = 'digest'") == []
    early.sql("ALTER TABLE audit_event DROP CONSTRAINT dies")
    assert counts(morning(replace(early))) == {"p3": 1}
