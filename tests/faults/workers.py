"""Processes of ours by the dozen: forks of one that has imported everything (`zygote.py`)."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from responder.embedded import tied

_PATIENCE = 30.0


class Workers:
    """Starts them and kills them."""

    def __init__(self, zygote: "subprocess.Popen[str]") -> None:
        self._zygote = zygote

    def start(self, config: Path, log: Path, offset: float = 0.0, slots: int = 2) -> int:
        """The process id of a worker; offset: how far its clock is ahead, in seconds."""
        return self._fork(role="work", config=str(config), log=str(log), offset=offset, slots=slots)

    def serve(self, config: Path, log: Path, bind: str) -> int:
        """The process id of a gunicorn with one web process."""
        return self._fork(role="serve", config=str(config), log=str(log), bind=bind)

    def _fork(self, **told: Any) -> int:
        assert self._zygote.stdin is not None and self._zygote.stdout is not None
        self._zygote.stdin.write(json.dumps(told) + "\n")
        self._zygote.stdin.flush()
        return int(self._zygote.stdout.readline())


def kill(process: int) -> None:
    """SIGKILL; it is gone when this returns."""
    os.kill(process, signal.SIGKILL)
    deadline = time.monotonic() + _PATIENCE
    while alive(process):
        assert time.monotonic() < deadline, f"process {process} does not end"
        time.sleep(0.005)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def open_workers() -> Iterator[Workers]:
    """All of them end with the block."""
    command = tied(sys.executable, "-m", "tests.faults.zygote")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as zygote:
        yield Workers(zygote)
