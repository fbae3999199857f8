"""The responder's own processes, started as in production and watched as a supervisor does it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from responder.embedded import tied

_START = 60.0
#: How long one may finish what it has begun before it is ended.
_STOP = 15.0
#: A process that ended is started again after this time.
_AGAIN = 1.0


class ChildFailed(Exception):
    """A process of ours did not come up; the message ends with the last lines of its log."""


class Child:
    """`responder <arguments>` with its output in a file.

    Start it in the main thread: on Linux it ends with the thread that started it.
    """

    def __init__(self, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = arguments[0]
        self.log = log
        self._command = tied(sys.executable, "-m", "responder", *arguments)
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process that was started last; it leads a session of its own."""
        assert self._process is not None, "it was not started"
        return self._process.pid

    def start(self) -> None:
        """A session of its own, so that Ctrl-C reaches us alone and we end things in order."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Return when it is ready. ChildFailed."""
        deadline = time.monotonic() + _START
        while not ready():
            if not self.running or time.monotonic() > deadline:
                raise ChildFailed(f"responder {self.name} did not come up:\n{self._last_lines()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Let it end in order, and if it takes too long, end it with all that it started."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _last_lines(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])


def supervise(children: Iterable[Child], say: Callable[[str], None]) -> None:
    """Never returns: starts again what has ended, until a signal raises."""
    children = list(children)
    while True:
        for child in children:
            if not child.running:
                say(f"responder {child.name} has ended; it is started again. See {child.log}")
                time.sleep(_AGAIN)
                child.start()
        time.sleep(0.25)
