"""The job engine: the names of its queues and tasks. A job carries an id, our tables the truth."""

from datetime import timedelta
from typing import Any

import procrastinate

from responder.domain.severity import Severity
from responder.store import Transaction

TRIAGE = "triage"
WALK = "walk"
#: A quarter of a worker's slots serve this queue alone, for P0 and P1.
URGENT = "urgent"
NORMAL = "normal"
#: A worker that was not heard of for this long is dead; its jobs go to another one.
DEAD_AFTER = timedelta(seconds=8)

#: Enqueues on our own connections, inside our transactions; it never opens one itself.
_enqueuing = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())


def enqueue(transaction: Transaction, task: str, severity: Severity, **arguments: Any) -> None:
    """Put one job beside the change that needs it; P0 goes before P3."""
    job = _enqueuing.configure_task(
        task,
        connection=transaction.connection,
        queue=URGENT if severity.pages else NORMAL,
        priority=len(Severity) - list(Severity).index(severity),
    )
    try:
        job.defer(**arguments)
    except procrastinate.exceptions.ConnectorException as hidden:
        # Our transaction tells by psycopg's own error whether the database is away.
        raise hidden.__cause__ or hidden from None
