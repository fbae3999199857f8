"""A condition: what the notices of one (source, fingerprint) are merged into.

Notices come late, twice and out of order, so a condition holds only maxima: merging is commutative
and idempotent by construction, and whether it is firing is read from the maxima, never stored.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from responder.domain.alert import Alert, AlertStatus

T = TypeVar("T")

#: A firing notice not later than the known end is taken for an old one that arrived late
#: only if it came within this time of the resolve; later it begins at its receipt.
STALE_WITHIN = timedelta(minutes=5)


@dataclass(frozen=True)
class Condition:
    """The maxima over all notices so far; None means that no such notice came yet."""

    fired_at: datetime | None = None  # when the sender says that it began
    fired_seen: datetime | None = None  # when the last firing notice was received
    ended_at: datetime | None = None  # when the sender says that it ended
    ended_seen: datetime | None = None  # when the last resolve was received
    latest: tuple[datetime, str] | None = None  # the latest notice, as (received, JSON)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def firing(self) -> bool:
        return self.starts_at is not None

    @property
    def starts_at(self) -> datetime | None:
        """When the episode that is firing now began, None when nothing is firing."""
        if self.fired_at is None or self.fired_seen is None:
            return None
        if self.ended_at is None or self.ended_seen is None or self.fired_at > self.ended_at:
            return self.fired_at
        if self.fired_seen > self.ended_seen + STALE_WITHIN:
            return self.fired_seen
        return None

    @property
    def last_seen(self) -> datetime | None:
        return self.latest[0] if self.latest else None


def merge(condition: Condition, alert: Alert, received: datetime) -> Condition:
    """The condition after one more notice; a sender's clock ahead of ours counts as ours."""
    latest = max(_known(condition.latest, (received, _canonical(alert))))
    labels: dict[str, Any] = json.loads(latest[1])["labels"]
    if alert.status == AlertStatus.FIRING:
        return Condition(
            fired_at=max(_known(condition.fired_at, min(alert.starts_at or received, received))),
            fired_seen=max(_known(condition.fired_seen, received)),
            ended_at=condition.ended_at,
            ended_seen=condition.ended_seen,
            latest=latest,
            labels=labels,
        )
    return Condition(
        fired_at=condition.fired_at,
        fired_seen=condition.fired_seen,
        ended_at=max(_known(condition.ended_at, min(alert.ends_at or received, received))),
        ended_seen=max(_known(condition.ended_seen, received)),
        latest=latest,
        labels=labels,
    )


def _canonical(alert: Alert) -> str:
    return json.dumps(alert.to_json(), sort_keys=True)


def _known(*values: T | None) -> list[T]:
    return [value for value in values if value is not None]
