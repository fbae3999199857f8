"""Notices merge into one condition in any order and any number, and DESIGN 5's sentences hold."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.alert import Alert, AlertStatus
from responder.domain.condition import Condition, merge

Notice = tuple[Alert, datetime]
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def fire(starts: float, received: float, **labels: str) -> Notice:
    """A firing notice; both times are minutes, the first by the sender's clock."""
    alert = Alert("am", "f", AlertStatus.FIRING, "any", "any", "shop", labels, at(starts))
    return alert, at(received)


def end(ends: float | None, received: float, **labels: str) -> Notice:
    """A resolve; the sender may not say when it ended."""
    ended = None if ends is None else at(ends)
    alert = Alert("am", "f", AlertStatus.RESOLVED, "any", "any", "shop", labels, at(-90), ended)
    return alert, at(received)


def merged(notices: Iterable[Notice], start: Condition | None = None) -> Condition:
    return reduce(lambda known, notice: merge(known, *notice), notices, start or Condition())


SENTENCES = {
    "nothing came yet": ([], None),
    "a first notice fires from when the sender says": ([fire(0, 1)], 0),
    "a repeat changes nothing": ([fire(0, 0), fire(0, 60)], 0),
    "a resolve ends it": ([fire(0, 0), end(10, 10)], None),
    "a resolve alone is nothing firing": ([end(10, 10)], None),
    "a resolve without an end ends it at its receipt": ([fire(0, 0), end(None, 10)], None),
    "a resolve may come before its trigger": ([end(10, 10), fire(0, 11)], None),
    "a trigger at the very end is not later": ([end(10, 10), fire(10, 11)], None),
    "stale: an old trigger soon after the resolve": ([fire(0, 0), end(10, 10), fire(0, 12)], None),
    "stale: still after five minutes": ([fire(0, 0), end(10, 10), fire(0, 15)], None),
    "later an old trigger begins at its receipt": ([fire(0, 0), end(10, 10), fire(0, 15.1)], 15.1),
    "the five minutes run from the resolve's receipt": (
        [fire(0, 0), end(10, 30), fire(0, 34)],
        None,
    ),
    "a new trigger fires anew": ([fire(0, 0), end(10, 10), fire(11, 11)], 11),
    "a late resolve of the episode before ends nothing": (
        [fire(0, 0), end(10, 10), fire(12, 12), end(10, 13)],
        12,
    ),
    "and a new resolve ends the second episode": (
        [fire(0, 0), end(10, 10), fire(0, 20), end(25, 25)],
        None,
    ),
    "a clock ahead of ours counts as ours": ([fire(60, 0)], 0),
    "a clock ahead: the resolve ends it": ([fire(60, 0), end(70, 10)], None),
    "a clock ahead: it fires again": ([fire(60, 0), end(70, 10), fire(72, 12)], 12),
    "a clock ahead at the resolve alone": ([fire(0, 0), end(70, 10), fire(12, 12)], 12),
    "a clock behind: the resolve ends it": ([fire(-60, 0), end(-50, 10)], None),
    "a clock behind: it fires again": ([fire(-60, 0), end(-50, 10), fire(-48, 12)], -48),
    # A monitor without times: its source puts the receipt where the start is missing.
    "the same bytes without times: fire, resolve, fire": (
        [fire(0, 0), end(None, 1), fire(2, 2)],
        2,
    ),
    "the same bytes with a start, soon": ([fire(0, 0), end(None, 1), fire(0, 2)], None),
    "the same bytes with a start, later": ([fire(0, 0), end(None, 1), fire(0, 7)], 7),
}


@pytest.mark.parametrize(("notices", "starts"), SENTENCES.values(), ids=SENTENCES.keys())
def test_when_it_is_firing(notices: list[Notice], starts: float | None) -> None:
    condition = merged(notices)
    assert condition.starts_at == (None if starts is None else at(starts))
    assert condition.firing is (starts is not None)


@pytest.mark.parametrize("last", [fire(0, 9, pod="b"), end(8, 9, pod="b")])
def test_the_labels_are_those_of_the_latest_notice(last: Notice) -> None:
    first = fire(0, 5, pod="a")
    for notices in ([first, last], [last, first]):
        condition = merged(notices)
        assert condition.labels == {"pod": "b"}
        assert condition.last_seen == at(9)


# A few minutes on either side of the five that matter, so that the cases above are all met.
received = st.sampled_from([0, 0.5, 1, 2, 4, 5, 5.5, 6, 7, 10, 11])
said = st.sampled_from([-60, -1, 0, 0.5, 1, 2, 4, 5, 6, 7, 11, 60])
pods = st.sampled_from(["a", "b"])
firing_notices = st.builds(lambda s, r, pod: fire(s, r, pod=pod), said, received, pods)
resolves = st.builds(lambda e, r, pod: end(e, r, pod=pod), st.none() | said, received, pods)
notices = st.lists(firing_notices | resolves, min_size=1, max_size=7)


@given(st.data(), notices)
def test_any_order_and_any_repeats_give_the_same(data: st.DataObject, once: list[Notice]) -> None:
    repeats = data.draw(st.lists(st.sampled_from(once), max_size=4))
    shuffled = data.draw(st.permutations(once + repeats))
    assert merged(shuffled) == merged(once)


@given(notices)
def test_what_is_merged_changes_nothing_when_it_comes_again(once: list[Notice]) -> None:
    condition = merged(once)
    assert merged(once, start=condition) == condition
