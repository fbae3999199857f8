"""Grafana's webhook contact point, and the dashboard alerts of Grafana before 9.

Fields from grafana/alerting templates/template_data.go: Alertmanager's group, and more in each
alert. Signature from its http/hmac.go. A dashboard alert is put into the same shape first.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from responder.domain.alert import Alert, Notice
from responder.domain.secret import Secret
from responder.domain.settings import Source
from responder.sources import credentials
from responder.sources.adapter import Request, Unauthenticated
from responder.sources.alertmanager import read_group
from responder.sources.payload import members, one_line, text, texts

#: How far the signed timestamp may be from our clock, either way.
WINDOW_SECONDS = 300
_SECONDS = re.compile(r"[0-9]{1,12}")

#: What the button "Test" sends, today and as a dashboard alert; nothing is wrong then.
_TEST_LABELS = {"alertname": "TestAlert", "instance": "Grafana"}
_TEST_TITLE = "[Alerting] Test notification"

#: A rule that could not be evaluated fires under these names, with its own in `rulename`.
_NOT_EVALUATED = {"DatasourceNoData": "no data", "DatasourceError": "the query failed"}

#: States of a dashboard alert; in those of the second list it says nothing of the condition.
_STATES = {"alerting": "firing", "no_data": "firing", "ok": "resolved"}
_SILENT_STATES = ("paused", "pending", "unknown")


class Grafana:
    """Sends a group of alerts at a time, signed if configured, without an id."""

    def authenticate(self, request: Request, source: Source) -> None:
        if source.secret is not None:
            _check_signature(request, source, source.secret)
        if source.secret is None or credentials.is_configured(source):
            credentials.check(request, source)

    def delivery_key(self, request: Request, payload: Any, source: Source) -> str | None:
        return None  # it has none, and equal bodies may be different notices

    def parse(self, payload: Any, source: Source, at: datetime) -> list[Notice]:
        group = members(payload)
        if "alerts" not in group and "ruleName" in group and "state" in group:
            group = _of_dashboard(group)
        if isinstance(group.get("alerts"), list):
            group = {**group, "alerts": [_with_values(element) for element in group["alerts"]]}
        notices = read_group(group, source, at)
        return [_titled(notice) for notice in notices if not _is_test(notice)]


def _check_signature(request: Request, source: Source, secret: Secret) -> None:
    """With a timestamp header configured the timestamp is a must, else it could be left out."""
    signed = request.body
    if source.timestamp_header:
        told = request.headers.get(source.timestamp_header.lower(), "")
        if not _SECONDS.fullmatch(told):
            raise Unauthenticated("there is no timestamp in seconds")
        if abs(request.at.timestamp() - int(told)) > WINDOW_SECONDS:
            raise Unauthenticated(f"the timestamp is more than {WINDOW_SECONDS} s away")
        signed = f"{told}:".encode() + signed
    given = request.headers.get(source.signature_header.lower(), "")
    credentials.check_signature([given], signed, secret)


def _is_test(notice: Notice) -> bool:
    return isinstance(notice, Alert) and _TEST_LABELS.items() <= notice.labels.items()


def _titled(notice: Notice) -> Notice:
    """The annotations of a rule that could not be evaluated speak of what it did not find."""
    if not isinstance(notice, Alert) or notice.name not in _NOT_EVALUATED:
        return notice
    rule = notice.labels.get("rulename") or notice.name
    return replace(notice, title=one_line(f"{rule}: {_NOT_EVALUATED[notice.name]}"))


def _with_values(element: Any) -> Any:
    """What was measured, as annotations; the alert's own of these names win."""
    if not isinstance(element, dict):
        return element
    values = texts(element.get("values"))
    measured = {
        "values": ", ".join(f"{name}={value}" for name, value in values.items()),
        "valueString": text(element.get("valueString")) or "",
    }
    return {**element, "annotations": {**measured, **texts(element.get("annotations"))}}


def _of_dashboard(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """A dashboard alert as a group of one; as none when it is a test or says nothing."""
    state = (text(told["state"]) or "").strip().lower()
    if told.get("title") == _TEST_TITLE or state in _SILENT_STATES:
        return {"alerts": []}
    rule = text(told.get("ruleId"))
    alert = {
        "status": _STATES.get(state, state or "missing"),
        "labels": {**texts(told.get("tags")), "alertname": told["ruleName"]},
        "annotations": {
            "summary": told["ruleName"],
            "message": told.get("message"),
            "values": _measured(told.get("evalMatches")),
            "state": state,
        },
        "fingerprint": f"rule-{rule}" if rule else None,
        "generatorURL": told.get("ruleUrl"),
    }
    return {"alerts": [alert]}


def _measured(matches: Any) -> str:
    """`evalMatches` in the form of `values`."""
    told = [texts(match) for match in matches] if isinstance(matches, list) else []
    return ", ".join(
        f"{each.get('metric', '')}={each['value']}" for each in told if "value" in each
    )
