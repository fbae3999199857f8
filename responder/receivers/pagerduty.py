"""PagerDuty's Events API v2: the incident document as an event that a person reads half asleep."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from responder.domain import settings
from responder.domain.notification import Happening, Message
from responder.domain.secret import SecretMissing
from responder.receivers.http import Refused, post
from responder.receivers.receiver import Undelivered

#: PagerDuty's own limits.
MAX_EVENT = 512_000
MAX_SUMMARY = 1_024
#: Ours: what a person can take in, and what keeps the keys alone below PagerDuty's limit.
MAX_TEXT = 2_000
MAX_NAME = 255
MAX_ALERTS = 10
MAX_LINKS = 20

_ACTIONS = {
    Happening.OPENED: "trigger",
    Happening.UPDATED: "trigger",
    Happening.ACKNOWLEDGED: "acknowledge",
    Happening.RESOLVED: "resolve",
}
_SEVERITIES = {"P0": "critical", "P1": "error", "P2": "warning", "P3": "info"}


class PagerDuty:
    """One integration of a PagerDuty service; the receiver's secret is its routing key."""

    def __init__(self, receiver: settings.Receiver) -> None:
        self._receiver = receiver

    def deliver(self, message: Message, now: datetime, timeout: float) -> None:
        try:
            routing_key = self._receiver.secret.value()
        except SecretMissing as missing:
            raise Undelivered(str(missing), permanent=False) from None
        url = self._receiver.url.rstrip("/") + "/v2/enqueue"
        try:
            post(url, encode(message, routing_key), {}, now=now, timeout=timeout)
        except Refused as refused:
            if refused.status == 400:
                told = _errors(refused.answer).replace(routing_key, "[routing key]")
                raise Undelivered(f"PagerDuty refuses the event: {told}", permanent=True) from None
            raise


def encode(message: Message, routing_key: str) -> bytes:
    """The event as JSON of at most MAX_EVENT bytes; whatever is left out, the keys stay."""
    head = {
        "routing_key": routing_key,
        "event_action": _ACTIONS[message.happening],
        "dedup_key": message.dedup_key,
    }
    if head["event_action"] != "trigger":
        return _json(head)
    encoded = b""
    for details in _details(message):
        encoded = _json({**head, **_trigger(message.document, details)})
        if len(encoded) <= MAX_EVENT:
            break
    return encoded


def _trigger(document: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, Any]:
    incident = document.get("incident") or {}
    links = _links(document)
    alert = (document.get("alerts") or [{}])[0]
    payload = {
        "summary": _summary(document),
        "source": _cut(incident.get("target") or incident.get("source") or "responder", MAX_NAME),
        "severity": _SEVERITIES.get(str(incident.get("severity")), "critical"),
        "timestamp": incident.get("opened_at"),
        "component": _cut(incident.get("target"), MAX_NAME),
        "group": _cut(incident.get("rule"), MAX_NAME),
        "class": _cut(alert.get("name"), MAX_NAME),
        "custom_details": details,
    }
    event = {
        "payload": _without_empty(payload),
        "links": [{"href": href, "text": name} for name, href in links.items()],
        "client": "responder",
        "client_url": links.get("console") or links.get("self"),
    }
    return _without_empty(event)


def _summary(document: Mapping[str, Any]) -> str:
    """A bare page leaves before anything is known, and says so."""
    incident = document.get("incident") or {}
    findings = document.get("findings") or [{}]
    decision = document.get("decision") or {}
    known = findings[0].get("summary") or decision.get("sentence") or "still looking for the cause"
    title = incident.get("title") or incident.get("rule") or "incident"
    summary = f"[{incident.get('severity') or '?'}] {title}: {known}"
    return _cut(" ".join(summary.split()), MAX_SUMMARY)


def _details(message: Message) -> Iterator[dict[str, Any]]:
    """Ever shorter forms of the same details."""
    keys = _keys(message)
    full = _readable(message.document)
    yield _without_empty({**full, **keys})
    full["diagnosis"] = [{**answer, "rows": None} for answer in full["diagnosis"]]
    full["diagnosis"] = [_without_empty(answer) for answer in full["diagnosis"]]
    yield _without_empty({**full, **keys, "truncated": True})
    full["rows"] = None
    yield _without_empty({**full, **keys, "truncated": True})
    yield {**keys, "truncated": True}


def _keys(message: Message) -> dict[str, Any]:
    """What leads a person, or a program, to the incident itself."""
    incident = message.document.get("incident") or {}
    names = ("severity", "rule", "target", "key")
    keys = {
        "incident": incident.get("id"),
        **{name: incident.get(name) for name in names},
        "dedup_key": message.dedup_key,
        "link": _links(message.document).get("self"),
    }
    return {name: _cut(value, MAX_TEXT) for name, value in keys.items() if value}


def _readable(document: Mapping[str, Any]) -> dict[str, Any]:
    """The cause first, then what can be done about it, then what shows it."""
    findings = document.get("findings") or []
    alerts = document.get("alerts") or []
    return {
        "cause": [finding.get("summary") for finding in findings],
        "decision": (document.get("decision") or {}).get("sentence"),
        "options": [
            _pick(option, "name", "title", "allowed", "why_not")
            for option in document.get("options") or []
        ],
        "rows": {
            str(finding.get("name")): finding["rows"] for finding in findings if finding.get("rows")
        },
        "diagnosis": [_answer(answer) for answer in document.get("diagnosis") or []],
        "alerts": [
            _pick(alert, "name", "status", "title", "labels", "starts_at", "ends_at")
            for alert in alerts[:MAX_ALERTS]
        ],
        "alert_count": len(alerts),
        "links": _links(document),
    }


def _answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    error = (answer.get("error") or {}).get("message")
    picked = _pick(answer, "question", "status", "row_count", "rows")
    return _without_empty({**picked, "error": error})


def _links(document: Mapping[str, Any]) -> dict[str, str]:
    """The links that a browser can open, by name."""
    links = (document.get("links") or {}).items()
    return {
        name: href
        for name, href in list(links)[:MAX_LINKS]
        if str(href).startswith(("https://", "http://")) and len(href) <= MAX_TEXT
    }


def _errors(answer: bytes) -> str:
    """What PagerDuty says is wrong, on one short line."""
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError):
        return "it does not say why"
    errors = told.get("errors") or told.get("message") if isinstance(told, dict) else None
    lines = errors if isinstance(errors, list) else [errors or "it does not say why"]
    return _cut(" ".join("; ".join(map(str, lines)).split()), 500)


def _pick(plain: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return _without_empty({name: plain.get(name) for name in names})


def _without_empty(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Zero and False say something; None and nothing do not."""
    return {name: value for name, value in plain.items() if value not in (None, "", [], {})}


def _cut(value: Any, limit: int) -> str:
    text = str(value or "")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _json(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False, default=str).encode()
