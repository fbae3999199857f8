"""Ids are UUIDv7, and in one thread each is greater than the one before."""

import time
from uuid import RFC_4122

from hypothesis import given
from hypothesis import strategies as st

from responder.domain.ids import new_id, uuid7

MILLISECOND = 1_000_000
nanoseconds = st.integers(0, (1 << 48) * MILLISECOND - 1)
random_bits = st.integers(0, (1 << 62) - 1)


@given(nanoseconds, random_bits)
def test_the_layout_of_rfc_9562(time_ns: int, random: int) -> None:
    made = uuid7(time_ns, random)
    assert made.version == 7
    assert made.variant == RFC_4122
    assert made.int >> 80 == time_ns // MILLISECOND
    assert made.int & (1 << 62) - 1 == random


@given(nanoseconds, nanoseconds, random_bits, random_bits)
def test_an_earlier_one_is_smaller(one: int, other: int, random: int, another: int) -> None:
    earlier, later = sorted((one, other))
    if later - earlier >= 245:  # the resolution, a 4096th of a millisecond
        assert uuid7(earlier, random) < uuid7(later, another)
    assert str(uuid7(earlier, random)) <= str(uuid7(later, max(random, another)))


def test_rows_of_one_transaction_stay_in_order() -> None:
    made = []
    for _ in range(1000):
        made.append(new_id())
        time.sleep(0.000_001)
    assert made == sorted(made)
    assert len(set(made)) == len(made)
