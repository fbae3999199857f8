"""Prometheus Alertmanager's webhook, version 4, and the older and hand-made shapes of it.

Fields from prometheus/alertmanager template/template.go. Seen of the other shapes: `fingerprint`,
`status` or `groupLabels` absent, labels only in the envelope, numbers for texts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from responder.domain.alert import Alert, AlertStatus, Malformed, fingerprint
from responder.domain.settings import Source
from responder.domain.severity import read_severity
from responder.sources import credentials
from responder.sources.adapter import NotUnderstood, Request
from responder.sources.payload import cut, link, moment, text

MAX_LABELS = 100
MAX_LABEL_VALUE = 2_000
MAX_ANNOTATION = 10_000
MAX_TITLE = 300
MAX_FINGERPRINT = 200


class _Broken(Exception):
    """One element is no alert; its neighbours are not hurt by it."""


@dataclass(frozen=True)
class _Envelope:
    """What the group says for all its alerts; it fills what one of them lacks."""

    status: Any
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class Alertmanager:
    """Sends a group of alerts at a time, unsigned and without an id, again and again."""

    def authenticate(self, request: Request, source: Source) -> None:
        credentials.check(request, source)

    def delivery_key(self, request: Request, payload: Any) -> str | None:
        return None  # it has none, and equal bodies may be different notices

    def parse(self, payload: Any, source: Source, received: datetime) -> list[Alert | Malformed]:
        if not isinstance(payload, dict) or not isinstance(payload.get("alerts"), list):
            raise NotUnderstood("there is no list `alerts`, so it is not Alertmanager's webhook")
        envelope = _Envelope(
            status=payload.get("status"),
            labels={
                **_texts(payload.get("groupLabels")),
                **_texts(payload.get("commonLabels")),
            },
            annotations=_texts(payload.get("commonAnnotations")),
        )
        return [_notice(element, envelope, source, received) for element in payload["alerts"]]


def _notice(
    element: Any, envelope: _Envelope, source: Source, received: datetime
) -> Alert | Malformed:
    try:
        return _alert(element, envelope, source, received)
    except _Broken as broken:
        return Malformed(str(broken))


def _alert(element: Any, envelope: _Envelope, source: Source, received: datetime) -> Alert:
    if not isinstance(element, dict):
        raise _Broken("the alert is not an object")
    own_labels = _labels(element, envelope)
    labels = {
        name: cut(value, MAX_LABEL_VALUE) for name, value in {**source.labels, **own_labels}.items()
    }
    annotations = {
        name: cut(value, MAX_ANNOTATION)
        for name, value in {**envelope.annotations, **_texts(element.get("annotations"))}.items()
    }
    ends_at = moment(element.get("endsAt"))
    word = _first(labels, "severity", "level", "priority") or None
    return Alert(
        source=source.name,
        fingerprint=_fingerprint(element, own_labels),
        status=_status(element.get("status") or envelope.status, ends_at, received),
        name=labels["alertname"],
        title=_title(labels, annotations),
        service=_first(labels, "service", "job", "app"),
        labels=labels,
        starts_at=moment(element.get("startsAt")) or received,
        ends_at=ends_at,
        severity_word=word,
        severity=read_severity(word, source.severities) if word else None,
        annotations=annotations,
        links=_links(element, annotations),
    )


def _labels(element: Mapping[str, Any], envelope: _Envelope) -> dict[str, str]:
    """The sender's labels of this alert; the source's configured ones are not its own."""
    told = element.get("labels") or {}
    if not isinstance(told, dict):
        raise _Broken("`labels` is not an object")
    for name, value in told.items():
        if text(value) is None:
            raise _Broken(f"the label {cut(name, 100)!r} is neither text nor a number")
    labels = {**envelope.labels, **_texts(told)}
    if len(labels) > MAX_LABELS:
        raise _Broken(f"there are {len(labels)} labels; at most {MAX_LABELS} are taken")
    if not labels.get("alertname", "").strip():
        raise _Broken("there is no label `alertname`" if labels else "there are no labels")
    return labels


def _texts(told: Any) -> dict[str, str]:
    """The names that have a text; an empty one means in Prometheus that it is not there."""
    if not isinstance(told, dict):
        return {}
    return {name: value for name, raw in told.items() if (value := text(raw))}


def _fingerprint(element: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """The sender's own is not checked: others strip labels before they compute it."""
    told = text(element.get("fingerprint"))
    return told if told and len(told) <= MAX_FINGERPRINT else fingerprint(labels)


def _status(told: Any, ends_at: datetime | None, received: datetime) -> AlertStatus:
    if told in (None, ""):
        ended = ends_at is not None and ends_at <= received
        return AlertStatus.RESOLVED if ended else AlertStatus.FIRING
    try:
        return AlertStatus(str(told).strip().lower())
    except ValueError:
        raise _Broken(f"the status {cut(str(told), 50)!r} is neither firing nor resolved") from None


def _title(labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    described = annotations.get("description", "").strip().partition("\n")[0]
    where = _first(labels, "instance", "service")
    title = (
        _first(annotations, "summary", "title", "message")
        or described
        or ": ".join(part for part in (labels["alertname"], where) if part)
    )
    return cut(" ".join(title.split()), MAX_TITLE)


def _first(texts: Mapping[str, str], *names: str) -> str:
    """The first text that is there and says something, else empty."""
    return next((found for name in names if (found := texts.get(name, "").strip())), "")


def _links(element: Mapping[str, Any], annotations: Mapping[str, str]) -> dict[str, str]:
    candidates = {
        "runbook": (annotations.get("runbook_url"),),
        "dashboard": (element.get("dashboardURL"), annotations.get("dashboard_url")),
        "panel": (element.get("panelURL"),),
        "silence": (element.get("silenceURL"),),
        "source": (element.get("generatorURL"),),
    }
    links = {name: next(filter(link, told), None) for name, told in candidates.items()}
    return {name: found for name, found in links.items() if found}
