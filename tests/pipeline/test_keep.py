"""What a process holds in memory, for how long, and how often a key leaves a host."""

import math
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from responder.domain.alert import Alert, AlertStatus
from responder.domain.ids import new_id
from responder.domain.severity import Severity
from responder.pipeline.keep import DUE_AFTER, HELD_FOR, HUSH, HUSH_AGAIN, ONCE_IN, Keep, Page
from responder.store import StoreAway
from tests.house import House

AT = datetime(2026, 3, 14, 9, 27, tzinfo=UTC)


class Clock:
    """Seconds of no particular beginning."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def page_of(house: House) -> Page:
    one = Alert(
        source="prometheus",
        fingerprint="odd",
        status=AlertStatus.FIRING,
        name="Odd",
        title="Odd in the shop",
        service="",
        labels={"alertname": "Odd"},
        severity=Severity.P0,
    )
    return Page(one, house.services.catalogue.identify(one), AT)


def test_what_is_committed_is_due_a_little_after_its_page_was(clock: Clock, house: House) -> None:
    keep = Keep(clock=clock)
    with keep.held([page_of(house)]) as hold:
        assert keep.due() == []
        hold.delivery = new_id()
    clock.now += DUE_AFTER - 0.01
    assert keep.due() == []
    clock.now += 0.02
    assert keep.due() == [hold]
    assert not hold.lost
    keep.release([hold])
    assert keep.due() == []


def test_what_cannot_be_committed_is_due_at_once(clock: Clock, house: House) -> None:
    keep = Keep(clock=clock)
    with pytest.raises(StoreAway), keep.held([page_of(house)]):
        raise StoreAway("gone")
    (hold,) = keep.due()
    assert hold.lost


def test_a_commit_that_hangs_is_due_too(clock: Clock, house: House) -> None:
    keep = Keep(clock=clock)
    with keep.held([page_of(house)]) as hold:
        clock.now += DUE_AFTER + 0.01
        assert keep.due() == [hold]
        hold.delivery = new_id()


def test_nothing_is_held_for_longer_than_a_minute(clock: Clock, house: House) -> None:
    keep = Keep(clock=clock)
    with keep.held([page_of(house)]) as hold:
        hold.delivery = new_id()
    clock.now += HELD_FOR + 0.1
    assert keep.due() == []


def test_what_wakes_nobody_is_not_held(clock: Clock) -> None:
    keep = Keep(clock=clock)
    with pytest.raises(StoreAway), keep.held([]):
        raise StoreAway("gone")
    assert keep.due() == []


def test_a_key_leaves_once_in_five_minutes_from_a_host(clock: Clock, tmp_path: Path) -> None:
    first, second = Keep(tmp_path, clock), Keep(tmp_path, clock)
    assert first.claim("a")
    assert not first.claim("a")
    assert not second.claim("a"), "another process of this host"
    assert second.claim("b")
    clock.now += ONCE_IN + 1
    for mark in tmp_path.iterdir():
        os.utime(mark, (0, 0))
    assert second.claim("a")
    assert not first.claim("a")


def test_a_clock_that_was_set_back_hushes_no_page(clock: Clock, tmp_path: Path) -> None:
    """A mark from before lies an hour ahead; a process that has not seen it goes by its age."""
    assert Keep(tmp_path, clock).claim("one")
    (mark,) = tmp_path.iterdir()
    ahead = time.time() + 3600
    os.utime(mark, (ahead, ahead))
    assert Keep(tmp_path, clock).claim("one")
    assert not Keep(tmp_path, clock).claim("one"), "the new mark is of now"


def test_files_of_keys_that_left_long_ago_are_put_away(clock: Clock, tmp_path: Path) -> None:
    keep = Keep(tmp_path, clock)
    for number in range(20):
        assert keep.claim(f"{number}")
    for mark in tmp_path.iterdir():
        os.utime(mark, (0, 0))
    (tmp_path / "counter_1.db").touch()
    os.utime(tmp_path / "counter_1.db", (0, 0))
    clock.now += ONCE_IN + 1
    assert keep.claim("another")
    assert len(list(tmp_path.iterdir())) == 2, "this one's, and what is not ours"


def test_a_folder_that_is_gone_hushes_no_page(clock: Clock, tmp_path: Path) -> None:
    keep = Keep(tmp_path / "gone", clock)
    assert keep.claim("a")
    assert not keep.claim("a")


def test_after_a_silence_ordinary_pages_wait_a_moment_and_never_long(clock: Clock) -> None:
    keep = Keep(clock=clock)
    assert not keep.hushed(late_at=-math.inf)
    late_at = clock.now
    clock.now += 5
    assert keep.hushed(late_at)
    clock.now += HUSH
    assert not keep.hushed(late_at)
    for _ in range(100):  # late all the time
        waited = 0.0
        while keep.hushed(clock.now):
            clock.now += 0.25
            waited += 0.25
        assert waited <= HUSH
        clock.now += 0.25
    assert HUSH_AGAIN > HUSH
