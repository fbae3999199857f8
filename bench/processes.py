"""What processes use, as Linux tells it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import requests

from responder.embedded import tied

#: Processes by what they are: "web 1", "worker 1", "PostgreSQL".
Roles = Mapping[str, set[int]]

_START, _STOP = 60.0, 10.0
_TICK = os.sysconf("SC_CLK_TCK")


class NotStarted(Exception):
    """A server did not come up; the message ends with the end of its log."""


@contextmanager
def running(
    command: list[str], environment: Mapping[str, str], log: Path, url: str
) -> Iterator[int]:
    """A server that answers at the URL: its process. It ends with all it started. NotStarted."""
    with log.open("ab") as said:
        process = subprocess.Popen(
            tied(*command),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        _wait(process, url, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + _START
    while True:
        try:
            if requests.get(url, timeout=5).status_code < 500:
                return
        except requests.RequestException:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise NotStarted(f"{url} did not come up:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


def numbered(name: str, root: int) -> dict[str, set[int]]:
    """What it started and what still runs, each by itself: the workers of a gunicorn."""
    found = sorted(pid for pid, (parent, _) in _all().items() if parent == root)
    return {f"{name} {number}": {pid} for number, pid in enumerate(found, 1)}


def tree(root: int) -> set[int]:
    """The process and all that it started, directly or not."""
    parents = {pid: parent for pid, (parent, _) in _all().items()}
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


@contextmanager
def resting(pids: set[int]) -> Iterator[None]:
    """They stand still inside of the block, and take nobody's processor."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


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
