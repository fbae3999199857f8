"""Why this rule and not another one; and what a rule is, for people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from responder.domain.alert import Echo, Malformed, Notice
from responder.domain.decision import Autonomy
from responder.pipeline.promotion import ceiling_of
from responder.pipeline.services import Services, iso
from responder.runbook.catalogue import Catalogue
from responder.runbook.loader import LoadedRule


def explain(catalogue: Catalogue, notice: Notice) -> dict[str, Any]:
    """The identity that accept and triage would give this alert, with every rule tried on it."""
    if isinstance(notice, Malformed):
        return {"malformed": notice.reason}
    if isinstance(notice, Echo):
        return notice.to_json()
    identity = catalogue.identify(notice)
    return {
        "alert": notice.name,
        "fingerprint": notice.fingerprint,
        "status": notice.status,
        "labels": dict(notice.labels),
        "declared_severity": notice.severity,
        "severity_word": notice.severity_word,
        "severity": identity.severity,
        "rule": identity.rule,
        "target": identity.target,
        "key": identity.key,
        "parameters": dict(identity.parameters),
        "trouble": identity.trouble,
        "detail": identity.detail,
        "rules": [asdict(trial) for trial in catalogue.trials(notice)],
    }


def describe_rule(
    services: Services,
    rule: LoadedRule,
    promotions: Sequence[Mapping[str, Any]],
    whole: bool = False,
) -> dict[str, Any]:
    """A rule for a list; `whole` adds its text, questions, options and statements."""
    promoted = next(
        (
            each
            for each in promotions
            if each["rule"] == rule.name and each["checksum"] == rule.checksum
        ),
        None,
    )
    ceiling = ceiling_of(services, rule.name)
    described: dict[str, Any] = {
        "name": rule.name,
        "severity": rule.severity,
        "summary": rule.summary,
        "answers": [str(matcher) for matcher in rule.matchers],
        "target": rule.rule.target,
        "schedule": rule.rule.schedule,
        "checksum": rule.checksum,
        "autonomy": Autonomy(promoted["autonomy"] if promoted else "propose").capped(ceiling),
        "ceiling": ceiling,
        "promoted_by": promoted and promoted["actor"],
        "promoted_at": promoted and iso(promoted["at"]),
        "automatic": list(rule.automatic),
    }
    if whole:
        described["text"] = rule.text
        described["diagnostics"] = [asdict(each) for each in rule.diagnostics]
        described["options"] = [asdict(each) for each in rule.rule.options]
        described["statements"] = {name: each.sql for name, each in rule.statements.items()}
    return described
