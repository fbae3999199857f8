"""Webhooks of the very shape that Prometheus Alertmanager posts, version 4."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from responder.domain.alert import fingerprint

_NEVER = "0001-01-01T00:00:00Z"  # what Alertmanager says of an alert that has not ended
_PROMETHEUS = "http://prometheus.example.com:9090"


@dataclass(frozen=True)
class Alarm:
    """One alert of Prometheus, as it is told when it fires and when it is over."""

    labels: Mapping[str, str]
    summary: str
    started: datetime

    def firing(self) -> dict[str, Any]:
        return self._group("firing", _NEVER)

    def resolved(self, ended: datetime) -> dict[str, Any]:
        return self._group("resolved", _stamp(ended))

    def _group(self, status: str, ends_at: str) -> dict[str, Any]:
        name = self.labels["alertname"]
        annotations = {"summary": self.summary}
        alert = {
            "status": status,
            "labels": dict(self.labels),
            "annotations": annotations,
            "startsAt": _stamp(self.started),
            "endsAt": ends_at,
            "generatorURL": f"{_PROMETHEUS}/graph?g0.expr=ALERTS&g0.tab=1",
            "fingerprint": fingerprint(self.labels),
        }
        return {
            "version": "4",
            "groupKey": f'{{}}:{{alertname="{name}"}}',
            "truncatedAlerts": 0,
            "receiver": "responder",
            "status": status,
            "alerts": [alert],
            "groupLabels": {"alertname": name},
            "commonLabels": dict(self.labels),
            "commonAnnotations": annotations,
            "externalURL": "http://alertmanager.example.com:9093",
        }


def _stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
