"""What PagerDuty's webhooks leave out: the alerts of an incident, fetched by its REST API.

Fields from PagerDuty/api-schema: `alert_key` is the dedup key that the alert was sent with, and
what its sender told besides stands in `body.details` or in `body.cef_details.details`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from responder.domain.alert import Alert, AlertStatus, Did, Echo, Malformed, Notice
from responder.domain.secret import Secret, SecretMissing
from responder.domain.settings import Source
from responder.outbound import Undelivered, get
from responder.sources.adapter import NotUnderstood, Unreadable
from responder.sources.pagerduty import our_key, severity_of, title_groups
from responder.sources.payload import (
    MAX_ANNOTATION,
    MAX_LABEL_VALUE,
    cut,
    members,
    read_json,
    text,
    texts,
)

MAX_DETAILS = 50
MAX_NAME = 100
#: Labels that the webhook itself tells; the details of an alert do not change them.
_TOLD = ("service", "urgency", "priority")


def enrich(
    notices: Sequence[Notice], source: Source, now: datetime, timeout: float
) -> tuple[list[Notice], str]:
    """The notices with what their PagerDuty alerts tell, and why that is not known of one.

    An incident that turns out to be ours becomes what somebody did with it, or no notice. Without
    a token, and when PagerDuty does not answer, the notices are as they were.
    """
    if source.token is None:
        return list(notices), ""
    enriched: list[Notice] = []
    trouble = ""
    for notice in notices:
        if isinstance(notice, Malformed) or not notice.fingerprint:
            enriched.append(notice)
            continue
        try:
            alerts = _alerts(notice.fingerprint, source.url, source.token, now, timeout)
        except (Undelivered, SecretMissing, Unreadable, NotUnderstood) as error:
            trouble = f"the alerts of PagerDuty's incident {notice.fingerprint}: {error}"
            enriched.append(notice)
        else:
            enriched.extend(_with(alerts, notice, source))
    return enriched, trouble


def _alerts(
    incident: str, url: str, token: Secret, now: datetime, timeout: float
) -> list[Mapping[str, Any]]:
    headers = {
        "authorization": f"Token token={token.value()}",
        "accept": "application/vnd.pagerduty+json;version=2",
    }
    answer = get(f"{url}/incidents/{incident}/alerts", headers, now=now, timeout=timeout)
    alerts = members(read_json(answer)).get("alerts")
    if not isinstance(alerts, list):
        raise Unreadable("the answer has no list `alerts`")
    return [alert for alert in alerts if isinstance(alert, dict)]


def _with(
    alerts: Sequence[Mapping[str, Any]], notice: Alert | Echo, source: Source
) -> list[Notice]:
    keys = [our_key(alert.get("alert_key")) for alert in alerts]
    if alerts and all(keys):
        return [found for key in dict.fromkeys(keys) for found in _news_of_ours(notice, key)]
    if isinstance(notice, Echo) or notice.status == AlertStatus.RESOLVED:
        return [notice]
    told = [
        alert
        for alert, key in zip(alerts, keys, strict=True)
        if not key and alert.get("status") != "resolved"
    ]
    return [_filled(notice, told, source)]


def _news_of_ours(notice: Alert | Echo, key: str) -> Iterator[Notice]:
    """What `pagerduty.parse` says when the webhook itself names the key."""
    if isinstance(notice, Echo):
        yield replace(notice, dedup_key=key, fingerprint="")
    elif who := notice.annotations.get("resolved_by"):
        merged = "merged_into" in notice.annotations
        yield Echo(Did.ACKNOWLEDGED if merged else Did.RESOLVED, who, dedup_key=key)


def _filled(alert: Alert, told: Sequence[Mapping[str, Any]], source: Source) -> Alert:
    """One line of text is a label, more is an annotation; the title's groups stay as they are."""
    groups = title_groups(source, alert.annotations.get("title", alert.title))
    details = _details(told)
    lines = {name: value for name, value in details.items() if len(value.splitlines()) == 1}
    own = {name: alert.labels[name] for name in (*groups, *_TOLD) if name in alert.labels}
    labels = {**alert.labels, **{name: cut(lines[name], MAX_LABEL_VALUE) for name in lines}, **own}
    longer = {name: cut(details[name], MAX_ANNOTATION) for name in details if name not in lines}
    filled = replace(
        alert,
        name=labels["alertname"],
        labels=labels,
        annotations={**longer, **alert.annotations},
    )
    if "severity" in groups or "priority" in alert.labels:
        return filled
    return _with_severity(filled, told, source)


def _with_severity(alert: Alert, told: Sequence[Mapping[str, Any]], source: Source) -> Alert:
    """The most severe of what the alerts say; it is nearer to the fault than the urgency."""
    words = [text(each.get("severity")) or "" for each in told]
    known = [(severity, word) for word in words if (severity := severity_of(word, source))]
    if not known:
        return alert
    severity, word = min(known)
    return replace(alert, severity=severity, severity_word=cut(word, MAX_LABEL_VALUE))


def _details(told: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What all these alerts that tell it agree on: of several hosts, none is *the* host."""
    found: dict[str, str] = {}
    disputed: set[str] = set()
    for alert in told:
        for name, value in _own_details(alert).items():
            if found.setdefault(name, value) != value:
                disputed.add(name)
    agreed = [name for name in found if name not in disputed]
    return {name: found[name] for name in agreed[:MAX_DETAILS]}


def _own_details(alert: Mapping[str, Any]) -> dict[str, str]:
    body = members(alert.get("body"))
    told = {
        **texts(members(body.get("cef_details")).get("details")),
        **texts(body.get("details")),
    }
    return {_label_name(name): value.strip() for name, value in told.items() if value.strip()}


def _label_name(told: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_]", "_", told)[:MAX_NAME] or "_"
    return name if not name[0].isdigit() else f"_{name}"
