"""Starts processes of ours by the dozen: all is imported once, then each is a fork, killable alone.

Reads one line of JSON for each, for `_work` or `_serve`; answers with the process id.
"""

import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from gunicorn.app.wsgiapp import run as run_gunicorn  # type: ignore[import-untyped]

from responder.app import build
from responder.log import configure
from responder.settings import load
from responder.worker import run

_PR_SET_PDEATHSIG = 1


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    with TemporaryDirectory(prefix="zygote-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # metrics are made when they are imported
        import responder.web.wsgi  # noqa: F401

        del os.environ["PROMETHEUS_MULTIPROC_DIR"]
        for number, line in enumerate(sys.stdin):
            told = json.loads(line)
            role: Callable[..., object] = {"work": _work, "serve": _serve}[told.pop("role")]
            process = os.fork()
            if process == 0:
                if role is _serve:
                    told["metrics"] = os.path.join(folder, f"{number}")
                _live(role, **told)
            print(process, flush=True)


def _live(role: Callable[..., object], log: str, **told: Any) -> NoReturn:
    """A process like any other; it ends with us, and nothing of ours is tidied up by its end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, output, output)):
        os.dup2(descriptor, number)
    status = 1
    try:
        role(**told)
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        os._exit(status)


def _work(config: str, offset: float, slots: int) -> None:
    """A worker, with our database's clock ahead by the offset."""
    configure()
    ahead = timedelta(seconds=offset)
    run(build(load(Path(config)), pool_size=slots * 2 + 4, offset=ahead), slots)


def _serve(config: str, bind: str, metrics: str) -> None:
    """What `responder serve --workers 1` becomes: gunicorn, which starts a web process."""
    os.mkdir(metrics)
    os.environ["RESPONDER_CONFIG"] = config
    os.environ["RESPONDER_WEB_WORKERS"] = "1"
    os.environ["RESPONDER_METRICS_PORT"] = ""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
    sys.argv = ["gunicorn", "-c", "python:responder.web.gunicorn_conf", "--bind", bind]
    run_gunicorn()


if __name__ == "__main__":
    main()
