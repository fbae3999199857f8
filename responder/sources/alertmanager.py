"""Prometheus Alertmanager's webhook, version 4, and the older and hand-made shapes of it.

Fields from prometheus/alertmanager template/template.go. Seen of the other shapes: `fingerprint`,
`status` or `groupLabels` absent, labels only in the envelope, numbers for texts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from responder.domain.alert import Alert, AlertStatus, Malformed, Notice, fingerprint
from responder.domain.settings import Source
from responder.domain.severity import read_severity
from responder.sources import credentials
from responder.sources.adapter import NotUnderstood, Request
from responder.sources.payload import (
    MAX_ANNOTATION,
    MAX_FINGERPRINT,
    MAX_LABEL_VALUE,
    MAX_LABELS,
    cut,
    cut_each,
    first,
    link,
    members,
    moment,
    one_line,
    text,
    texts,
)

#: What the group says for all its alerts, times the alerts. No sender comes near it: each alert
#: repeats what they have in common, so it would be in the body as well.
MAX_COMMON = 20_000_000


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

    def delivery_key(self, request: Request, payload: Any, source: Source) -> str | None:
        return None  # it has none, and equal bodies may be different notices

    def parse(self, payload: Any, source: Source, at: datetime) -> list[Notice]:
        return read_group(payload, source, at)


def read_group(payload: Any, source: Source, at: datetime) -> list[Notice]:
    """A notice for each element of `alerts`, in this order; NotUnderstood without such a list."""
    elements = members(payload).get("alerts")
    if not isinstance(elements, list):
        raise NotUnderstood("there is no list `alerts`, so it is no group of alerts")
    envelope = _Envelope(
        status=payload.get("status"),
        labels={**texts(payload.get("groupLabels")), **texts(payload.get("commonLabels"))},
        annotations=texts(payload.get("commonAnnotations")),
    )
    common = sum(
        len(name) + len(value)
        for told in (envelope.labels, envelope.annotations)
        for name, value in told.items()
    )
    if common * len(elements) > MAX_COMMON:
        raise NotUnderstood("the group says too much for all of its many alerts")
    return [_notice(element, envelope, source, at) for element in elements]


def _notice(element: Any, envelope: _Envelope, source: Source, at: datetime) -> Notice:
    try:
        return _alert(element, envelope, source, at)
    except _Broken as broken:
        return Malformed(str(broken))


def _alert(element: Any, envelope: _Envelope, source: Source, at: datetime) -> Alert:
    if not isinstance(element, dict):
        raise _Broken("the alert is not an object")
    own_labels = _labels(element, envelope)
    labels = cut_each({**source.labels, **own_labels}, MAX_LABEL_VALUE)
    annotations = cut_each(
        {**envelope.annotations, **texts(element.get("annotations"))}, MAX_ANNOTATION
    )
    ends_at = moment(element.get("endsAt"))
    word = first(labels, "severity", "level", "priority") or None
    return Alert(
        source=source.name,
        fingerprint=_fingerprint(element, own_labels),
        status=_status(element.get("status") or envelope.status, ends_at, at),
        name=labels["alertname"],
        title=_title(labels, annotations),
        service=first(labels, "service", "job", "app"),
        labels=labels,
        starts_at=moment(element.get("startsAt")),
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
        if type(value) is not str and text(value) is None:
            raise _Broken(f"the label {cut(name, 100)!r} is neither text nor a number")
    labels = {**envelope.labels, **texts(told)}
    if len(labels) > MAX_LABELS:
        raise _Broken(f"there are {len(labels)} labels; at most {MAX_LABELS} are taken")
    if not labels.get("alertname", "").strip():
        raise _Broken("there is no label `alertname`" if labels else "there are no labels")
    return labels


def _fingerprint(element: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """The sender's own is not checked: others strip labels before they compute it."""
    told = text(element.get("fingerprint"))
    return told if told and len(told) <= MAX_FINGERPRINT else fingerprint(labels)


def _status(told: Any, ends_at: datetime | None, at: datetime) -> AlertStatus:
    if told in (None, ""):
        ended = ends_at is not None and ends_at <= at
        return AlertStatus.RESOLVED if ended else AlertStatus.FIRING
    try:
        return AlertStatus(str(told).strip().lower())
    except ValueError:
        raise _Broken(f"the status {cut(str(told), 50)!r} is neither firing nor resolved") from None


def _title(labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    described = annotations.get("description", "").strip().partition("\n")[0]
    where = first(labels, "instance", "service")
    return one_line(
        first(annotations, "summary", "title", "message")
        or described
        or ": ".join(part for part in (labels["alertname"], where) if part)
    )


def _links(element: Mapping[str, Any], annotations: Mapping[str, str]) -> dict[str, str]:
    links = {
        "runbook": link(annotations.get("runbook_url")),
        "dashboard": link(element.get("dashboardURL")) or link(annotations.get("dashboard_url")),
        "panel": link(element.get("panelURL")),
        "silence": link(element.get("silenceURL")),
        "source": link(element.get("generatorURL")),
    }
    return {name: found for name, found in links.items() if found}
