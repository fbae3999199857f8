"""PagerDuty's REST API, as much of it as answers an incident: look it up, its alerts, a note."""

from collections.abc import Callable
from typing import Any

from responder.cli.demo.stand_in.http import Reply, Request
from responder.cli.demo.stand_in.incidents import Incident, Incidents
from responder.cli.demo.stand_in.kept import Kept
from responder.cli.demo.stand_in.pace import Pace

MAX_REQUESTS_A_MINUTE = 960
MAX_NOTES = 2_000
ACCEPT = "application/vnd.pagerduty+json;version=2"
_AUTHORIZATION = "Token token="


class Rest:
    """token: the only API key that is taken; None takes any."""

    def __init__(
        self, incidents: Incidents, kept: Kept, clock: Callable[[], float], token: str | None
    ) -> None:
        self._incidents = incidents
        self._kept = kept
        self._token = token
        self._pace = Pace(MAX_REQUESTS_A_MINUTE, clock)
        self._notes: dict[str, int] = {}

    def __call__(self, request: Request) -> Reply:
        key = request.headers.get("authorization", "")
        token = key.removeprefix(_AUTHORIZATION)
        if token in ("", key) or self._token not in (None, token):
            return _error(401, "Authentication failed", 2006)
        wait = self._pace.wait(token)
        headers = {
            "ratelimit-limit": str(MAX_REQUESTS_A_MINUTE),
            "ratelimit-remaining": str(self._pace.left(token)),
            "ratelimit-reset": str(wait or 60),
        }
        reply = _error(429, "Rate Limit Exceeded", 2020) if wait else self._answer(request)
        return Reply(reply.status, reply.body, headers)

    def _answer(self, request: Request) -> Reply:
        if request.headers.get("accept", "").replace(" ", "") != ACCEPT:
            return _invalid(f"the Accept header must be {ACCEPT}")
        match request.method, request.path.removeprefix("/").split("/"):
            case "GET", ["incidents"]:
                return self._list(request)
            case "GET", ["incidents", id, "alerts"] if incident := self._incidents.find(id):
                return Reply(200, {"alerts": _alerts(incident), **_page()})
            case "POST", ["incidents", id, "notes"] if self._incidents.find(id):
                return self._note(id, request)
        return _error(404, "Not Found", 2100)

    def _list(self, request: Request) -> Reply:
        key = "".join(request.query.get("incident_key", ()))
        statuses = request.query.get("statuses[]", ())
        newest_first = "created_at:desc" in request.query.get("sort_by", ())
        found = [
            each.as_json()
            for each in self._incidents.all()
            if (not key or each.has_key(key)) and (not statuses or each.status in statuses)
        ]
        return Reply(200, {"incidents": found[::-1] if newest_first else found, **_page()})

    def _note(self, id: str, request: Request) -> Reply:
        author = request.headers.get("from", "")
        if "@" not in author:
            told = 'You must specify a user\'s email address in the "From" header'
            return _error(400, f"{told} to perform this action", 2016)
        if not request.headers.get("content-type", "").startswith("application/json"):
            return _invalid("Content-Type must be application/json")
        try:
            content = request.json()["note"]["content"]
        except (ValueError, TypeError, KeyError):
            content = None
        if not isinstance(content, str) or not content.strip():
            return _invalid("Content cannot be empty.")
        self._notes[id] = self._notes.get(id, 0) + 1
        if self._notes[id] > MAX_NOTES:
            return _invalid("The incident has too many notes.")
        self._kept.keep("notes", **{"incident": id, "from": author, "content": content})
        note = {"id": f"N{self._notes[id]}", "content": content, "created_at": self._kept.now()}
        return Reply(200, {"note": note})


def _alerts(incident: Incident) -> list[dict[str, Any]]:
    reference = {"id": incident.id, "type": "incident_reference"}
    status = "resolved" if incident.status == "resolved" else "triggered"
    return [{"status": status, "incident": reference, **alert} for alert in incident.alerts]


def _page() -> dict[str, Any]:
    return {"limit": 25, "offset": 0, "more": False, "total": None}


def _invalid(error: str) -> Reply:
    return _error(400, "Invalid Input Provided", 2001, error)


def _error(status: int, message: str, code: int, *errors: str) -> Reply:
    return Reply(status, {"error": {"message": message, "code": code, "errors": list(errors)}})
