"""Processes of ours as a supervisor sees them: started, killed, started again."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import requests

from responder.cli.demo.children import Child
from responder.cli.demo.world import WORKER_IS_READY
from responder.embedded import tied
from tests.faults.network import Host
from tests.faults.workers import Workers, alive

#: Jobs at once of a worker.
SLOTS = 4


@dataclass
class Process:
    """`serve` with one web process, or `work`; begin: starts it and returns its process id.

    works: whether it does its work, told by what it has said since it was started last; reap: waits
    for its end, where it is a child of ours.
    """

    log: Path
    begin: Callable[[], int]
    works: Callable[[str], bool]
    reap: Callable[[], None] = lambda: None
    pid: int = 0
    _heard: int = 0

    @property
    def running(self) -> bool:
        return self.pid != 0 and alive(self.pid)

    @property
    def ready(self) -> bool:
        return self.running and self.works(self.log.read_text()[self._heard :])

    def start(self) -> None:
        self._heard = len(self.log.read_text()) if self.log.exists() else 0
        self.pid = self.begin()

    def members(self) -> list[int]:
        """Itself and all that it has started and that lives, the newest last."""
        found = [self.pid]
        for process in found:
            with suppress(FileNotFoundError):  # it has just ended
                path = Path(f"/proc/{process}/task/{process}/children")
                found += [int(child) for child in path.read_text().split()]
        return found

    def kill(self) -> None:
        """SIGKILL to itself and all that it has started."""
        assert self.pid, "it was never started"
        for process in self.members():
            kill(process)
        self.reap()


def kill(process: int) -> None:
    """SIGKILL to this process alone."""
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(process, signal.SIGKILL)


def web_process(forks: Workers, host: Host, folder: Path, number: int, bind: str) -> Process:
    log, config = folder / f"serve-{number}.log", folder / "responder.toml"

    def ready(_: str) -> bool:
        return _answers(f"http://{bind}/readyz")

    if host.is_here:
        return Process(log, lambda: forks.serve(config, log, bind), ready)
    return _elsewhere(host, ["serve", "--workers", "1", "--bind", bind], config, log, ready)


def worker_process(forks: Workers, host: Host, folder: Path, number: int) -> Process:
    log, config = folder / f"work-{number}.log", folder / "responder.toml"

    def ready(said: str) -> bool:
        return WORKER_IS_READY in said

    if host.is_here:
        return Process(log, lambda: forks.start(config, log, slots=SLOTS), ready)
    return _elsewhere(host, ["work", "--slots", f"{SLOTS}"], config, log, ready)


def _elsewhere(
    host: Host, arguments: list[str], config: Path, log: Path, ready: Callable[[str], bool]
) -> Process:
    """On a host of its own, where no fork of ours is."""
    child = Child(arguments, {"RESPONDER_CONFIG": str(config), **host.environment}, log)
    command = [*host.prefix, sys.executable, "-m", "responder", *arguments]
    child._command = tied(shutil.which(command[0]) or command[0], *command[1:])

    def begin() -> int:
        child.start()
        return child.pid

    return Process(log, begin, ready, child.stop)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False
