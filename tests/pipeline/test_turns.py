"""A slow target: so many walks of a process wait for it, the others leave their slots to others."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from responder.pipeline import turns
from responder.pipeline.diagnose import APART, PUT_OFF
from responder.pipeline.turns import Turns
from tests.house import House, alert
from tests.pipeline.test_diagnose import NOTHING, ONE, answers, written

SHOP = "shop_eu"


@pytest.fixture
def house(make_house: Callable[..., House], tmp_path: Path) -> House:
    """One walk at a time asks a target, and one more at P0 and P1."""
    made = make_house([written(tmp_path, "Asked", ONE + NOTHING)])
    made.services = replace(made.services, turns=Turns(1, 1))
    return made


def test_quick_ones_wait_for_their_turn() -> None:
    narrow = Turns(1, 1)

    def ask(number: int) -> bool:
        with narrow.at(SHOP, False) as got:
            return got

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(100)))


def test_who_finds_a_slow_one_does_not_wait_and_others_have_their_own_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "SLOW", 0.05)
    narrow, over = Turns(1, 1), Event()

    def keep() -> None:
        with narrow.at(SHOP, False):
            over.wait(30)

    with ThreadPoolExecutor(1) as pool:
        keeping = pool.submit(keep)
        while not narrow._places[SHOP, False].began:
            pass
        with narrow.at(SHOP, False) as got:
            assert not got
        with narrow.at(SHOP, True) as urgent, narrow.at("another", False) as another:
            assert urgent and another
        over.set()
        keeping.result()
    with narrow.at(SHOP, False) as first, narrow.at(SHOP, False) as second:
        assert first and not second, "it was slow, so nobody waits until one was quick"
    with narrow.at(SHOP, False) as first:
        assert first


def test_a_walk_that_is_put_off_comes_again(house: House) -> None:
    """It rests without a slot, one behind the other; what came of it is told as ever."""
    house.post(*(alert("Asked", shard=str(number)) for number in range(3)))
    house.run_triage()
    place = house.services.turns._places[SHOP, False]
    place.began, place.slow = [0.0], True
    house.run_walks()
    assert house.sql("SELECT FROM answer") == []
    timers = house.sql("SELECT what, due_at FROM timer ORDER BY due_at")
    assert [timer["what"] for timer in timers] == ["look_again"] * 3
    first, second, third = (timer["due_at"] for timer in timers)
    assert second - first >= APART * 0.9 and third - second >= APART * 0.9
    assert house.gap() == (0, 0)

    place.began.clear()
    house.later(PUT_OFF + 3 * APART + timedelta(seconds=1))
    house.settle()
    assert [len(answers(house, each.id)) for each in house.incidents()] == [1] * 3
    assert {each.stage for each in house.incidents()} == {"watch"}
    assert house.gap() == (0, 0)


def test_p0_is_asked_about_while_others_wait(house: House) -> None:
    place = house.services.turns._places[SHOP, False]
    place.began, place.slow = [0.0], True
    house.post(alert("Asked", shard="1", severity="critical"))
    house.settle()
    assert len(answers(house, house.incident().id)) == 1
