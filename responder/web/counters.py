"""What a web process counts as it happens; one scrape shows the sums of all of them.

The processes of one `responder serve` share the folder that PROMETHEUS_MULTIPROC_DIR named when
prometheus_client was imported; the counts of a process that died stay in it.
"""

import os
from collections.abc import Iterable

from flask import current_app
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

from responder.domain.alert import DeliveryOutcome
from responder.domain.denial import Denial
from responder.pipeline.accept import Accepted

_own = CollectorRegistry()
_deliveries = Counter(
    "responder_deliveries",
    "Webhook requests by what became of them.",
    ("source", "outcome"),
    registry=_own,
)
_refused = Counter(
    "responder_refused", "Refused webhook requests by why.", ("source", "reason"), registry=_own
)
_alerts = Counter(
    "responder_alerts_accepted",
    "Alerts in accepted deliveries, malformed ones too.",
    ("source",),
    registry=_own,
)
_seconds = Histogram(
    "responder_ack_seconds",
    "From a request's arrival to its answer, of deliveries that were kept.",
    ("source",),
    registry=_own,
)


_denied = Counter(
    "responder_denied",
    "People and programs that were not let in, by where and why.",
    ("door", "reason"),
    registry=_own,
)


def begin(sources: Iterable[str]) -> None:
    """All that may be counted is 0 before the first request, so that a first increase shows."""
    for source in sources:
        _alerts.labels(source)
        _seconds.labels(source)
        for outcome in DeliveryOutcome:
            _deliveries.labels(source, outcome)


def count_accepted(accepted: Accepted, source: str, seconds: float) -> None:
    """A delivery that was kept, whatever its outcome; `seconds` from its arrival to its answer."""
    kept = accepted.outcome == DeliveryOutcome.ACCEPTED
    _deliveries.labels(source, accepted.outcome).inc()
    _alerts.labels(source).inc(accepted.alerts + accepted.quarantined if kept else 0)
    _seconds.labels(source).observe(seconds)


def count_refused(source: str, reason: str) -> None:
    """A request of which nothing was kept; `reason` is that of the problem it was answered with.

    All names that are not configured count as one: a stranger may invent many.
    """
    known = current_app.extensions["responder"].settings.sources
    name = source if source in known else "unknown"
    _deliveries.labels(name, DeliveryOutcome.REFUSED).inc()
    _refused.labels(name, reason).inc()


def count_busy(source: str) -> None:
    """A delivery that was sent away before it was looked at, since too many came at once."""
    _deliveries.labels(source, DeliveryOutcome.REFUSED).inc()
    _refused.labels(source, "busy").inc()


def count_denied(door: str, reason: Denial) -> None:
    """Somebody was not let in, or may not do what they asked for; `door` is a closed list."""
    _denied.labels(door, reason).inc()


def counted() -> CollectorRegistry:
    """The counts of all processes of this `responder serve`; of this one, where it runs alone."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return _own
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return together
