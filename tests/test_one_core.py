"""The threads of a process stay on one core, where there is room; what it starts does not."""

import os
import subprocess
import sys

import pytest

from responder.one_core import better, busy

GIVEN = sorted(os.sched_getaffinity(0))

pytestmark = pytest.mark.skipif(len(GIVEN) < 2, reason="there is one core here, so no choice")

#: Each test moves a process of its own. Prints what `cores` says after each line of `then`.
_START = """
import os, subprocess, sys, threading
from pathlib import Path
from responder.one_core import OneCore, on_any_core

def cores(thread=0):
    return sorted(os.sched_getaffinity(thread))

def of_all():
    return sorted({core for each in os.listdir("/proc/self/task") for core in cores(int(each))})

ended = threading.Event()
threading.Thread(target=ended.wait, daemon=True).start()
"""
_SHOW = "import os; print(sorted(os.sched_getaffinity(0)))"


def said(then: str, *arguments: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", _START + then, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.splitlines()


def test_all_threads_are_on_one_core_and_those_of_the_next_process_on_another() -> None:
    then = (
        "for number in (0, 1):\n"
        "    OneCore(number)\n"
        "    threading.Thread(target=ended.wait, daemon=True).start()\n"
        "    print(of_all())"
    )
    assert said(then) == [str([GIVEN[0]]), str([GIVEN[1]])]


def test_who_was_given_one_core_stays_as_it_is() -> None:
    assert said(f"OneCore(given=[{GIVEN[1]}]); print(of_all())") == [str(GIVEN)]


def test_what_it_starts_may_run_everywhere() -> None:
    then = (
        "OneCore()\n"
        "command = [sys.executable, '-c', sys.argv[1]]\n"
        "print(subprocess.check_output(command).decode(), end='')\n"
        "with on_any_core():\n"
        "    print(subprocess.check_output(command).decode(), end='')\n"
        "print(cores())"
    )
    assert said(then, _SHOW) == [str(GIVEN[:1]), str(GIVEN), str(GIVEN[:1])]


def test_it_looks_at_what_the_system_counts() -> None:
    then = "core = OneCore(); core.look(); core.look(); print(of_all())"
    assert said(then) in ([str([core])] for core in GIVEN)


@pytest.mark.parametrize(
    ("used", "own", "best"),
    [
        ({0: 1.0, 1: 0.3, 2: 0.2}, 0.45, 2),
        ({0: 1.0, 1: 0.3, 2: 0.2}, 0.05, None),  # it has next to nothing to do
        ({0: 0.8, 1: 0.1, 2: 0.2}, 0.45, None),  # there is room where it is
        ({0: 1.0, 1: 0.9, 2: 1.0}, 0.45, None),  # and no more elsewhere
        ({0: 1.0, 1: 0.1}, 0.98, None),  # what fills its core is itself
    ],
)
def test_it_goes_where_others_leave_more_room(
    used: dict[int, float], own: float, best: int | None
) -> None:
    assert better(used, 0, own) == best


def test_waiting_for_a_disk_keeps_no_core_busy() -> None:
    """Hundredths of a second: user, nice, system, idle, waiting, interrupts, stolen, guests."""
    stat = "cpu  9 9 9 9 9 9 9 9\ncpu0 100 20 30 999 999 4 5 6 7 8\ncpu1 1 0 0 9 9 0 0 0\nintr 5\n"
    ticks = os.sysconf("SC_CLK_TCK")
    assert busy([0, 3], stat) == {0: 165 / ticks}
