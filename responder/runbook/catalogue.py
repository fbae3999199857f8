"""Which rule answers an alert, on which target, under which key; and why not another one.

`identify` is what accept, triage and `responder explain` all call, so that they cannot disagree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from responder.domain.alert import OWN_SOURCE, Alert
from responder.domain.decision import Reason
from responder.domain.incident import (
    KEYLESS_LABELS,
    incident_key,
    incident_key_without_rule,
)
from responder.domain.matcher import Index, first_failed
from responder.domain.settings import Target
from responder.domain.severity import Severity
from responder.runbook.loader import LoadedRule


@dataclass(frozen=True)
class Trial:
    """One rule tried on an alert; failed: the first condition that did not hold, with its value."""

    rule: str
    severity: Severity
    failed: str | None


@dataclass(frozen=True)
class Identity:
    """What an alert is about. trouble: why nothing may be asked or fixed, None when all is known.

    matched: how many rules answer it; more than one is worth a warning.
    """

    key: str
    rule: str | None
    target: str | None
    severity: Severity
    parameters: Mapping[str, str]
    trouble: Reason | None
    detail: str
    matched: int


class Catalogue:
    """The loaded rules and the configured targets."""

    def __init__(self, rules: Sequence[LoadedRule], targets: Mapping[str, Target]) -> None:
        self.rules = {rule.name: rule for rule in rules}
        self._targets = targets
        self._index = Index([rule.matchers for rule in rules])
        self._in_order = list(rules)

    def identify(self, alert: Alert) -> Identity:
        """The rule (most severe folder first, then by name), the target, key and severity."""
        matched = self._matched(alert)
        if not matched:
            return Identity(
                key=incident_key_without_rule(alert.source, alert.fingerprint),
                rule=None,
                target=self._only_target(alert),
                severity=effective_severity(alert, None),
                parameters={},
                trouble=Reason.NO_RULE,
                detail="",
                matched=0,
            )
        rule = matched[0]
        target, trouble, detail = self._pick_target(rule, alert)
        parameters = {
            name: label.value(alert.labels) for name, label in rule.rule.parameters.items()
        }
        missing = [name for name, value in parameters.items() if value is None]
        if missing and trouble is None and alert.source != OWN_SOURCE:
            trouble = Reason.PARAMETER_MISSING
            wanted = {name: " or ".join(rule.rule.parameters[name].names) for name in missing}
            detail = "; ".join(f"{name}: no label {labels}" for name, labels in wanted.items())
        return Identity(
            key=incident_key(rule.name, target, _key_labels(rule, alert, parameters)),
            rule=rule.name,
            target=target,
            severity=effective_severity(alert, rule.severity),
            parameters={name: value for name, value in parameters.items() if value is not None},
            trouble=trouble,
            detail=detail,
            matched=len(matched),
        )

    def severity(self, alert: Alert) -> Severity:
        """The one that `identify` finds, and that alone: each alert of a storm is asked for it."""
        matched = self._matched(alert)
        return effective_severity(alert, matched[0].severity if matched else None)

    def _matched(self, alert: Alert) -> list[LoadedRule]:
        """The rules that answer it, in order."""
        likely = [self._in_order[place] for place in self._index.likely(alert.labels)]
        return [rule for rule in likely if first_failed(rule.matchers, alert.labels) is None]

    def trials(self, alert: Alert) -> list[Trial]:
        """Each rule tried on it, in order."""
        return [self._try(rule, alert) for rule in self._in_order]

    @staticmethod
    def _try(rule: LoadedRule, alert: Alert) -> Trial:
        failed = first_failed(rule.matchers, alert.labels)
        value = failed and alert.labels.get(failed.name)
        found = "there is no such label" if value is None else f"it is {value!r}"
        return Trial(rule.name, rule.severity, f"{failed}: {found}" if failed else None)

    def _only_target(self, alert: Alert) -> str | None:
        """What an alert without a rule is about: while it is a P0 or P1, nothing is fixed there."""
        targets = self._targets.values()
        matching = [each.name for each in targets if not first_failed(each.matches, alert.labels)]
        return matching[0] if len(matching) == 1 else None

    def _pick_target(self, rule: LoadedRule, alert: Alert) -> tuple[str | None, Reason | None, str]:
        kin = [target for target in self._targets.values() if target.kind == rule.rule.target]
        failures = {target.name: first_failed(target.matches, alert.labels) for target in kin}
        matching = [name for name, failed in failures.items() if failed is None]
        if alert.source == OWN_SOURCE:  # it names its target, which may want more than labels say
            matching = [name for name in failures if name == alert.labels.get("target")]
        if len(matching) == 1:
            return matching[0], None, ""
        if matching:
            return None, Reason.AMBIGUOUS_TARGET, f"these match: {', '.join(sorted(matching))}"
        tried = "; ".join(
            f"{name}: {failed} (it is {alert.labels.get(failed.name, '')!r})"
            for name, failed in failures.items()
            if failed
        )
        return None, Reason.NO_TARGET, tried or f"no target of kind {rule.rule.target}"


def effective_severity(alert: Alert, of_rule: Severity | None) -> Severity:
    """The more severe of declared and the rule's own; unreadable words count as P2 at least."""
    declared = Severity.P2 if alert.severity_unreadable else alert.severity
    known = [severity for severity in (declared, of_rule) if severity]
    return min(known) if known else Severity.P2


def _key_labels(
    rule: LoadedRule, alert: Alert, parameters: Mapping[str, str | None]
) -> dict[str, str]:
    if rule.rule.key is not None:
        return {name: parameters.get(name) or alert.labels.get(name, "") for name in rule.rule.key}
    return {name: value for name, value in alert.labels.items() if name not in KEYLESS_LABELS}
