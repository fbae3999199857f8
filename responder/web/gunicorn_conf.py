"""gunicorn's settings: threads in a few processes; connections begin after the fork."""

import os
from typing import Any

from responder.pipeline.pages import watches

wsgi_app = "responder.web.wsgi:create()"
worker_class = "gthread"
workers = int(os.environ.get("RESPONDER_WEB_WORKERS", "2"))
threads = 4
keepalive = 5
timeout = 30
graceful_timeout = 30
#: Else all keep-alive connections may sit on one worker while the other idles.
reuse_port = True
#: Its default is one path for all gunicorns of a user.
control_socket_disable = True
accesslog = None


def post_worker_init(worker: Any) -> None:
    """Connect now: a pool that was opened before the fork would be shared and broken."""
    services = worker.wsgi.extensions["responder"]
    services.store.open()
    worker.responder_watches = watches(services)
    for watch in worker.responder_watches:
        watch.start()


def worker_exit(_: Any, worker: Any) -> None:
    """Leave nothing open behind."""
    running = getattr(worker, "responder_watches", [])
    for watch in running:
        watch.stop()
    if running:
        worker.wsgi.extensions["responder"].store.close()
