"""The job engine: the names of its queues and tasks. A job carries an id, our tables the truth."""

from datetime import timedelta
from typing import Any

import procrastinate
import psycopg

from responder.domain.severity import Severity
from responder.store import Transaction

#: Enqueued by the release before, beside each delivery.
TRIAGE = "triage"
WALK = "walk"
#: A quarter of a worker's slots serve this queue alone, for P0 and P1.
URGENT = "urgent"
NORMAL = "normal"
#: A worker that was not heard of for this long is dead; its jobs go to another one.
DEAD_AFTER = timedelta(seconds=8)

#: Enqueues on our own connections, inside our transactions; it never opens one itself.
_enqueuing = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())


async def each_alone(connection: psycopg.AsyncConnection[Any]) -> None:
    """On a connection of the engine: it never says two statements in one transaction, so that none
    of them needs two more around it."""
    await connection.set_autocommit(True)


def enqueue(transaction: Transaction, task: str, severity: Severity, *jobs: dict[str, Any]) -> None:
    """Put jobs, each by its arguments, beside the change that needs them; P0 goes before P3."""
    deferrer = _enqueuing.configure_task(
        task,
        connection=transaction.connection,
        queue=URGENT if severity.pages else NORMAL,
        priority=len(Severity) - severity.rank,
    )
    try:
        deferrer.batch_defer(*jobs)
    except procrastinate.exceptions.ConnectorException as hidden:
        # Our transaction tells by psycopg's own error whether the database is away.
        raise hidden.__cause__ or hidden from None
