"""The incident document: the same JSON is answered by the API, forwarded to receivers and shown."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote
from uuid import UUID

from responder.domain.alert import Alert
from responder.domain.incident import Incident, dedup_key
from responder.domain.settings import Target
from responder.pipeline.approval import waiting_approvals
from responder.pipeline.breaker import Breaker, breaker_of, told_breaker
from responder.pipeline.maintenance import NO_WINDOW, maintenance_around, window_allows
from responder.pipeline.review import told_review
from responder.pipeline.services import Services, iso
from responder.runbook.catalogue import Identity
from responder.runbook.loader import LoadedRule
from responder.runbook.rule import Option
from responder.store import Transaction
from responder.store.incidents import incident_from_row

#: Why an option cannot be run that the target allows to users of its own only.
NO_CLAIMS = "it acts as a user of the target, and the target's `claims` do not say as whom"
#: Why an option cannot be run that no transaction can hold.
NO_DIRECT = (
    "it cannot run in a transaction, and the target has no `direct_url`: configure it, or run the"
    " statement by hand, over a direct connection"
)

_LINKS = ("runbook", "dashboard", "panel", "silence", "source")


def document(services: Services, tx: Transaction, incident_id: UUID) -> dict[str, Any] | None:
    """Everything that is known of an incident, None when there is no such incident."""
    row = tx.maybe("incident", id=incident_id)
    if row is None:
        return None
    incident = incident_from_row(row)
    rule = services.rule_of(incident)
    decision = (
        tx.maybe("decision", id=incident.decision_id) if incident.decision_id is not None else None
    )
    alerts = tx.all("incident_alerts", id=incident_id)
    return {
        "version": 1,
        "updates": incident.updates,
        "incident": summary(incident),
        "alerts": [_alert(services, alert) for alert in alerts],
        "diagnosis": [_answer(answer) for answer in tx.all("latest_answers", id=incident_id)],
        "findings": [
            {name: finding[name] for name in ("name", "summary", "rows", "offers")}
            for finding in row["findings"]
        ],
        "decision": decision and _decision(decision),
        "fixes": [told_fix(fix) for fix in tx.all("incident_fixes", id=incident_id)],
        "breaker": told_breaker(breaker_of(tx, incident.key), incident.id),
        "approvals": waiting_approvals(tx, incident),
        "options": _now(
            tx,
            incident,
            rule,
            _options(rule, row["findings"], decision, _target(services, incident)),
        ),
        "escalation": _escalation(tx.one("escalation", id=incident_id)),
        "maintenance": _maintenance(tx, incident),
        "notes": [
            {"at": iso(note["at"]), "actor": note["actor"], "text": note["body"]}
            for note in tx.all("incident_notes", id=incident_id)
        ],
        "review": told_review(tx, incident_id),
        "notifications": [
            _notification(sent) for sent in tx.all("incident_notifications", id=incident_id)
        ],
        "links": _links(services, incident, alerts),
    }


def bare_document(services: Services, alert: Alert, identity: Identity, at: str) -> dict[str, Any]:
    """What is known of an alert whose incident could not be made yet."""
    return {
        "version": 1,
        "updates": 0,
        "incident": {
            "id": None,
            "title": alert.title,
            "status": "open",
            "stage": "triage",
            "severity": identity.severity,
            "declared_severity": alert.severity,
            "key": identity.key,
            "rule": identity.rule,
            "target": identity.target,
            "opened_at": at,
        },
        "alerts": [alert.to_json()],
        "diagnosis": [],
        "findings": [],
        "decision": None,
        "fixes": [],
        "breaker": told_breaker(Breaker()),
        "approvals": [],
        "options": [],
        "escalation": {"level": 1, "next_at": None, "contacts": [], "sentence": ""},
        "maintenance": None,
        "notes": [],
        "review": None,
        "links": {"self": f"{services.settings.public_url}/v1/incidents", **alert.links},
    }


def summary(incident: Incident) -> dict[str, Any]:
    """The incident alone, as lists show it."""
    return {
        "id": str(incident.id),
        "title": incident.title,
        "status": incident.status,
        "stage": incident.stage,
        "severity": incident.severity,
        "declared_severity": incident.declared_severity,
        "severity_unreadable": incident.severity_unreadable,
        "key": incident.key,
        "dedup_key": dedup_key(incident.key),
        "source": incident.source,
        "rule": incident.rule,
        "rule_checksum": incident.rule_checksum,
        "target": incident.target,
        "parameters": dict(incident.parameters),
        "labels": dict(incident.labels),
        "opened_at": iso(incident.opened_at),
        "acknowledged_at": iso(incident.acknowledged_at),
        "acknowledged_by": incident.acknowledged_by,
        "resolved_at": iso(incident.resolved_at),
        "resolved_by": incident.resolved_by,
        "paged_at": iso(incident.paged_at),
    }


def _alert(services: Services, row: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("title", "labels", "annotations", "starts_at", "ends_at", "severity_word", "links")
    notice = row["notice"]
    source = services.settings.sources.get(row["source"])
    return {
        "name": row["name"],
        "source": row["source"],
        "type": source.type if source else None,
        "status": row["status"],
        "outcome": row["outcome"],
        "fingerprint": row["fingerprint"],
        "received_at": iso(row["received_at"]),
        **{name: notice.get(name) for name in kept},
    }


def _answer(row: Mapping[str, Any]) -> dict[str, Any]:
    answer = row["answer"]
    told = ("status", "asked_at", "ms", "shared", "rows", "row_count", "truncated", "error")
    return {
        "name": row["name"],
        "question": row["question"],
        "target": row["target"],
        **{name: answer[name] for name in told},
        "sql": row["sql"],
        "parameters": row["parameters"],
    }


def _decision(row: Mapping[str, Any]) -> dict[str, Any]:
    told = ("action", "reason", "sentence", "finding", "option")
    return {"id": str(row["id"]), "at": iso(row["at"]), **{name: row[name] for name in told}}


def told_fix(row: Mapping[str, Any]) -> dict[str, Any]:
    """One fix, as the document carries it."""
    return {
        "id": str(row["id"]),
        "option": row["option"],
        "actor": {"kind": row["actor_kind"], "name": row["actor"]},
        "severity": row["severity"],
        "dry_run": row["dry_run"],
        "undoes": row["undoes"] and str(row["undoes"]),
        "status": row["status"],
        "reason": row["reason"],
        "counts": row["counts"],
        "before": row["before_rows"],
        "after": row["after_rows"],
        "left": row["left_rows"],
        "verification": row["verification"],
        "started_at": iso(row["started_at"]),
        "ended_at": iso(row["ended_at"]),
        "verified_at": iso(row["verified_at"]),
    }


def _target(services: Services, incident: Incident) -> Target | None:
    return services.settings.targets.get(incident.target or "")


def command_of(rule: LoadedRule, option: Option, target: Target | None) -> str:
    """What a person has to run elsewhere: a command, or a statement that lacks direct_url."""
    if option.transactional or (target is not None and target.direct_url is not None):
        return option.run
    return rule.statements[option.name].sql


def _options(
    rule: LoadedRule | None,
    findings: Sequence[Mapping[str, Any]],
    decision: Mapping[str, Any] | None,
    target: Target | None,
) -> list[dict[str, Any]]:
    """What the runbook offers here: first what a finding offers, then the rest, with the reason."""
    if rule is None:
        return []
    offered = [name for finding in findings for name in finding["offers"]]
    order = [*dict.fromkeys(offered), *(name for name in rule.options if name not in offered)]
    chosen = decision["option"] if decision and decision["action"] == "fix" else None
    run = {name: command_of(rule, option, target) for name, option in rule.options.items()}
    known = target is not None and bool(target.claims)
    lacking = {each.name: NO_CLAIMS for each in rule.rule.options if each.claims and not known} | {
        each.name: NO_DIRECT
        for each in rule.rule.options
        if run[each.name] and not each.transactional
    }
    return [
        {
            "name": name,
            "title": rule.options[name].title,
            "automatic": rule.options[name].automatic,
            "offered": name in offered,
            "caution": rule.options[name].caution,
            "asks": dict(rule.options[name].asks),
            "role": rule.options[name].role,
            "dangerous": rule.options[name].dangerous,
            "run": run[name],
            "allowed": name == chosen,
            "why_not": None if name == chosen else _why_not(name, offered, decision, lacking),
        }
        for name in order
    ]


def _now(
    tx: Transaction,
    incident: Incident,
    rule: LoadedRule | None,
    options: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """What is only for maintenance windows says so while none is in force."""
    waiting = {each.name for each in rule.rule.options if each.in_window} if rule else set()
    if waiting and not window_allows(tx, incident.labels):
        return [
            {**each, "why_not": NO_WINDOW} if each["name"] in waiting and each["offered"] else each
            for each in options
        ]
    return options


def _why_not(
    name: str,
    offered: Sequence[str],
    decision: Mapping[str, Any] | None,
    lacking: Mapping[str, str],
) -> str:
    """lacking: why the settings of the target do not let these options run."""
    if name in lacking:
        return lacking[name]
    if name not in offered:
        return "no finding offers it"
    if decision is None:
        return "not decided yet"
    if decision["option"] == name or decision["action"] == "hand_over":
        return str(decision["reason"])
    return "not_automatic" if decision["action"] == "fix" else str(decision["reason"])


def _escalation(row: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: row[name] for name in ("level", "contacts", "sentence")}
    return {**told, "next_at": iso(row["next_at"])}


def _maintenance(tx: Transaction, incident: Incident) -> dict[str, Any] | None:
    """The maintenance in which, or shortly after which, it began: the first thing to suspect."""
    found = maintenance_around(tx, incident.opened_at, incident.labels)
    if found is None:
        return None
    return {
        "id": str(found["id"]),
        "name": found["name"],
        "reason": found["reason"],
        "starts_at": iso(found["starts_at"]),
        "ends_at": iso(found["ends_at"]),
        "during": incident.opened_at < found["ends_at"],
    }


def _notification(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "receiver": row["receiver"],
        "happening": row["happening"],
        "page": row["page"],
        "status": row["status"],
        "due_at": iso(row["due_at"]),
        "sent_at": iso(row["sent_at"]),
        "attempts": row["attempts"],
        "error": row["error"],
    }


def _links(
    services: Services, incident: Incident, alerts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    base = services.settings.public_url.rstrip("/")
    found = alerts[0]["notice"].get("links", {}) if alerts else {}
    place = f"/incidents/{quote(str(incident.id))}"
    return {
        "self": f"{base}/v1{place}",
        "console": f"{base}/console{place}",
        **{name: found.get(name) for name in _LINKS},
    }
