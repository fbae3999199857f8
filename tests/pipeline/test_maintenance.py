"""One-off maintenance windows: what they keep back, for whom, and what happens at their end."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.ids import new_id
from responder.domain.incident import Stage
from responder.pipeline.maintenance import (
    Window,
    WindowWrong,
    end_window,
    in_force,
    open_window,
    paging_resumes,
    window_allows,
)
from tests.house import House, alert
from tests.walks import BAD, fixes, reasons, timers

ANN = Actor(ActorKind.PERSON, "ann")
HOUR = timedelta(hours=1)
OURS = ('env="production"',)
Start = Callable[..., House]


def announce(house: House, **changes: Any) -> UUID:
    """A window of an hour that keeps fixes of production off."""
    window = replace(Window("a test", OURS, duration=HOUR), **changes)
    return open_window(house.services, window, ANN)


def row(house: House, window_id: UUID) -> dict[str, Any]:
    (found,) = house.sql("SELECT * FROM maintenance_window WHERE id = %s", window_id)
    return found


def now(house: House) -> datetime:
    with house.services.store.transaction() as tx:
        return tx.now


def resumes(house: House, **labels: str) -> datetime | None:
    with house.services.store.transaction() as tx:
        return paging_resumes(tx, {"env": "production", **labels})


def events(house: House) -> list[tuple[str, str, dict[str, Any]]]:
    rows = house.sql(
        "SELECT actor, after, details FROM audit_event"
        " WHERE what = 'maintenance' AND actor_kind = 'person' ORDER BY id"
    )
    return [(each["actor"], each["after"], each["details"]) for each in rows]


def test_a_window_and_its_end_are_in_the_trail(start: Start) -> None:
    house = start()
    window_id = announce(house)
    assert end_window(house.services, window_id, ANN)
    assert end_window(house.services, window_id, ANN), "twice is no mistake"
    assert not end_window(house.services, new_id(), ANN)
    (actor, announced, told), (_, ended, _) = events(house)
    assert (actor, announced, ended) == ("ann", "announced", "ended")
    assert (told["matchers"], told["fix"], told["page"]) == (list(OURS), False, True)
    assert (told["reason"], row(house, window_id)["ended_by"]) == ("a test", "ann")


# Fixes


@pytest.mark.parametrize(
    ("changes", "later", "fixed"),
    [
        ({}, timedelta(), False),
        ({"matchers": ()}, timedelta(), False),
        ({"matchers": ('env="staging"',)}, timedelta(), True),
        ({"matchers": (*OURS, 'service="another"')}, timedelta(), True),
        ({"fix": True, "page": False}, timedelta(), True),
        ({}, 2 * HOUR, True),
    ],
)
def test_no_fix_is_made_in_a_window(
    start: Start, changes: dict[str, Any], later: timedelta, fixed: bool
) -> None:
    house = start()
    announce(house, **changes)
    house.later(later)
    house.post(alert("Thing"))
    house.settle()
    assert house.decision() == (("fix", "allowed") if fixed else ("propose", "window"))
    assert house.shop.rows(BAD) == ([] if fixed else [1, 2, 3])


def test_a_window_that_has_not_begun_or_was_ended_keeps_nothing_back(start: Start) -> None:
    house = start()
    future = announce(house, starts_at=now(house) + HOUR, page=False)
    ended = announce(house, page=False)
    assert end_window(house.services, ended, ANN)
    assert resumes(house) is None
    assert not in_force(row(house, ended), now(house))
    assert end_window(house.services, future, ANN)
    house.later(timedelta(minutes=90))
    assert resumes(house) is None
    assert not in_force(row(house, future), now(house))
    house.post(alert("Thing"))
    house.settle()
    assert fixes(house)[0]["status"] == "committed"


# Pages


def test_paging_resumes_when_the_last_window_ends(start: Start) -> None:
    house = start()
    announce(house, page=False, fix=True)
    longer = announce(house, page=False, fix=True, duration=2 * HOUR)
    announce(house, page=True, duration=3 * HOUR)
    announce(house, page=False, duration=4 * HOUR, matchers=('env="staging"',))
    assert resumes(house) == row(house, longer)["ends_at"]
    assert resumes(house, env="test") is None
    house.later(2 * HOUR)
    assert resumes(house) is None


def postponed(house: House, until: datetime) -> UUID:
    """A page of the only incident that waits for this time."""
    page_id = new_id()
    house.sql(
        "INSERT INTO notification (id, incident_id, key, receiver, happening, page, status,"
        " document, created_at, due_at) SELECT %s, id, key, 'pager', 'opened', true, 'due', '{}',"
        " now(), %s FROM incident",
        *(page_id, until),
    )
    return page_id


@pytest.mark.parametrize("held", [True, False])
def test_pages_leave_when_their_window_is_ended_unless_another_one_holds_them(
    start: Start, held: bool
) -> None:
    house = start()
    house.post(alert("Thing"))
    house.settle()
    window_id = announce(house, page=False, duration=2 * HOUR)
    other = announce(house, page=False, matchers=OURS if held else ('env="staging"',))
    page_id = postponed(house, row(house, window_id)["ends_at"])
    elsewhere = postponed(house, row(house, window_id)["ends_at"] + HOUR)
    before = now(house)
    end_window(house.services, window_id, ANN)
    due = {each["id"]: each["due_at"] for each in house.sql("SELECT id, due_at FROM notification")}
    if held:
        assert due[page_id] == row(house, other)["ends_at"]
    else:
        assert before <= due[page_id] <= now(house)
    assert due[elsewhere] > before + 2 * HOUR


# Questions


def test_nothing_is_asked_in_a_window_and_at_its_end_it_is_looked_at(start: Start) -> None:
    house = start()
    window_id = announce(house, diagnose=False)
    ends_at = row(house, window_id)["ends_at"]
    house.shop.run(f"REVOKE CONNECT ON DATABASE {house.shop.name} FROM responder_reading")
    house.post(alert("Thing"))
    house.settle()
    told = house.document()
    assert [answer["status"] for answer in told["diagnosis"]] == ["skipped"]
    assert told["diagnosis"][0]["error"]["kind"] == "window"
    assert (told["findings"], house.decision()) == ([], ("propose", "window"))
    assert ends_at.isoformat() in told["decision"]["sentence"]
    assert house.incident().stage == Stage.WATCH
    assert house.hook.happenings()[-1] == "updated"
    assert house.sql("SELECT due_at FROM timer WHERE what = 'look_again'") == [{"due_at": ends_at}]
    house.shop.run(f"GRANT CONNECT ON DATABASE {house.shop.name} TO responder_reading")
    house.later(timedelta(minutes=59))
    house.settle()
    assert reasons(house) == ["window"]
    house.later(timedelta(minutes=2))
    house.settle()
    assert reasons(house) == ["window", "allowed"]
    assert (house.shop.rows(BAD), timers(house)) == ([], ["quiet"])
    assert house.gap() == (0, 0)


def test_the_next_window_keeps_it_back_again(start: Start) -> None:
    house = start()
    first = announce(house, diagnose=False)
    announce(
        house, diagnose=False, starts_at=row(house, first)["ends_at"], duration=timedelta(hours=2)
    )
    house.post(alert("Thing"))
    house.settle()
    house.later(timedelta(minutes=61))
    house.settle()
    assert reasons(house) == ["window", "window"]
    house.later(2 * HOUR)
    house.settle()
    assert reasons(house) == ["window", "window", "allowed"]


def test_a_window_that_is_ended_early_is_looked_at_at_once(start: Start) -> None:
    house = start()
    window_id = announce(house, diagnose=False)
    house.post(alert("Thing"))
    house.settle()
    end_window(house.services, window_id, ANN)
    house.settle()
    assert reasons(house) == ["window", "allowed"]


def test_a_p0_in_a_window_without_questions_still_pages(start: Start) -> None:
    house = start()
    announce(house, diagnose=False)
    house.post(alert("Thing", severity="critical"))
    house.settle()
    house.later(timedelta(seconds=2))
    house.watch()
    assert house.pager.happenings() == ["opened"]
    assert house.decision() == ("propose", "window")


@pytest.mark.parametrize(
    ("name", "env", "reason"),
    [("Nobody", "production", "no_rule"), ("Thing", "staging", "no_target")],
)
def test_what_cannot_be_asked_in_any_case_is_handed_over(
    start: Start, name: str, env: str, reason: str
) -> None:
    house = start()
    announce(house, diagnose=False, matchers=())
    house.post(alert(name, severity="warning", env=env))
    house.settle()
    assert house.decision() == ("hand_over", reason)
    assert "look_again" not in timers(house)


def test_what_ends_in_a_window_is_not_looked_at(start: Start) -> None:
    house = start()
    announce(house, diagnose=False)
    house.post(alert("Thing"))
    house.settle()
    house.post(alert("Thing", status="resolved"))
    house.settle()
    house.later(2 * HOUR)
    house.settle()
    assert (house.incident().stage, reasons(house), timers(house)) == (Stage.DONE, ["window"], [])


# What is no window


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"duration": None}, {"ends_at"}),
        ({"ends_at": HOUR}, {"ends_at"}),
        ({"duration": timedelta()}, {"ends_at"}),
        ({"duration": timedelta(days=31)}, {"duration"}),
        ({"duration": timedelta.max}, {"duration"}),
        ({"duration": None, "ends_at": timedelta(days=31)}, {"ends_at"}),
        ({"duration": None, "ends_at": -HOUR}, {"ends_at"}),
        ({"duration": None, "ends_at": HOUR, "starts_at": 2 * HOUR}, {"ends_at"}),
        ({"starts_at": -2 * HOUR}, {"ends_at"}),
        ({"starts_at": timedelta(days=400)}, {"starts_at"}),
        ({"fix": True}, {"fix"}),
    ],
)
def test_what_is_no_window(start: Start, changes: dict[str, Any], wrong: set[str]) -> None:
    house = start()
    at = now(house)
    moments = {
        name: at + value if name in ("starts_at", "ends_at") else value
        for name, value in changes.items()
    }
    with pytest.raises(WindowWrong) as caught:
        announce(house, **moments)
    assert set(caught.value.mistakes) == wrong
    assert (house.sql("SELECT id FROM maintenance_window"), events(house)) == ([], [])


# What may be done only in a maintenance


@pytest.mark.parametrize(
    ("items", "ready", "env", "later", "allowed"),
    [
        (1, True, "production", timedelta(), True),
        (1, False, "production", timedelta(), False),
        (1, True, "staging", timedelta(), False),
        (1, True, "production", 2 * HOUR, False),
        (0, True, "production", timedelta(), False),
    ],
    ids=["prepared", "not prepared", "another's", "over", "a silence"],
)
def test_a_window_allows_work_when_its_list_is_complete(
    start: Start, items: int, ready: bool, env: str, later: timedelta, allowed: bool
) -> None:
    house = start()
    window_id = announce(house)
    house.sql(
        "INSERT INTO maintenance_item (window_id, position, phase, item)"
        " SELECT %s, n, 'before', 'a snapshot' FROM generate_series(1, %s) n",
        *(window_id, items),
    )
    if not ready:
        house.sql("UPDATE maintenance_window SET ready_at = NULL")
    house.later(later)
    with house.services.store.transaction() as tx:
        assert window_allows(tx, {"env": env}) is allowed
