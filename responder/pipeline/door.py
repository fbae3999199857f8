"""What notices lose before anything is done with them: secrets, and personal data by name.

Labels that a rule looks with (its `key`, and those of its `parameters`) keep what is personal: with
`[redacted: email]` no account is found. A secret keeps nobody's place.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from responder.domain.alert import Alert, Echo, Malformed, Notice
from responder.domain.redaction import SECRETS, Redaction
from responder.domain.secrets import mark
from responder.pipeline.services import Services

#: Names and words that are shorter stand in other words, too.
_SHORTEST = 4


def taken_in(services: Services, notices: Sequence[Notice]) -> list[Notice]:
    """The notices as they are kept, matched and told from here on.

    Most have nothing to lose, which a quick look at all of them shows.
    """
    if services.settings.redact.passes(_texts(notices)):
        return list(notices)
    return [_notice(services, notice) for notice in notices]


def _texts(notices: Sequence[Notice]) -> set[str]:
    """All that somebody outside wrote in them; those of one delivery mostly repeat each other."""
    texts: set[str] = set()
    for notice in notices:
        if isinstance(notice, Malformed):
            texts.add(notice.reason)
        elif isinstance(notice, Echo):
            texts.update((notice.who, notice.fingerprint))
        else:
            texts.update((notice.fingerprint, notice.name, notice.title, notice.service))
            texts.add(notice.severity_word or "")
            for members in (notice.labels, notice.annotations, notice.links):
                texts.update(members, members.values())
    return texts


def identifier(redact: Redaction, text: str) -> str:
    """A sender's own id; one with a secret in it becomes its digest, so it stays an id."""
    if redact.text(text) == text:
        return text
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _notice(services: Services, notice: Notice) -> Notice:
    redact = services.settings.redact
    if isinstance(notice, Malformed):
        return Malformed(redact.text(notice.reason))
    if isinstance(notice, Echo):
        return replace(
            notice,
            who=redact.text(notice.who),
            fingerprint=identifier(redact, notice.fingerprint),
        )
    return _alert(services, redact, notice)


def _alert(services: Services, redact: Redaction, alert: Alert) -> Alert:
    labels = _members(redact, alert.labels)
    if labels != alert.labels:
        labels |= {
            name: SECRETS.text(alert.labels[name])
            for name in _looked_with(services, alert) & alert.labels.keys()
        }
    hidden = {
        value: labels[name]
        for name, value in alert.labels.items()
        if redact.hides_label(name) and labels.get(name) == mark(name) and len(value) >= _SHORTEST
    }

    def told(text: str) -> str:
        """Also without the values of hidden labels, which a summary likes to repeat."""
        for value, shown in hidden.items():
            text = text.replace(value, shown)
        return redact.text(text)

    return replace(
        alert,
        fingerprint=identifier(redact, alert.fingerprint),
        name=told(alert.name),
        title=told(alert.title),
        service=told(alert.service),
        labels=labels,
        severity_word=alert.severity_word and told(alert.severity_word),
        annotations={
            name: told(text) for name, text in _members(redact, alert.annotations).items()
        },
        links={name: told(text) for name, text in alert.links.items()},
    )


def _members(redact: Redaction, members: Mapping[str, str]) -> dict[str, str]:
    """Labels or annotations without what is hidden by their names or by what they look like."""
    told: dict[str, str] = redact.value(members)
    return {name: mark(name) if redact.hides_label(name) else text for name, text in told.items()}


def _looked_with(services: Services, alert: Alert) -> frozenset[str]:
    """The labels that the rule which answers it looks with."""
    rule = services.catalogue.rules.get(services.catalogue.identify(alert).rule or "")
    if rule is None:
        return frozenset()
    named = {name for label in rule.rule.parameters.values() for name in label.names}
    return frozenset(named | {*(rule.rule.key or ())})
