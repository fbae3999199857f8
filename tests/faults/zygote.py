"""Starts workers by the dozen: everything is imported once, then each is a fork, killable alone.

Reads one line of JSON for each: config, log, offset in seconds, slots; answers with the process id.
"""

import ctypes
import json
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from responder.app import build
from responder.log import configure
from responder.settings import load
from responder.worker import run

_PR_SET_PDEATHSIG = 1


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for line in sys.stdin:
        told = json.loads(line)
        process = os.fork()
        if process == 0:
            _work(**told)
        print(process, flush=True)


def _work(config: str, log: str, offset: float, slots: int) -> None:
    """A worker, with our database's clock ahead by the offset; it ends with us."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, output, output)):
        os.dup2(descriptor, number)
    configure()
    ahead = timedelta(seconds=offset)
    run(build(load(Path(config)), pool_size=slots * 2 + 4, offset=ahead), slots)
    os._exit(0)


if __name__ == "__main__":
    main()
