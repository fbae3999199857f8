"""PagerDuty's Events API v2 with its limits, as its documentation states them."""

from collections.abc import Callable, Mapping
from typing import Any

from responder.cli.demo.stand_in.http import NOT_FOUND, Reply, Request
from responder.cli.demo.stand_in.incidents import Incidents
from responder.cli.demo.stand_in.kept import Kept
from responder.cli.demo.stand_in.pace import Pace

ROUTING_KEY_LENGTH = 32
MAX_EVENT = 512 * 1024
MAX_SUMMARY = 1024
MAX_DEDUP_KEY = 255
MAX_CALLS_A_MINUTE = 120
_WORDS = ("critical", "error", "warning", "info")
_ACTIONS = ("trigger", "acknowledge", "resolve")


class Events:
    """Takes an event, and tells it to the incidents."""

    def __init__(self, incidents: Incidents, kept: Kept, clock: Callable[[], float]) -> None:
        self._incidents = incidents
        self._kept = kept
        self._pace = Pace(MAX_CALLS_A_MINUTE, clock)

    def __call__(self, request: Request) -> Reply:
        if (request.method, request.path) != ("POST", "/v2/enqueue"):
            return NOT_FOUND
        if len(request.body) > MAX_EVENT:
            return Reply(413, {"status": "event too large"})
        try:
            event = request.json()
        except ValueError:
            event = None
        errors = _mistakes(event) if isinstance(event, dict) else ["the body is no JSON object"]
        if errors:
            invalid = {"status": "invalid event", "message": "Event object is invalid"}
            return Reply(400, {**invalid, "errors": errors})
        if self._pace.wait(event["routing_key"]):
            told = {"status": "throttle exceeded", "message": "Please retry later."}
            return Reply(429, told)
        self._kept.keep("pagerduty", **event)
        key = self._incidents.hear(event)
        return Reply(202, {"status": "success", "message": "Event processed", "dedup_key": key})


def _mistakes(event: Mapping[str, Any]) -> list[str]:
    """What PagerDuty would not take."""
    found = []
    if len(str(event.get("routing_key") or "")) != ROUTING_KEY_LENGTH:
        found.append("Length of 'routing_key' is incorrect (should be 32 characters)")
    action = event.get("event_action")
    if action not in _ACTIONS:
        found.append("'event_action' is invalid (must be trigger, acknowledge or resolve)")
    if len(str(event.get("dedup_key") or "")) > MAX_DEDUP_KEY:
        found.append("'dedup_key' is too long (255 characters at most)")
    if action in ("acknowledge", "resolve") and not event.get("dedup_key"):
        found.append("'dedup_key' is missing or blank")
    if not _have(event.get("links", []), "href", ("https://", "http://")):
        found.append("'links' is not a list of {href, text}")
    if not _have(event.get("images", []), "src", ("https://",)):
        found.append("'images' is not a list of {src, href, alt} with https")
    payload = event.get("payload")
    if action == "trigger":
        found += _payload_mistakes(payload) if isinstance(payload, dict) else ["no 'payload'"]
    return found


def _payload_mistakes(payload: Mapping[str, Any]) -> list[str]:
    found = [
        f"'payload.{name}' is missing or blank"
        for name in ("summary", "source", "severity")
        if not isinstance(payload.get(name), str) or not payload[name].strip()
    ]
    if len(str(payload.get("summary"))) > MAX_SUMMARY:
        found.append("'payload.summary' is too long (1024 characters at most)")
    if payload.get("severity") not in _WORDS:
        found.append("'payload.severity' is invalid (critical, error, warning or info)")
    if not isinstance(payload.get("custom_details", {}), dict):
        found.append("'payload.custom_details' is not an object")
    return found


def _have(links: Any, name: str, schemes: tuple[str, ...]) -> bool:
    return isinstance(links, list) and all(
        isinstance(link, dict) and str(link.get(name)).startswith(schemes) for link in links
    )
