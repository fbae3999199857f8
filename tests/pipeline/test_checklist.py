"""Items of a checklist that answer themselves: asked as diagnostics are, ticked by the system."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from responder.domain.settings import Expect, Item
from responder.domain.statements import parse_statements
from responder.pipeline.checklist import (
    AGAIN,
    GIVE_UP,
    CheckWrong,
    answer_items,
    question_for,
    tick,
)
from responder.pipeline.maintenance import end_window
from tests.house import House
from tests.pipeline.test_maintenance import ANN, HOUR, announce, now, row
from tests.walks import dies, refusing

MINUTE = timedelta(minutes=1)
CHECK = "thing.wrong"  # which things are bad: three are
Start = Callable[..., House]


def item(house: House, window_id: UUID) -> dict[str, Any]:
    (only,) = house.sql("SELECT * FROM maintenance_item WHERE window_id = %s", window_id)
    return only


def mend(house: House) -> None:
    house.shop.run("UPDATE thing SET state = 'good'")


@pytest.mark.parametrize(
    ("expect", "mended", "good"),
    [
        (Expect.ANSWER, False, True),
        (Expect.ANSWER, True, True),
        (Expect.ROWS, False, True),
        (Expect.ROWS, True, False),
        (Expect.NO_ROWS, False, False),
        (Expect.NO_ROWS, True, True),
    ],
)
def test_an_answer_ticks_its_item(start: Start, expect: Expect, mended: bool, good: bool) -> None:
    house = start()
    if mended:
        mend(house)
    window_id = announce(house, page=False, before=[Item("look", CHECK, expect=expect)])
    answer_items(house.services)
    found = item(house, window_id)
    assert (found["answer"]["status"], found["answer"]["good"]) == ("ok", good)
    assert found["answer"]["rows"] == (0 if mended else 3)
    assert (found["ticked_at"] is not None) == good
    assert row(house, window_id)["state"] == ("in_force" if good else "waiting")
    trail = house.sql("SELECT actor_kind, actor FROM audit_event WHERE after = 'ticked'")
    assert trail == ([{"actor_kind": "system", "actor": CHECK}] if good else [])
    assert (found["ticked_kind"], found["ticked_by"]) == (
        ("system", CHECK) if good else (None, None)
    )


def test_it_is_asked_each_minute_until_it_is_good(start: Start) -> None:
    house = start()
    look = Item("look", CHECK, expect=Expect.NO_ROWS)
    window_id = announce(house, page=False, before=[look])
    answer_items(house.services)
    mend(house)
    answer_items(house.services)
    assert item(house, window_id)["ticked_at"] is None
    house.later(AGAIN)
    answer_items(house.services)
    assert item(house, window_id)["ticked_at"] is not None
    assert item(house, window_id)["ask_at"] is None


def test_the_list_before_is_asked_shortly_before_the_start(start: Start) -> None:
    house = start()
    window_id = announce(house, starts_at=now(house) + HOUR, before=[Item("look", CHECK)])
    house.later(44 * MINUTE)
    answer_items(house.services)
    assert item(house, window_id)["answer"] is None
    house.later(2 * MINUTE)
    answer_items(house.services)
    assert item(house, window_id)["ticked_at"] is not None
    assert row(house, window_id)["state"] == "announced"
    house.later(20 * MINUTE)
    house.settle()
    assert row(house, window_id)["state"] == "in_force"


@pytest.mark.parametrize("early", [False, True])
def test_the_list_afterwards_is_asked_from_the_end_on(start: Start, early: bool) -> None:
    house = start()
    window_id = announce(house, diagnose=False, after=[Item("smoke", CHECK)])
    house.later(30 * MINUTE)
    house.settle()
    answer_items(house.services)
    assert item(house, window_id)["answer"] is None
    if early:
        end_window(house.services, window_id, ANN)
    else:
        house.later(HOUR)
        house.settle()
    assert row(house, window_id)["state"] == "finishing"
    answer_items(house.services)
    assert row(house, window_id)["state"] == "watching"


def test_a_target_that_is_away_is_said_and_asked_again(start: Start) -> None:
    house = start()
    window_id = announce(house, before=[Item("look", CHECK)])
    house.shop.run(f"REVOKE CONNECT ON DATABASE {house.shop.name} FROM responder_reading")
    answer_items(house.services)
    found = item(house, window_id)
    assert (found["answer"]["status"], found["ticked_at"]) == ("failed", None)
    assert found["answer"]["error"]
    house.shop.run(f"GRANT CONNECT ON DATABASE {house.shop.name} TO responder_reading")
    house.later(AGAIN)
    answer_items(house.services)
    assert item(house, window_id)["ticked_at"] is not None


def test_another_window_that_keeps_questions_off_is_respected(start: Start) -> None:
    house = start()
    window_id = announce(house, before=[Item("look", CHECK)])
    other = announce(house, diagnose=False, duration=HOUR / 2)
    answer_items(house.services)
    assert item(house, window_id)["answer"] is None
    end_window(house.services, other, ANN)
    house.later(AGAIN)
    answer_items(house.services)
    assert item(house, window_id)["ticked_at"] is not None


def test_a_person_may_tick_it_too_and_then_it_is_not_asked(start: Start) -> None:
    house = start()
    look = Item("look", CHECK, expect=Expect.NO_ROWS)
    window_id = announce(house, before=[look])
    answer_items(house.services)
    assert tick(house.services, window_id, 1, ANN, True)
    house.later(AGAIN)
    answer_items(house.services)
    assert item(house, window_id)["ticked_by"] == "ann"
    assert item(house, window_id)["answer"]["good"] is False


@pytest.mark.parametrize("ended", [True, False])
def test_it_is_not_asked_for_ever(start: Start, ended: bool) -> None:
    house = start()
    look = Item("smoke", CHECK, expect=Expect.NO_ROWS)
    window_id = announce(house, **{"before" if ended else "after": [look]})
    house.later(HOUR if ended else HOUR + GIVE_UP)
    house.settle()
    answer_items(house.services)
    answer_items(house.services)
    assert (item(house, window_id)["ask_at"], item(house, window_id)["answer"]) == (None, None)


def test_a_process_that_dies_while_it_asks_leaves_it_to_the_next(start: Start) -> None:
    house = start()
    window_id = announce(house, before=[Item("look", CHECK)])
    with refusing(house, "audit_event", "NEW.after = 'ticked'"):
        dies(lambda: answer_items(house.services))
    assert item(house, window_id)["ticked_at"] is None
    answer_items(house.services)
    assert item(house, window_id)["ticked_at"] is None, "another one waits for the lease"
    house.later(AGAIN)
    answer_items(house.services)
    assert row(house, window_id)["state"] == "in_force"


def test_an_answer_that_comes_too_late_ticks_nothing(start: Start) -> None:
    house = start()
    window_id = announce(house, before=[Item("look", CHECK)])
    house.later(HOUR)
    answer_items(house.services)
    assert (item(house, window_id)["ticked_at"], row(house, window_id)["state"]) == (None, "missed")


def test_a_rule_that_is_gone_is_said(start: Start) -> None:
    house = start()
    window_id = announce(house, before=[Item("look", "gone.server")])
    answer_items(house.services)
    assert "no rule 'gone'" in item(house, window_id)["answer"]["wrong"]


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        (Item("x", "server"), "no rule 'server'"),
        (Item("x", "thing.server"), "no diagnostic 'server'; it has wrong"),
        (Item("x", CHECK, target="shop_us"), "no target shop_us of kind shop"),
    ],
)
def test_what_cannot_be_asked(start: Start, asked: Item, wrong: str) -> None:
    house = start()
    with pytest.raises(CheckWrong, match=wrong):
        question_for(house.services.catalogue, house.services.settings, asked)


def test_what_only_an_alert_says_cannot_be_asked(start: Start) -> None:
    house = start()
    asking = parse_statements("-- name: wrong\n-- For a test.\nSELECT %(state)s AS state;", "t")
    rule = replace(house.services.catalogue.rules["thing"], statements=asking)
    house.services.catalogue.rules["thing"] = rule
    with pytest.raises(CheckWrong, match="needs state, which only an alert says"):
        question_for(house.services.catalogue, house.services.settings, Item("x", CHECK))


def test_of_several_targets_one_must_be_named(start: Start) -> None:
    house = start()
    one = house.services.settings.targets["shop_eu"]
    house.with_settings(targets={"shop_eu": one, "shop_us": one})
    with pytest.raises(CheckWrong, match="of kind shop there are: shop_eu, shop_us"):
        question_for(house.services.catalogue, house.services.settings, Item("x", CHECK))
    named = Item("x", CHECK, target="shop_us")
    target, question = question_for(house.services.catalogue, house.services.settings, named)
    assert (target, question.text) == (one, "x")
