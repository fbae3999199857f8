"""Webhooks of the very shapes that the senders post, each with what fires and what is over."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol
from uuid import uuid4

from responder.domain.alert import fingerprint

_NEVER = "0001-01-01T00:00:00Z"  # what Alertmanager says of an alert that has not ended
_PROMETHEUS = "http://prometheus.example.com:9090"
_GRAFANA = "https://grafana.example.com"
_PAGERDUTY = "https://shop.pagerduty.example.com"


class Notice(Protocol):
    """source: the name of its source in the settings; sender: who that is, to people."""

    source: ClassVar[str]
    sender: ClassVar[str]

    def __str__(self) -> str:
        """What it says, in one line."""

    def firing(self) -> dict[str, Any]: ...

    def resolved(self, ended: datetime) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Alarm:
    """One alert of Prometheus, as Alertmanager tells it, version 4."""

    labels: Mapping[str, str]
    summary: str
    started: datetime
    source: ClassVar[str] = "alertmanager"
    sender: ClassVar[str] = "Alertmanager"

    def __str__(self) -> str:
        told = (f'{name}="{self.labels[name]}"' for name in ("severity", "env"))
        return f"{self.labels['alertname']} {' '.join(told)}"

    def firing(self) -> dict[str, Any]:
        return self._group("firing", _NEVER)

    def resolved(self, ended: datetime) -> dict[str, Any]:
        return self._group("resolved", _stamp(ended))

    def _alert(self, status: str, ends_at: str) -> dict[str, Any]:
        return {
            "status": status,
            "labels": dict(self.labels),
            "annotations": {"summary": self.summary},
            "startsAt": _stamp(self.started),
            "endsAt": ends_at,
            "generatorURL": f"{_PROMETHEUS}/graph?g0.expr=ALERTS&g0.tab=1",
            "fingerprint": fingerprint(self.labels),
        }

    def _group(self, status: str, ends_at: str) -> dict[str, Any]:
        name = self.labels["alertname"]
        return {
            "version": "4",
            "groupKey": f'{{}}:{{alertname="{name}"}}',
            "truncatedAlerts": 0,
            "receiver": "responder",
            "status": status,
            "alerts": [self._alert(status, ends_at)],
            "groupLabels": {"alertname": name},
            "commonLabels": dict(self.labels),
            "commonAnnotations": {"summary": self.summary},
            "externalURL": "http://alertmanager.example.com:9093",
        }


@dataclass(frozen=True)
class GrafanaAlarm(Alarm):
    """The same of Grafana's own alerting: Alertmanager's group, and more in it."""

    source: ClassVar[str] = "grafana"
    sender: ClassVar[str] = "Grafana"

    def _alert(self, status: str, ends_at: str) -> dict[str, Any]:
        return {
            **super()._alert(status, ends_at),
            "generatorURL": f"{_GRAFANA}/alerting/grafana/queue/view?orgId=1",
            "dashboardURL": f"{_GRAFANA}/d/shop-overview?orgId=1",
            "panelURL": f"{_GRAFANA}/d/shop-overview?orgId=1&viewPanel=4",
            "silenceURL": f"{_GRAFANA}/alerting/silence/new?alertmanager=grafana&orgId=1",
            "values": {"A": 12, "C": 1},
            "valueString": "[ var='A' labels={} value=12 ], [ var='C' labels={} value=1 ]",
            "orgId": 1,
        }

    def _group(self, status: str, ends_at: str) -> dict[str, Any]:
        return {
            **super()._group(status, ends_at),
            "version": "1",
            "externalURL": f"{_GRAFANA}/",
            "orgId": 1,
            "state": "alerting" if status == "firing" else "ok",
            "title": f"[{status.upper()}:1] {self.labels['alertname']}",
            "message": self.summary,
        }


@dataclass(frozen=True)
class PagerDutyIncident:
    """An incident that somebody else raised at PagerDuty, told by a V3 webhook."""

    id: str
    title: str
    priority: str
    started: datetime
    source: ClassVar[str] = "pagerduty"
    sender: ClassVar[str] = "PagerDuty"

    def __str__(self) -> str:
        return f"{self.title} (priority {self.priority})"

    def firing(self) -> dict[str, Any]:
        return self._event("triggered", self.started)

    def resolved(self, ended: datetime) -> dict[str, Any]:
        return self._event("resolved", ended)

    def _event(self, status: str, at: datetime) -> dict[str, Any]:
        incident = {
            "id": self.id,
            "type": "incident",
            "html_url": f"{_PAGERDUTY}/incidents/{self.id}",
            "status": status,
            "incident_key": None,
            "created_at": _stamp(self.started),
            "title": self.title,
            "service": {"id": "PSHOP01", "type": "service_reference", "summary": "Shop"},
            "priority": {"type": "priority_reference", "summary": self.priority},
            "urgency": "high",
            "resolve_reason": None,
        }
        event = {
            "id": uuid4().hex.upper()[:26],
            "event_type": f"incident.{status}",
            "resource_type": "incident",
            "occurred_at": _stamp(at),
            "agent": {"type": "inbound_integration_reference", "summary": "Events API V2"},
            "client": {"name": "Site monitor"},
            "data": incident,
        }
        return {"event": event}


@dataclass(frozen=True)
class MonitorAlarm:
    """What a monitor of somebody's own says; `fields` of the settings are made for it."""

    name: str
    text: str
    grade: str
    started: datetime
    source: ClassVar[str] = "monitor"
    sender: ClassVar[str] = "the monitor"

    def __str__(self) -> str:
        return f'{self.name} grade="{self.grade}"'

    def firing(self) -> dict[str, Any]:
        return self._told("ill", None)

    def resolved(self, ended: datetime) -> dict[str, Any]:
        return self._told("well", ended)

    def _told(self, state: str, until: datetime | None) -> dict[str, Any]:
        check = {"id": f"check-{self.name}", "name": self.name, "text": self.text, "host": "shop"}
        ends = _stamp(until) if until else None
        told = {"state": state, "since": _stamp(self.started), "until": ends}
        return {"check": {**check, "stage": "production"}, "grade": self.grade, **told}


def _stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
