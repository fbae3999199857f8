"""Who is slow to speak or to listen is cut off, and told so where it can be told."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from responder.web.reading import LONGEST, LONGEST_ANSWER, MANY, PATIENCE, Reading

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    made = [socket.socketpair() for _ in range(MANY + 2)]
    yield made
    for ours, theirs in made:
        ours.close()
        theirs.close()


def cut_off(sock: socket.socket) -> bool:
    """Whether nothing more is read from it."""
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False


def begun(reading: Reading, pairs: list[Pair], stack: ExitStack) -> float:
    """All of them are being read; since when, at the latest."""
    for ours, _ in pairs:
        stack.enter_context(reading.of(ours))
    return max(at for at, _, _ in reading._since.values())


def test_the_slowest_are_cut_off_while_they_hold_too_many_threads(pairs: list[Pair]) -> None:
    reading = Reading()
    with ExitStack() as stack:
        now = begun(reading, pairs, stack)
        reading.cut(now + PATIENCE / 2)
        assert not any(cut_off(ours) for ours, _ in pairs)
        reading.cut(now + PATIENCE * 1.1)
        assert [cut_off(ours) for ours, _ in pairs] == [True, True] + [False] * MANY
        assert [reading.ended(ours) for ours, _ in pairs] == [False, False] + [True] * MANY


def test_a_few_slow_ones_may_go_on_for_a_while(pairs: list[Pair]) -> None:
    reading = Reading()
    with ExitStack() as stack:
        now = begun(reading, pairs[:MANY], stack)
        reading.cut(now + LONGEST * 0.9)
        assert not any(cut_off(ours) for ours, _ in pairs)
        reading.cut(now + LONGEST * 1.1)
        assert [cut_off(ours) for ours, _ in pairs] == [True] * MANY + [False] * 2


def test_what_came_whole_is_never_cut_off(pairs: list[Pair]) -> None:
    reading = Reading()
    with ExitStack() as stack:
        now = begun(reading, pairs, stack)
        assert all(reading.ended(ours) for ours, _ in pairs)
        reading.cut(now + LONGEST * 2)
        assert not any(cut_off(ours) for ours, _ in pairs)


def test_who_is_cut_off_still_hears_the_answer(pairs: list[Pair]) -> None:
    ours, theirs = pairs[0]
    reading = Reading()
    with reading.of(ours):
        reading.cut(reading._since[ours][0] + LONGEST * 2)
        ours.sendall(b"503")
    assert theirs.recv(3) == b"503"
    with reading.of(ours):  # the next request of a connection begins anew
        assert reading.ended(ours)


def test_who_does_not_take_the_answer_is_cut_off_too(pairs: list[Pair]) -> None:
    reading = Reading()
    with ExitStack() as stack:
        begun(reading, pairs, stack)
        for ours, _ in pairs:
            assert reading.ended(ours)
            reading.answers(ours)
        now = max(at for at, _, _ in reading._since.values())
        reading.cut(now + PATIENCE * 1.1)
        for ours, theirs in pairs[:2]:  # so that a thread that is stuck in sending comes free
            with pytest.raises(BrokenPipeError):
                ours.sendall(b"200")
            assert theirs.recv(3) == b""
        for ours, _ in pairs[2:]:
            ours.sendall(b"200")


def test_what_is_over_its_time_goes_before_what_is_only_slow(pairs: list[Pair]) -> None:
    """An answer has more time than a request."""
    reading = Reading()
    (listening, _), (speaking, _) = pairs[:2]
    with reading.of(listening), reading.of(speaking):
        reading.answers(listening)
        now = reading._since[speaking][0]
        reading.cut(now + (LONGEST + LONGEST_ANSWER) / 2)
        assert [cut_off(listening), cut_off(speaking)] == [False, True]
