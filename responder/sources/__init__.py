"""Senders: one file each, from a raw request to alerts in our own words."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from responder.domain.alert import Notice
from responder.domain.settings import Source
from responder.sources.adapter import (
    Adapter,
    NotUnderstood,
    Request,
    TooLarge,
    Unauthenticated,
    Unreadable,
)
from responder.sources.alertmanager import Alertmanager
from responder.sources.encoding import decoded
from responder.sources.generic import Generic
from responder.sources.grafana import Grafana
from responder.sources.pagerduty import PagerDuty
from responder.sources.pagerduty_alerts import enrich
from responder.sources.payload import read_json

__all__ = [
    "ADAPTERS",
    "ENRICHERS",
    "Adapter",
    "NotUnderstood",
    "Request",
    "TooLarge",
    "Unauthenticated",
    "Unreadable",
    "decoded",
    "read_json",
]

#: By the `type` of a source in responder.toml.
ADAPTERS: Mapping[str, Adapter] = {
    "alertmanager": Alertmanager(),
    "grafana": Grafana(),
    "pagerduty": PagerDuty(),
    "generic": Generic(),
}

Enricher = Callable[[Sequence[Notice], Source, datetime, float], tuple[list[Notice], str]]

#: Those that can ask their sender for what its webhook leaves out: notices, source, now and a
#: timeout in seconds -> the notices, and why something is not known (empty when all is well).
ENRICHERS: Mapping[str, Enricher] = {"pagerduty": enrich}
