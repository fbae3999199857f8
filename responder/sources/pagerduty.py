"""PagerDuty's V3 webhooks: one event about one incident, signed.

Event types and fields from PagerDuty/developer-docs docs/webhooks; seen besides: `incident_key`
null although the incident has one. Incidents that we raised there come back as events: they never
are alerts, they only tell what somebody did.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from responder.domain.alert import Alert, AlertStatus, Did, Echo, Notice
from responder.domain.settings import Source
from responder.domain.severity import Severity, read_severity
from responder.sources import credentials
from responder.sources.adapter import NotUnderstood, Request, Unauthenticated
from responder.sources.payload import (
    MAX_LABEL_VALUE,
    MAX_TITLE,
    cut,
    link,
    members,
    moment,
    one_line,
    text,
)

FIRING = frozenset({"incident.triggered", "incident.reopened", "incident.unacknowledged"})
ACKNOWLEDGED = "incident.acknowledged"
RESOLVED = "incident.resolved"
#: May raise the severity of what is firing, and is no news of anything else.
REPRIORITISED = "incident.priority_updated"
#: Known, and no news of a condition.
QUIET = frozenset(
    {
        "pagey.ping",
        "incident.action_invocation.created",
        "incident.action_invocation.terminated",
        "incident.action_invocation.updated",
        "incident.annotated",
        "incident.conference_bridge.updated",
        "incident.custom_field_values.updated",
        "incident.delegated",
        "incident.escalated",
        "incident.incident_type.changed",
        "incident.reassigned",
        "incident.responder.added",
        "incident.responder.replied",
        "incident.role.assigned",
        "incident.service_updated",
        "incident.status_update_published",
        "incident.task.completed",
        "incident.task.created",
        "incident.task.updated",
        "incident.workflow.completed",
        "incident.workflow.started",
        "service.created",
        "service.custom_field_values.updated",
        "service.deleted",
        "service.updated",
    }
)

#: Its priorities begin with P1; the source's own map still wins.
PRIORITIES: Mapping[str, Severity] = {
    "p1": Severity.P0,
    "p2": Severity.P1,
    "p3": Severity.P2,
    "p4": Severity.P3,
    "p5": Severity.P3,
}

MAX_WHO = 100
#: PagerDuty's own limit; no longer text is searched with title_pattern.
MAX_WHOLE_TITLE = 1_024
#: The `client` of the events that we send to PagerDuty.
OUR_CLIENT = "responder"
_OUR_KEY = re.compile(r"(responder-[0-9a-f]{32})(?:-r[0-9]{1,9})?")
_INCIDENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DELIVERY_ID = re.compile(r"[!-~]{1,200}")


class PagerDuty:
    """Sends one event at a time and again for up to 48 hours; too many refusals switch it off."""

    def authenticate(self, request: Request, source: Source) -> None:
        if source.secret is None:
            raise Unauthenticated(f"no secret is configured for source {source.name!r}")
        given = _signatures(request.headers.get("x-pagerduty-signature", ""))
        credentials.check_signature(given, request.body, source.secret)
        if credentials.is_configured(source):
            credentials.check(request, source)

    def delivery_key(self, request: Request, payload: Any, source: Source) -> str | None:
        """The event's id is signed; the header's is not, so it is only the second choice."""
        told = text(members(members(payload).get("event")).get("id"))
        key = told or request.headers.get("x-webhook-id", "")
        if not key or _DELIVERY_ID.fullmatch(key):
            return key or None
        return hashlib.sha256(key.encode(errors="backslashreplace")).hexdigest()

    def parse(self, payload: Any, source: Source, at: datetime) -> list[Notice]:
        event = members(members(payload).get("event"))
        kind = event.get("event_type")
        if not isinstance(kind, str):
            raise NotUnderstood("there is no `event` with an `event_type`: not a V3 webhook")
        if kind in QUIET:
            return []
        if kind not in {*FIRING, REPRIORITISED, ACKNOWLEDGED, RESOLVED}:
            raise NotUnderstood(f"the event type {cut(kind, 100)!r} is not known")
        incident = members(event.get("data"))
        name = incident.get("id")
        if not isinstance(name, str) or not _INCIDENT_ID.fullmatch(name):
            raise NotUnderstood("there is no id of an incident in `event.data`")
        if kind == REPRIORITISED and incident.get("status") not in ("triggered", "acknowledged"):
            return []
        notice = _notice(kind, event, incident, source)
        return [notice] if notice else []


def our_key(told: Any) -> str:
    """The dedup key of the incident of ours that PagerDuty's key names, else empty."""
    ours = _OUR_KEY.fullmatch(told) if isinstance(told, str) else None
    return ours[1] if ours else ""


def title_groups(source: Source, title: str) -> dict[str, str]:
    """What the source's title_pattern finds in a title, by the names of its groups."""
    found = source.title_pattern.search(title) if source.title_pattern else None
    groups = found.groupdict(default="") if found else {}
    return {name: value.strip() for name, value in groups.items() if value.strip()}


def severity_of(word: str, source: Source) -> Severity | None:
    return read_severity(word, {**PRIORITIES, **source.severities})


def _signatures(header: str) -> Iterator[str]:
    for element in header.split(","):
        version, _, signature = element.strip(" \t").partition("=")
        if version == "v1":
            yield signature


def _notice(
    kind: str, event: Mapping[str, Any], incident: Mapping[str, Any], source: Source
) -> Notice | None:
    key = incident.get("incident_key")
    if ours := our_key(key):
        return _news_of_ours(kind, event, incident, ours)
    if kind == ACKNOWLEDGED:
        # without a key it may be our own message that comes back
        if not key and _by_integration(event):
            return None
        return Echo(Did.ACKNOWLEDGED, _who(event), fingerprint=incident["id"])
    fires = kind in {*FIRING, REPRIORITISED}
    if not key and fires and _summary(event, "client", "name") == OUR_CLIENT:
        return None
    return _alert(kind, event, incident, source)


def _news_of_ours(
    kind: str, event: Mapping[str, Any], incident: Mapping[str, Any], ours: str
) -> Echo | None:
    """A merge ends the incident, not the fault: its alerts go on under the other incident."""
    if kind in FIRING or kind == REPRIORITISED or _by_integration(event):
        return None
    ended = kind == RESOLVED and not _merged_into(incident)
    return Echo(Did.RESOLVED if ended else Did.ACKNOWLEDGED, _who(event), dedup_key=ours)


def _alert(
    kind: str, event: Mapping[str, Any], incident: Mapping[str, Any], source: Source
) -> Alert:
    told = " ".join((text(incident.get("title")) or "").split())
    title = cut(told or f"PagerDuty incident {incident['id']}", MAX_WHOLE_TITLE)
    groups = title_groups(source, title)
    own = {
        "service": _summary(incident, "service"),
        "urgency": text(incident.get("urgency")) or "",
        "priority": _summary(incident, "priority"),
    }
    word = groups.get("severity") or own["priority"] or own["urgency"]
    name = groups.get("alertname") or one_line(title)
    labels = {**source.labels, **_filled(own), **groups, "alertname": name}
    occurred = moment(event.get("occurred_at"))
    created = moment(incident.get("created_at"))
    return Alert(
        source=source.name,
        fingerprint=incident["id"],
        status=AlertStatus.RESOLVED if kind == RESOLVED else AlertStatus.FIRING,
        name=cut(name, MAX_LABEL_VALUE),
        title=one_line(title),
        service=cut(own["service"], MAX_LABEL_VALUE),
        labels={name: cut(value, MAX_LABEL_VALUE) for name, value in labels.items()},
        starts_at=_starts_at(kind, created, occurred),
        ends_at=occurred if kind == RESOLVED else None,
        severity_word=cut(word, MAX_LABEL_VALUE) or None,
        severity=severity_of(word, source) if word else None,
        annotations=_annotations(kind, event, incident, title),
        links={"source": address} if (address := link(incident.get("html_url"))) else {},
    )


def _starts_at(kind: str, created: datetime | None, occurred: datetime | None) -> datetime | None:
    """A reopened incident fires since then, or its resolve would still be the latest news."""
    if kind == RESOLVED:
        return created
    since_it_was_made = kind in ("incident.triggered", REPRIORITISED)
    return created or occurred if since_it_was_made else occurred


def _annotations(
    kind: str, event: Mapping[str, Any], incident: Mapping[str, Any], title: str
) -> dict[str, str]:
    """`title` when it was cut; who resolved it, unless a program did."""
    found = {"title": title if len(title) > MAX_TITLE else ""}
    if kind == RESOLVED:
        found["merged_into"] = _merged_into(incident)
        found["resolved_by"] = "" if _by_integration(event) else _who(event)
    return _filled(found)


def _merged_into(incident: Mapping[str, Any]) -> str:
    """The other incident's id when this one was resolved by merging it, else empty."""
    reason = members(incident.get("resolve_reason"))
    if reason.get("type") != "merge_resolve_reason":
        return ""
    other = text(members(reason.get("incident")).get("id"))
    return cut(other or "another incident", MAX_TITLE)


def _by_integration(event: Mapping[str, Any]) -> bool:
    """Whether a program did it by PagerDuty's Events API, as we do, and no person."""
    return "integration" in (text(members(event.get("agent")).get("type")) or "")


def _who(event: Mapping[str, Any]) -> str:
    named = " ".join(_summary(event, "agent").split())
    visible = "".join(letter for letter in named if letter.isprintable())
    return cut(visible.strip(), MAX_WHO) or "PagerDuty"


def _summary(told: Mapping[str, Any], name: str, field: str = "summary") -> str:
    return (text(members(told.get(name)).get(field)) or "").strip()


def _filled(told: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in told.items() if value}
