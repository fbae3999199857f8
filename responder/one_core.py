"""How the threads of a process share what they have one of: the interpreter, and so one core.

Python runs one thread at a time. When the next one is to run on another core, that core must be
woken up first, which on a small virtual machine takes longer than most of what it does then.
"""

import gc
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

#: Seconds that a thread keeps the interpreter for while others wait for it.
_TURN = 0.001
#: Seconds between two looks at who else wants the core.
LOOK_EVERY = 1.0
#: Shares of a core: what we must use before it is worth to move, how busy ours is then at least,
#: and how much less others use of another one.
_AT_WORK, _BUSY, _ROOM = 0.1, 0.9, 0.1
#: The cores that this process was given; none where the system does not tell.
_GIVEN = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()
_TICKS = os.sysconf("SC_CLK_TCK")


def give_way() -> None:
    """Whoever waits for the interpreter gets it soon; each web and worker process calls this.

    With Python's own 5 ms each step on the way of a page, and there are dozens, would wait so long
    for every thread that has much to calculate. Nor are all rules and modules looked through for
    garbage again and again, during which everybody would wait.
    """
    sys.setswitchinterval(_TURN)
    gc.collect()
    gc.freeze()


class OneCore:
    """Keeps all threads of this process on one core, the one that others use least.

    number: of this process among its like, which begin on different ones. given: those to choose
    from; with fewer than two of them it does nothing.
    """

    def __init__(self, number: int = 0, given: Iterable[int] = _GIVEN) -> None:
        self._given = sorted(given)
        self._core: int | None = None
        self._seen: tuple[dict[int, float], float, float] | None = None
        if len(self._given) > 1:
            self._move(self._given[number % len(self._given)])

    def look(self, _: object = None) -> None:
        """Called every LOOK_EVERY: move where there is more room."""
        if self._core is None:
            return
        try:
            seen = busy(self._given, Path("/proc/stat").read_text())
        except OSError:  # the system does not say
            return
        before, self._seen = self._seen, (seen, _own_seconds(), time.monotonic())
        if before is None:
            return
        took = self._seen[2] - before[2]
        used = {core: (now - before[0].get(core, now)) / took for core, now in seen.items()}
        best = better(used, self._core, (self._seen[1] - before[1]) / took)
        if best is not None:
            self._move(best)
            self._seen = None

    def _move(self, core: int) -> None:
        """All threads there are; those to come begin where the one is that starts them."""
        try:
            for thread in os.listdir("/proc/self/task"):
                with suppress(ProcessLookupError):  # it has ended meanwhile
                    os.sched_setaffinity(int(thread), {core})
            self._core = core
        except OSError:  # not ours to choose
            self._core = None


def better(used: Mapping[int, float], core: int, own: float) -> int | None:
    """The core where others leave clearly more room, if we want more than there is where we are.

    used: the share of each that was busy; own: of this one, by us.
    """
    here = used.get(core, 0.0)
    if own < _AT_WORK or here < _BUSY:
        return None  # who pushes us aside is moved by the system, if there is room elsewhere
    best = min(used, key=lambda each: used[each])
    return best if used[best] < here - own - _ROOM else None


def busy(cores: Iterable[int], stat: str) -> dict[int, float]:
    """Seconds for which each has been busy since the start of the system; stat: what it says."""
    names = {f"cpu{core}": core for core in cores}
    found = {}
    for line in stat.splitlines():
        name, *times = line.split()
        if name in names:
            user, nice, system, _idle, _waiting, *interrupts = map(int, times[:8])
            found[names[name]] = (user + nice + system + sum(interrupts)) / _TICKS
    return found


def _own_seconds() -> float:
    """Seconds of a processor that this process has used."""
    return sum(os.times()[:2])


@contextmanager
def on_any_core() -> Iterator[None]:
    """A process that is started in here may run on every core that ours was given."""
    if not _GIVEN:
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _GIVEN)
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)
