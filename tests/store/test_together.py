"""Rows that many threads hand in at once are committed together; each answers for itself."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from itertools import chain
from typing import Any

import psycopg
import pytest

from responder.domain.ids import new_id
from responder.store import SEARCH_PATH, Refused, Store
from responder.store.together import HEAVIEST, MOST, Row, Together


class Lost(Exception):
    """Nobody knows what became of them."""


class Commits:
    """Each waits until it may go on; told: the rows of each, as numbers."""

    def __init__(self) -> None:
        self.told: list[list[int]] = []
        self.may = threading.Semaphore(0)
        self.under_way = threading.Semaphore(0)
        self.wrong: int | None = None
        self.lost = False

    def __call__(self, rows: Sequence[Row]) -> None:
        numbers = [row["number"] for row in rows]
        self.told.append(numbers)
        self.under_way.release()
        assert self.may.acquire(timeout=30)
        if self.lost:
            raise Lost("the network is gone")
        if self.wrong in numbers:
            raise ValueError(f"one of {numbers} is wrong")


@pytest.fixture
def commits() -> Commits:
    return Commits()


@pytest.fixture
def hand_in(commits: Commits) -> Callable[..., list[Future[None]]]:
    """The first one's commit is under way when the others come, one after the other."""

    def handed_in(count: int, weight: int = 100) -> list[Future[None]]:
        together = Together(commits, Lost)
        pool = ThreadPoolExecutor(count)
        futures = [pool.submit(together.insert, {"number": 0}, weight)]
        assert commits.under_way.acquire(timeout=30)
        for number in range(1, count):
            futures.append(pool.submit(together.insert, {"number": number}, weight))
            while len(together._waiting) < number:
                time.sleep(0.001)
        pool.shutdown(wait=False)
        return futures

    return handed_in


def test_who_comes_meanwhile_is_committed_with_the_others(
    commits: Commits, hand_in: Callable[..., list[Future[None]]]
) -> None:
    futures = hand_in(20)
    assert not any(each.done() for each in futures), "nobody is told before it is committed"
    commits.may.release(2)
    for each in futures:
        each.result(timeout=30)
    assert commits.told == [[0], list(range(1, 20))]


def test_one_that_is_wrong_fails_alone(
    commits: Commits, hand_in: Callable[..., list[Future[None]]]
) -> None:
    commits.wrong = 3
    futures = hand_in(6)
    commits.may.release(7)  # the first, the five together, and each of those alone
    for number, each in enumerate(futures):
        if number == 3:
            with pytest.raises(ValueError, match=r"one of \[3\] is wrong"):
                each.result(timeout=30)
        else:
            each.result(timeout=30)
    assert commits.told[:2] == [[0], [1, 2, 3, 4, 5]]
    assert sorted(commits.told[2:]) == [[1], [2], [3], [4], [5]]


def test_one_that_is_wrong_and_came_alone_is_tried_once(commits: Commits) -> None:
    commits.wrong = 0
    commits.may.release(1)
    with pytest.raises(ValueError, match="is wrong"):
        Together(commits, Lost).insert({"number": 0}, 1)
    assert commits.told == [[0]]


def test_what_is_lost_is_not_tried_again_and_nobody_waits_for_it_to_be_lost_again(
    commits: Commits, hand_in: Callable[..., list[Future[None]]]
) -> None:
    """It may be there after all, and a second row would be a second delivery."""
    commits.lost = True
    futures = hand_in(4)
    commits.may.release(1)
    for each in futures:
        with pytest.raises(Lost, match="the network is gone"):
            each.result(timeout=30)
    assert commits.told == [[0]]


def test_after_a_loss_the_next_ones_go_on(commits: Commits) -> None:
    together = Together(commits, Lost)
    commits.may.release(2)
    commits.lost = True
    with pytest.raises(Lost):
        together.insert({"number": 0}, 1)
    commits.lost = False
    together.insert({"number": 1}, 1)
    assert commits.told == [[0], [1]]


def test_no_statement_is_too_long(
    commits: Commits, hand_in: Callable[..., list[Future[None]]]
) -> None:
    futures = hand_in(MOST + 6)
    commits.may.release(3)
    for each in futures:
        each.result(timeout=30)
    assert [len(numbers) for numbers in commits.told] == [1, MOST, 5]
    assert [*chain(*commits.told)] == [*range(MOST + 6)], "in the order in which they came"


def test_no_statement_is_too_heavy(
    commits: Commits, hand_in: Callable[..., list[Future[None]]]
) -> None:
    futures = hand_in(6, weight=HEAVIEST // 2)
    commits.may.release(4)
    for each in futures:
        each.result(timeout=30)
    assert commits.told == [[0], [1, 2], [3, 4], [5]]


def delivery(**more: Any) -> dict[str, Any]:
    return {
        "id": new_id(),
        "source": "am",
        "outcome": "accepted",
        "encrypted": None,
        "body_sha256": "00" * 32,
        "body_bytes": 1,
        "headers": {},
        "notices": [],
        "alert_count": 0,
        "page_within": timedelta(seconds=1.75),
        "triaged": False,
        "note": "",
        "priority": 0,
        **more,
    }


def test_deliveries_of_one_moment_are_one_transaction(database: str) -> None:
    """And one of them that our database refuses keeps none of the others out."""
    store = Store(database, 8, "test")
    store.open()
    rows = [delivery() for _ in range(6)] + [delivery(outcome="odd")]
    with (
        psycopg.connect(database, options=f"-c search_path={SEARCH_PATH}") as other,
        ThreadPoolExecutor(len(rows)) as senders,
    ):
        other.execute("LOCK TABLE delivery IN SHARE MODE")
        told = [senders.submit(store.at_once, row, 1) for row in rows[:1]]
        waits = (
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'delivery'::regclass"
        )
        while other.execute(waits).fetchone() == (0,):
            time.sleep(0.01)
        told += [senders.submit(store.at_once, row, 1) for row in rows[1:6]]
        while len(store._together._waiting) < 5:
            time.sleep(0.001)
        other.rollback()
        for each in told:
            each.result(timeout=30)
        counted = "count(DISTINCT xmin::text), count(*), min(page_due_at - received_at)"
        found = other.execute(f"SELECT {counted} FROM delivery").fetchone()
        assert found == (2, 6, timedelta(seconds=1.75))
        with pytest.raises(Refused):
            store.at_once(rows[6], 1)
    store.close()
