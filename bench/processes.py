"""What processes use, as Linux tells it."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

#: Processes by what they are: "web 1", "worker 1", "PostgreSQL".
Roles = Mapping[str, set[int]]

_TICK = os.sysconf("SC_CLK_TCK")


def children(root: int) -> set[int]:
    """What it started and what still runs."""
    return {pid for pid, (parent, _) in _all().items() if parent == root}


def tree(root: int) -> set[int]:
    """The process and all that it started, directly or not."""
    parents = {pid: parent for pid, (parent, _) in _all().items()}
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def cpu(pids: set[int]) -> float:
    """Seconds that they have used so far, with those of their children that have ended."""
    return sum(used for pid, (_, used) in _all().items() if pid in pids)


def memory(pids: set[int]) -> float:
    """Resident megabytes; pages that several of them share are counted once for each."""
    return sum(_resident(pid) for pid in pids)


@contextmanager
def cores(roles: Callable[[], Roles]) -> Iterator[dict[str, float]]:
    """How many cores each role uses inside of the block; filled at its end."""
    used: dict[str, float] = {}
    began, before = time.monotonic(), {name: cpu(pids) for name, pids in roles().items()}
    yield used
    seconds = time.monotonic() - began
    for name, pids in roles().items():
        used[name] = (cpu(pids) - before.get(name, 0.0)) / seconds


def _all() -> dict[int, tuple[int, float]]:
    """Parent and used seconds of every process."""
    found = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            told = place.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        found[int(place.parent.name)] = int(told[1]), sum(map(int, told[11:15])) / _TICK
    return found


def _resident(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    kilobytes = (int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return sum(kilobytes) / 1024
