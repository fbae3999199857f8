"""An incident: the answering of one key, from the first notice to its end."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from responder.domain.severity import Severity


class IncidentStatus(StrEnum):
    """For people."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Stage(StrEnum):
    """For the engine: what it does next; `watch` waits for the end, `done` is the end."""

    TRIAGE = "triage"
    DIAGNOSE = "diagnose"
    PLAN = "plan"
    FIX = "fix"
    VERIFY = "verify"
    WATCH = "watch"
    DONE = "done"


class ResolvedBy(StrEnum):
    SENDER = "sender"
    PERSON = "person"
    QUIET = "quiet"


@dataclass(frozen=True)
class Incident:
    """One row of `incident`; severity is the effective one and never becomes milder."""

    id: UUID
    key: str
    title: str
    source: str
    rule: str | None
    rule_checksum: str | None
    target: str | None
    parameters: Mapping[str, Any]
    labels: Mapping[str, str]
    status: IncidentStatus
    stage: Stage
    severity: Severity
    declared_severity: Severity | None
    severity_unreadable: bool
    attempt: int
    walking: bool
    again: bool
    looked_again: int
    updates: int
    trouble: str | None
    trouble_detail: str
    decision_id: UUID | None
    opened_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    resolved_by: str | None
    paged_at: datetime | None


#: How severe a fault is called says nothing about which fault it is.
SEVERITY_LABELS = frozenset({"severity", "level", "priority", "urgency"})
#: Labels that never tell faults apart: severities, and what differs between replicas.
KEYLESS_LABELS = frozenset(
    {
        *SEVERITY_LABELS,
        *("replica", "prometheus", "prometheus_replica", "pod", "pod_name", "container_id"),
        *("endpoint", "receive", "__replica__"),
    }
)


def incident_key(rule: str, target: str | None, values: Mapping[str, str]) -> str:
    """The identity of an incident that a rule answers; never the severity."""
    return _bounded(
        json.dumps(["rule", rule, target, dict(values)], sort_keys=True, ensure_ascii=False)
    )


def incident_key_without_rule(source: str, fingerprint: str) -> str:
    """The identity of an incident that no rule answers."""
    return _bounded(json.dumps(["source", source, fingerprint], ensure_ascii=False))


def _bounded(key: str) -> str:
    """A key that an index can hold: a long one ends with the digest of all of it."""
    if len(key.encode()) <= 1000:
        return key
    return f"{key[:200]}... sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def dedup_key(key: str, round: int = 0) -> str:
    """The pager's key of an incident, fixed for ever: `responder-` and 32 hex digits.

    round: behind it stands `-r<n>` when people are woken again, since the same key wakes nobody.
    """
    again = f"-r{round}" if round else ""
    return "responder-" + hashlib.sha256(key.encode()).hexdigest()[:32] + again
