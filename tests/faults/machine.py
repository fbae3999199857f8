"""How much of the machine was ours: a promise in seconds cannot be kept while others have it."""

import os
import threading
import time
from collections import defaultdict
from pathlib import Path

_EVERY = 0.5
#: However busy others are, so much of it is ours.
_LEAST = 0.1


class Machine:
    """Looks every half second at who had the processors: we and what we started, or others."""

    def __init__(self) -> None:
        self._shares: list[tuple[float, float, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="machine", daemon=True)

    def __enter__(self) -> "Machine":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def seconds(self, since: float, until: float) -> float:
        """Of this time of `time.monotonic`, what was left of the machine by others."""
        known = [(max(since, a), min(until, b), share) for a, b, share in self._shares]
        parts = [(b - a, share) for a, b, share in known if b > a]
        unknown = until - since - sum(length for length, _ in parts)
        return unknown + sum(length * share for length, share in parts)

    def _run(self) -> None:
        at, busy, ours = time.monotonic(), *_used()
        while not self._stop.wait(_EVERY):
            now, busy_now, ours_now = time.monotonic(), *_used()
            others = max(0.0, busy_now - busy - max(0.0, ours_now - ours))
            share = 1 - others / ((now - at) * (os.cpu_count() or 1))
            self._shares.append((at, now, min(1.0, max(_LEAST, share))))
            at, busy, ours = now, busy_now, ours_now


def _used() -> tuple[float, float]:
    """Seconds of processors that all have used, and that our own tree of processes has."""
    second = os.sysconf("SC_CLK_TCK")
    first = Path("/proc/stat").read_text().partition("\n")[0].split()
    user, nice, system, _, _, irq, softirq, *_ = map(int, first[1:])
    children, used = defaultdict(list), defaultdict(int)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        process = int(stat.parent.name)
        children[int(fields[1])].append(process)
        used[process] = sum(map(int, fields[11:15]))  # its own time, and that of who it waited for
    tree = [os.getpid()]
    for process in tree:
        tree += children[process]
    return (user + nice + system + irq + softirq) / second, sum(
        map(used.__getitem__, tree)
    ) / second
