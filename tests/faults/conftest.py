"""Worlds that can be killed."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.conftest import _memory
from tests.faults.wire import Moment, Story
from tests.faults.worlds import Worlds, open_worlds, until


@pytest.fixture(scope="module")
def worlds() -> Iterator[Worlds]:
    with (
        TemporaryDirectory(prefix="worlds-", dir=_memory()) as folder,
        open_worlds(Path(folder)) as opened,
    ):
        yield opened


@pytest.fixture(scope="module")
def moments(worlds: Worlds) -> list[Moment]:
    """Each moment of one fix in order, from a run in which nothing goes wrong."""
    made = worlds.make([Story()])
    until(lambda: worlds.settled(made[0]), made[0])
    assert worlds.thing(made[0])["applied"] == 1
    seen = made[0].story.moments
    worlds.close()
    return seen
