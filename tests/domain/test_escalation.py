"""Who is next: a table of paths, and what holds for all of them."""

from datetime import UTC, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.escalation import Climb, Person, Rung, anybody_ahead, next_step
from responder.domain.hours import Hours

NIGHT = datetime(2026, 3, 11, 3, tzinfo=UTC)
MORNING = datetime(2026, 3, 11, 9, tzinfo=UTC)
ON_CALL = Person("on-call", ("pager",))
LEAD = Person("DevOps Lead", ("lead",), Hours())
ADMIN = Person("Database Admin", ("admin",))
BOTH = [Rung(2, (ON_CALL,)), Rung(3, (LEAD,))]
ALL = [*BOTH, Rung(4, (ADMIN,))]
SHIFT = Person("shift", ("shift",), Hours(opens=time(10), closes=time(12)))


@pytest.mark.parametrize(
    ("path", "level", "over", "at", "climb", "reached", "told", "passed_over"),
    [
        (ALL, 1, True, MORNING, "climbed", 2, (ON_CALL,), ()),
        (ALL, 2, True, MORNING, "climbed", 3, (LEAD,), ()),
        (ALL, 3, True, MORNING, "climbed", 4, (ADMIN,), ()),
        (ALL, 4, True, MORNING, "repeated", 2, (ON_CALL,), ()),
        (ALL, 2, True, NIGHT, "climbed", 4, (ADMIN,), (LEAD,)),
        (BOTH, 2, False, MORNING, "climbed", 3, (LEAD,), ()),
        (BOTH, 2, False, NIGHT, "nobody_available", 2, (), (LEAD,)),
        (BOTH, 2, True, NIGHT, "repeated", 2, (ON_CALL,), (LEAD,)),
        (BOTH, 3, False, MORNING, "nobody_left", 3, (), ()),
        ([Rung(2, (LEAD,))], 2, True, NIGHT, "nobody_available", 2, (), (LEAD,)),
        ([Rung(3, (LEAD, ADMIN))], 2, False, NIGHT, "climbed", 3, (ADMIN,), (LEAD,)),
        ([], 1, True, MORNING, "nobody_left", 1, (), ()),
    ],
)
def test_the_next_step(
    path: list[Rung],
    level: int,
    over: bool,
    at: datetime,
    climb: str,
    reached: int,
    told: tuple[Person, ...],
    passed_over: tuple[Person, ...],
) -> None:
    step = next_step(path, level, over, at)
    assert (step.climb, step.level, step.people) == (Climb(climb), reached, told)
    assert tuple(person for person, _ in step.passed_over) == passed_over


def test_who_opens_first_is_waited_for() -> None:
    step = next_step([Rung(2, (SHIFT,)), Rung(3, (LEAD,))], 1, False, NIGHT)
    assert step.wait_until == MORNING


PEOPLE = st.sampled_from([ON_CALL, LEAD, ADMIN, SHIFT])
PATHS = st.lists(st.sets(PEOPLE, min_size=1).map(tuple), max_size=4).map(
    lambda people: [Rung(level, each) for level, each in enumerate(people, 2)]
)


@given(PATHS, st.integers(1, 5), st.booleans(), st.sampled_from([NIGHT, MORNING]))
def test_somebody_is_told_or_waited_for_wherever_somebody_is_left(
    path: list[Rung], level: int, over: bool, at: datetime
) -> None:
    step = next_step(path, level, over, at)
    assert anybody_ahead(path, level, over) == bool(step.people or step.wait_until)
    assert all(person.available(at) for person in step.people)
    assert all(opens > at and person.available(opens) for person, opens in step.passed_over)
    if step.people and not step.again:
        assert step.level > level


@given(PATHS.filter(bool), st.sampled_from([NIGHT, MORNING]))
def test_a_path_that_begins_again_reaches_everybody_who_is_there(
    path: list[Rung], at: datetime
) -> None:
    """As often as there are levels, and once more."""
    level, told = 1, set[Person]()
    for _ in range(len(path) + 1):
        step = next_step(path, level, True, at)
        level = step.level
        told |= set(step.people)
    assert told == {each for rung in path for each in rung.people if each.available(at)}
