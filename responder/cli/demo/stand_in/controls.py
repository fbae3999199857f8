"""The doors that the real ones do not have: what came, what shall fail, what is known."""

from collections.abc import Callable
from typing import Any

from responder.cli.demo.stand_in.faults import Faults
from responder.cli.demo.stand_in.http import NOT_FOUND, Reply, Request
from responder.cli.demo.stand_in.incidents import Incidents
from responder.cli.demo.stand_in.kept import Kept


class Controls:
    """GET and DELETE /received, POST and DELETE /faults, POST /known."""

    def __init__(self, kept: Kept, incidents: Incidents, faults: Faults) -> None:
        self._kept, self._incidents, self._faults = kept, incidents, faults
        self._doors: dict[tuple[str, str], Callable[[Request], Any]] = {
            ("GET", "/received"): lambda _: self.received(),
            ("DELETE", "/received"): lambda _: self.clear(),
            ("POST", "/faults"): self._fail,
            ("DELETE", "/faults"): lambda _: faults.clear(),
            ("POST", "/known"): self._know,
        }

    def __call__(self, request: Request) -> Reply:
        door = self._doors.get((request.method, request.path))
        if door is None:
            return NOT_FOUND
        try:
            return Reply(200, door(request) or {})
        except (ValueError, TypeError, KeyError) as error:
            return Reply(400, {"error": str(error)})

    def received(self) -> dict[str, Any]:
        return {**self._kept.all(), "open_alerts": self._incidents.open_alerts()}

    def clear(self) -> None:
        self._kept.clear()
        self._incidents.forget()

    def _fail(self, request: Request) -> None:
        """{"path", "fault", "times"}, the last one optional."""
        asked = _object(request)
        self._faults.plan(str(asked["path"]), str(asked["fault"]), int(asked.get("times", 1)))

    def _know(self, request: Request) -> None:
        """{"id", "incident_key", "alerts"}, the last two optional."""
        asked = _object(request)
        alerts = [dict(alert) for alert in asked.get("alerts", [])]
        self._incidents.add(str(asked["id"]), asked.get("incident_key"), alerts)


def _object(request: Request) -> dict[str, Any]:
    asked = request.json()
    if not isinstance(asked, dict):
        raise ValueError("the body is no JSON object")
    return asked
