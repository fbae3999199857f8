"""At most four diagnosing connections to a target over all hosts, the last one for P0 and P1."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import Event, Thread, Timer

import psycopg
import pytest

from responder.store import StoreAway
from responder.store.slots import Slots

#: A reading connection is granted or not, without waiting.
AT_ONCE = 0.0


@pytest.fixture
def make_slots(database: str) -> Iterator[Callable[[], Slots]]:
    """As many hosts as a test wants, each with its own session on our database."""
    made: list[Slots] = []

    def make() -> Slots:
        made.append(Slots(database))
        return made[-1]

    yield make
    for slots in made:
        slots.close()


@pytest.fixture
def hosts(make_slots: Callable[[], Slots]) -> tuple[Slots, Slots]:
    return make_slots(), make_slots()


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """What a test takes and does not give back by itself."""
    with ExitStack() as stack:
        yield stack


def read(held: ExitStack, slots: Slots, urgent: bool = False, target: str = "shop") -> bool:
    return held.enter_context(slots.reading(target, urgent, AT_ONCE))


def test_four_over_two_hosts_and_the_fourth_is_for_the_urgent(
    hosts: tuple[Slots, Slots], held: ExitStack
) -> None:
    one, other = hosts
    assert [read(held, one), read(held, other), read(held, one)] == [True, True, True]
    assert [read(held, one), read(held, other)] == [False, False]
    assert read(held, other, urgent=True)
    assert [read(held, one, urgent=True), read(held, other, urgent=True)] == [False, False]


def test_the_urgent_may_have_all_four(hosts: tuple[Slots, Slots], held: ExitStack) -> None:
    one, other = hosts
    assert all(read(held, slots, urgent=True) for slots in (one, other, one, other))
    assert not read(held, one, urgent=True)


def test_another_target_has_its_own(hosts: tuple[Slots, Slots], held: ExitStack) -> None:
    one, _ = hosts
    assert all(read(held, one, urgent=True) for _ in range(4))
    assert read(held, one, target="shop_us")


def test_fixing_has_one_place_of_its_own(hosts: tuple[Slots, Slots], held: ExitStack) -> None:
    one, other = hosts
    assert all(read(held, one, urgent=True) for _ in range(4))
    got = [held.enter_context(slots.writing("shop", AT_ONCE)) for slots in (one, other, one)]
    assert got == [True, False, False]


def test_a_slot_is_free_again_after_its_use(hosts: tuple[Slots, Slots], held: ExitStack) -> None:
    one, other = hosts
    assert read(held, one) and read(held, one)
    with pytest.raises(RuntimeError), one.reading("shop", False, AT_ONCE) as got:
        assert got and not read(held, other)
        raise RuntimeError("the asking failed")
    assert read(held, other)


def test_who_has_patience_gets_what_becomes_free(
    hosts: tuple[Slots, Slots], held: ExitStack
) -> None:
    one, other = hosts
    assert read(held, one) and read(held, one)
    taken, freed = Event(), Event()

    def hold() -> None:
        with one.reading("shop", False, AT_ONCE):
            taken.set()
            freed.wait(10)

    holder = Thread(target=hold)
    holder.start()
    try:
        assert taken.wait(10)
        with other.reading("shop", False, 0.1) as got:
            assert not got
        freeing = Timer(0.1, freed.set)
        freeing.start()
        with other.reading("shop", False, 10) as got:
            assert got
        freeing.join()
    finally:
        freed.set()
        holder.join()


def end_sessions_that_hold(database: str) -> None:
    """The sessions that hold slots die, as they do with their process."""
    with psycopg.connect(database, autocommit=True) as administrator:
        ended = administrator.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM (SELECT DISTINCT l.pid"
            " FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE l.locktype = 'advisory' AND d.datname = current_database()) holding"
        )
        assert ended.fetchall() == [(True,)]


def test_the_slots_of_a_process_that_died_are_free(
    hosts: tuple[Slots, Slots], held: ExitStack, database: str
) -> None:
    one, other = hosts
    assert all(read(held, one, urgent=True) for _ in range(4))
    assert not read(held, other, urgent=True)
    end_sessions_that_hold(database)
    assert all(read(held, other, urgent=True) for _ in range(4))


def test_a_process_whose_session_broke_begins_a_new_one(
    hosts: tuple[Slots, Slots], held: ExitStack, database: str
) -> None:
    one, other = hosts
    assert read(held, one)
    end_sessions_that_hold(database)
    with pytest.raises(StoreAway), one.reading("shop", False, AT_ONCE):
        pass
    assert read(held, one)
    held.close()  # the slot of the session before is given back too, which is no error
    assert [read(held, one) for _ in range(3)] == [True, True, True]
    assert not read(held, other)


def test_a_session_that_was_ended_while_nothing_was_held_is_no_error(
    hosts: tuple[Slots, Slots], database: str
) -> None:
    one, _ = hosts
    with one.reading("shop", False, AT_ONCE) as got:
        assert got
    with psycopg.connect(database, autocommit=True) as administrator:
        administrator.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    one.beat()
    with one.reading("shop", False, AT_ONCE) as got:
        assert got


def test_our_database_away_is_told_as_such() -> None:
    slots = Slots("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(StoreAway), slots.reading("shop", False, AT_ONCE):
        pass
