"""The job engine: the names of its queues and tasks. A job carries an id, our tables the truth."""

from typing import Any

import procrastinate

from responder.domain.severity import Severity
from responder.store import Transaction

TRIAGE = "triage"
WALK = "walk"
#: A quarter of a worker's slots serve this queue alone, for P0 and P1.
URGENT = "urgent"
NORMAL = "normal"

#: Enqueues on our own connections, inside our transactions; it never opens one itself.
_enqueuing = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())


def enqueue(transaction: Transaction, task: str, severity: Severity, **arguments: Any) -> None:
    """Put one job beside the change that needs it; P0 goes before P3."""
    _enqueuing.configure_task(
        task,
        connection=transaction.connection,
        queue=URGENT if severity.pages else NORMAL,
        priority=len(Severity) - list(Severity).index(severity),
    ).defer(**arguments)
