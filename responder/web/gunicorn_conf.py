"""gunicorn's settings: threads in a few processes; connections begin after the fork."""

import logging
import os
import re
import resource
import shutil
import time
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.sock import close_sockets, create_sockets  # type: ignore[import-untyped]

from responder.log import STANDARD, configure
from responder.one_core import LOOK_EVERY, OneCore, give_way
from responder.pipeline.pages import Watch, web_watches
from responder.web.reading import EVERY
from responder.web.waiting import THREADS


class Log(Logger):  # type: ignore[misc]
    """gunicorn's lines about itself; each request has one of ours."""

    def access(self, *_: Any) -> None:
        return


def _without_what_was_sent(record: logging.LogRecord) -> bool:
    """gunicorn repeats what it cannot read of a request; a credential may stand in that."""
    record.msg = re.sub(r"(Invalid request from [^'\"]*).*", r"\1...", str(record.msg), flags=re.S)
    if isinstance(record.args, tuple):
        record.args = tuple(
            each.partition("?")[0] if isinstance(each, str) else each for each in record.args
        )
    return True


def _room_for_connections(most: int) -> int:
    """So many connections, or as many as we may have files open: gunicorn dies of one too many."""
    spare = 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < most + spare:
        soft = most + spare if hard == resource.RLIM_INFINITY else min(hard, most + spare)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(spare, min(most, soft - spare))


configure()
logging.getLogger("gunicorn.error").addFilter(_without_what_was_sent)

wsgi_app = "responder.web.wsgi:create()"
worker_class = "responder.web.reading.Worker"
workers = int(os.environ.get("RESPONDER_WEB_WORKERS", "2"))
threads = THREADS
#: More than are answered in the time that a request may wait, else the others wait unseen.
worker_connections = _room_for_connections(2000)
keepalive = 5
timeout = 30
graceful_timeout = 30
#: Else all keep-alive connections may sit on one worker while the other idles.
reuse_port = True
#: Its default is one path for all gunicorns of a user.
control_socket_disable = True
logconfig_dict = STANDARD
logger_class = Log


def post_fork(_: Any, worker: Any) -> None:
    """The door that gunicorn has opened is closed until somebody is behind it: for as long as the
    rules are loaded, whoever came by it would wait, though other processes are there.
    """
    close_sockets(worker.sockets, unlink=False)
    worker.sockets = []


def post_worker_init(worker: Any) -> None:
    """Connect now: a pool that was opened before the fork would be shared and broken."""
    give_way()
    core = OneCore(worker.age)
    services = worker.wsgi.extensions["responder"]
    services.store.open()
    services.lifeline.open()
    services.bell.start()
    worker.wsgi.extensions["responder.reading"] = worker.reading
    slow = Watch(services, lambda _: worker.reading.cut(time.monotonic()), every=EVERY)
    room = Watch(services, core.look, every=LOOK_EVERY)
    worker.responder_watches = [*web_watches(services), slow, room]
    for watch in worker.responder_watches:
        watch.start()
    worker.sockets = create_sockets(worker.cfg, worker.log)
    services.log.info("web process is ready")


def worker_exit(_: Any, worker: Any) -> None:
    """Leave nothing open behind."""
    running = getattr(worker, "responder_watches", [])
    for watch in running:
        watch.stop()
    if running:
        services = worker.wsgi.extensions["responder"]
        services.bell.stop()
        services.lifeline.close()
        services.store.close()


def on_exit(_: Any) -> None:
    """What the processes counted together ends with them; `responder serve` made the folder."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
