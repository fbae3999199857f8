"""Rows of `incident` as domain objects, and the fenced steps of a walk."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any
from uuid import UUID

from responder.domain.incident import Incident, IncidentStatus, Stage
from responder.domain.severity import Severity
from responder.store import Fenced, Transaction

_COLUMNS = [column.name for column in fields(Incident)]


def incident_from_row(row: Mapping[str, Any]) -> Incident:
    """The incident that a row of the table holds."""
    declared = row["declared_severity"]
    return Incident(
        **{name: row[name] for name in _COLUMNS}
        | {
            "status": IncidentStatus(row["status"]),
            "stage": Stage(row["stage"]),
            "severity": Severity(row["severity"]),
            "declared_severity": declared and Severity(declared),
            "trouble": row["trouble"] or None,
        }
    )


def lock_incident(tx: Transaction, incident_id: UUID) -> Incident:
    """The incident as it is now, held until the transaction ends."""
    return incident_from_row(tx.one("lock_incident", id=incident_id))


def step(tx: Transaction, query: str, incident: Incident, **parameters: Any) -> Incident:
    """One of `advance`, `rest`, `start_again`; Fenced when the walk was taken over."""
    row = tx.maybe(
        query,
        id=incident.id,
        stage=incident.stage,
        attempt=incident.attempt,
        **parameters,
    )
    if row is None:
        raise Fenced
    return incident_from_row(row)
