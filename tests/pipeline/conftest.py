"""A house with a rule of one's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.house import House
from tests.small_rules import TABLE, small_rule


@pytest.fixture
def start(make_house: Callable[..., House], tmp_path: Path) -> Callable[..., House]:
    """A house with one small rule, promoted to act, over a shop with three bad things."""

    def started(promoted: bool = True, **of_rule: Any) -> House:
        rule = small_rule(tmp_path, **of_rule)
        house = make_house([rule])
        house.shop.run(TABLE)
        if promoted:
            house.promote(rule)
        return house

    return started
