"""What PagerDuty makes of events: an alert for each dedup key, an incident for each alert."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from responder.cli.demo.stand_in.kept import Kept


@dataclass
class Incident:
    """key: only of an incident without alerts, as PagerDuty has it; told: not from an event."""

    id: str
    number: int
    title: str
    created_at: str
    key: str | None
    alerts: Sequence[Mapping[str, Any]]
    told: bool
    status: str = "triggered"
    triggers: int = 1

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "incident",
            "incident_number": self.number,
            "title": self.title,
            "created_at": self.created_at,
            "status": self.status,
            "incident_key": self.key,
            "alert_counts": {"all": len(self.alerts)},
        }

    def has_key(self, key: str) -> bool:
        return self.key == key or any(alert.get("alert_key") == key for alert in self.alerts)


class Incidents:
    """A dedup key joins the open alert of its integration, and opens a new one once resolved."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._count = 0
        self._incidents: dict[str, Incident] = {}
        self._open: dict[tuple[str, str], Incident] = {}

    def hear(self, event: Mapping[str, Any]) -> str:
        """The event's dedup key, made for it when it has none; ours without an alert is dropped."""
        with self._lock:
            self._count += 1
            dedup_key = str(event.get("dedup_key") or f"{self._count:032x}")
            place = (str(event["routing_key"]), dedup_key)
            known = self._open.get(place)
            action = event["event_action"]
            if action == "trigger":
                if known:
                    known.triggers += 1
                else:
                    self._open[place] = self._begin(dedup_key, event["payload"])
            elif known:
                known.status = f"{action}d"
                if action == "resolve":
                    del self._open[place]
            return dedup_key

    def _begin(self, dedup_key: str, payload: Mapping[str, Any]) -> Incident:
        alert = {
            "id": f"A{self._count:013d}",
            "type": "alert",
            "alert_key": dedup_key,
            "summary": payload["summary"],
            "severity": payload["severity"],
            "created_at": self._kept.now(),
            "body": {"type": "alert_body", "details": payload.get("custom_details", {})},
        }
        return self._add(f"Q{self._count:013d}", payload["summary"], None, [alert], told=False)

    def add(self, id: str, incident_key: str | None, alerts: Sequence[Mapping[str, Any]]) -> None:
        """An incident that did not come from an event of ours."""
        with self._lock:
            self._count += 1
            self._add(id, f"incident {id}", incident_key, alerts, told=True)

    def _add(
        self,
        id: str,
        title: str,
        key: str | None,
        alerts: Sequence[Mapping[str, Any]],
        *,
        told: bool,
    ) -> Incident:
        made = Incident(id, self._count, title, self._kept.now(), key, alerts, told)
        self._incidents[id] = made
        return made

    def find(self, id: str) -> Incident | None:
        with self._lock:
            return self._incidents.get(id)

    def all(self) -> list[Incident]:
        """The oldest first."""
        with self._lock:
            return list(self._incidents.values())

    def open_alerts(self) -> dict[str, int]:
        """Dedup keys that are triggered and not resolved, with how often they were triggered."""
        counts: dict[str, int] = {}
        with self._lock:
            for (_, dedup_key), incident in self._open.items():
                counts[dedup_key] = counts.get(dedup_key, 0) + incident.triggers
        return counts

    def forget(self) -> None:
        """All that came from events; what was told stays."""
        with self._lock:
            self._open.clear()
            self._incidents = {id: each for id, each in self._incidents.items() if each.told}
