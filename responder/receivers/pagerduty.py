"""PagerDuty's Events API v2: the incident document as an event that a person reads half asleep."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from responder.domain import settings
from responder.domain.notification import Happening, Message
from responder.domain.secret import SecretMissing
from responder.outbound import Refused, Undelivered, post
from responder.receivers.brief import (
    STILL_LOOKING,
    causes_of,
    decided_of,
    escalated_of,
    severity_of,
    summary,
    title_of,
)
from responder.receivers.brief.text import as_json, cut, line, links, mapping, moment, records

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
    Happening.SUMMARY: "trigger",
}
_SEVERITIES = {"P0": "critical", "P1": "error", "P2": "warning", "P3": "info"}


class PagerDuty:
    """One integration of a PagerDuty service; the receiver's secret is its routing key."""

    def __init__(self, receiver: settings.Receiver) -> None:
        self._receiver = receiver

    def deliver(self, message: Message, now: datetime, timeout: float) -> None:
        if message.happening not in _ACTIONS:
            return  # it is about no incident, and an event of PagerDuty's wakes people
        assert self._receiver.secret is not None
        try:
            routing_key = self._receiver.secret.value()
        except SecretMissing as missing:
            raise Undelivered(str(missing), permanent=False) from None
        url = self._receiver.url.rstrip("/") + "/v2/enqueue"
        try:
            answer = post(url, encode(message, routing_key), {}, now=now, timeout=timeout)
        except Refused as refused:
            if refused.status == 400:
                told = _errors(refused.answer).replace(routing_key, "[routing key]")
                raise Undelivered(f"PagerDuty refuses the event: {told}", permanent=True) from None
            raise
        if refusal := says_no(answer):
            raise Undelivered(f"PagerDuty does not take it: {refusal}", permanent=False, maybe=True)


def encode(message: Message, routing_key: str) -> bytes:
    """The event as JSON of at most MAX_EVENT bytes; whatever is left out, the keys stay."""
    head = {
        "routing_key": routing_key,
        "event_action": _ACTIONS[message.happening],
        "dedup_key": message.dedup_key,
    }
    if head["event_action"] != "trigger":
        return as_json(head)
    encoded = b""
    for details in _details(message):
        encoded = as_json({**head, **_trigger(message, details)})
        if len(encoded) <= MAX_EVENT:
            break
    return encoded


def _trigger(message: Message, details: Mapping[str, Any]) -> dict[str, Any]:
    document = message.document
    incident = mapping(document.get("incident"))
    found = _links(document)
    alert = next(iter(records(document.get("alerts"))), {})
    many = mapping(document.get("summary"))
    is_summary = message.happening == Happening.SUMMARY
    severity = summary.gravest(many) if is_summary else severity_of(incident)
    target = line(incident.get("target"), MAX_NAME)
    payload = {
        "summary": _many(document, severity) if is_summary else _one(document, severity),
        "source": target or line(incident.get("source"), MAX_NAME) or "responder",
        "severity": _SEVERITIES.get(severity, "critical"),
        "timestamp": incident["opened_at"] if moment(incident.get("opened_at")) else None,
        "component": target,
        "group": line(incident.get("rule"), MAX_NAME),
        "class": line(alert.get("name"), MAX_NAME),
        "custom_details": details,
    }
    event = {
        "payload": _without_empty(payload),
        "links": [{"href": href, "text": name} for name, href in found.items()],
        "client": "responder",
        "client_url": found.get("console") or found.get("self"),
    }
    return _without_empty(event)


def _one(document: Mapping[str, Any], severity: str) -> str:
    """A bare page leaves before anything is known, and says so."""
    causes = causes_of(document, MAX_SUMMARY)
    known = causes[0] if causes else decided_of(document, MAX_SUMMARY) or STILL_LOOKING
    return cut(f"[{severity}] {title_of(document)}: {known}", MAX_SUMMARY)


def _many(document: Mapping[str, Any], severity: str) -> str:
    told = mapping(document.get("summary"))
    counted = summary.by_severity(told)
    link = _links(document).get("self")
    said = f"[{severity}] {summary.title(told)}" + (f": {counted}" if counted else "")
    return cut(f"{said}, see {link}" if link else said, MAX_SUMMARY)


def _details(message: Message) -> Iterator[dict[str, Any]]:
    """Ever shorter forms of the same details."""
    keys = _keys(message)
    if message.happening == Happening.SUMMARY:
        yield _without_empty({**_pick(message.document, "summary", "incidents"), **keys})
        yield {**keys, "truncated": True}
        return
    full = _readable(message.document)
    yield _without_empty({**full, **keys})
    full["diagnosis"] = [_without_empty({**answer, "rows": None}) for answer in full["diagnosis"]]
    yield _without_empty({**full, **keys, "truncated": True})
    full["rows"] = None
    yield _without_empty({**full, **keys, "truncated": True})
    yield {**keys, "truncated": True}


def _keys(message: Message) -> dict[str, Any]:
    """What leads a person, or a program, to the incident itself."""
    incident = mapping(message.document.get("incident"))
    names = ("severity", "rule", "target", "key")
    keys = {
        "incident": incident.get("id"),
        **{name: incident.get(name) for name in names},
        "dedup_key": message.dedup_key,
        "link": _links(message.document).get("self"),
    }
    return _without_empty({name: line(value, MAX_TEXT) for name, value in keys.items()})


def _readable(document: Mapping[str, Any]) -> dict[str, Any]:
    """The cause first, then what can be done about it, then what shows it."""
    findings = records(document.get("findings"))
    alerts = records(document.get("alerts"))
    return {
        "cause": [finding.get("summary") for finding in findings],
        "decision": mapping(document.get("decision")).get("sentence"),
        "escalation": escalated_of(document),
        "options": [
            _pick(option, "name", "title", "allowed", "why_not", "caution", "run")
            for option in records(document.get("options"))
        ],
        "rows": {
            str(finding.get("name")): finding["rows"] for finding in findings if finding.get("rows")
        },
        "diagnosis": [_answer(answer) for answer in records(document.get("diagnosis"))],
        "alerts": [
            _pick(alert, "name", "status", "title", "labels", "starts_at", "ends_at")
            for alert in alerts[:MAX_ALERTS]
        ],
        "alert_count": len(alerts),
        "links": _links(document),
    }


def _answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    error = mapping(answer.get("error")).get("message")
    picked = _pick(answer, "question", "status", "row_count", "rows")
    return _without_empty({**picked, "error": error})


def _links(document: Mapping[str, Any]) -> dict[str, str]:
    return links(document.get("links"), MAX_LINKS)


def says_no(answer: bytes) -> str:
    """Why an answer 2xx is none: it is not JSON, so somebody else answers, or tells of an error."""
    told = _read(answer)
    if answer.strip() and told is None:
        return "somebody else answers, without JSON"
    if told and (told.keys() & {"error", "errors"} or told.get("status", "success") != "success"):
        return _errors(answer)
    return ""


def _errors(answer: bytes) -> str:
    """What PagerDuty says is wrong, on one short line."""
    told = _read(answer) or {}
    errors = told.get("errors") or told.get("message") or told.get("error")
    lines = errors if isinstance(errors, list) else [errors or "it does not say why"]
    return line("; ".join(line(each, 500) for each in lines[:20]), 500)


def _read(answer: bytes) -> Mapping[str, Any] | None:
    """None when it is no JSON."""
    try:
        return mapping(json.loads(answer))
    except (ValueError, RecursionError):
        return None


def _pick(plain: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return _without_empty({name: plain.get(name) for name in names})


def _without_empty(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Zero and False say something; None and nothing do not."""
    return {name: value for name, value in plain.items() if value not in (None, "", [], {})}
