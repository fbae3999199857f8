"""Who hears of what: the routes, and the levels of the escalation path behind them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from responder.domain.escalation import ON_CALL, Person, Rung
from responder.domain.incident import Incident
from responder.domain.matcher import first_failed
from responder.domain.settings import OF_INCIDENTS, Contact
from responder.domain.severity import Severity
from responder.pipeline.services import Services


@dataclass(frozen=True)
class About:
    """What decides who hears of it, of an incident or of an alert that has none yet."""

    source: str
    labels: Mapping[str, str]
    severity: Severity
    rule: str | None


def about_incident(incident: Incident) -> About:
    return About(incident.source, incident.labels, incident.severity, incident.rule)


def on_call(services: Services, about: About, at: datetime) -> tuple[Person, ...]:
    """Who is woken first: whom the routes page, and level 2, as far as they are available."""
    first = next((rung for rung in rungs(services, about) if rung.level == ON_CALL), None)
    return tuple(person for person in (first.people if first else ()) if person.available(at))


def rungs(services: Services, about: About) -> list[Rung]:
    """The levels of its escalation path, with all of their people."""
    settings = services.settings
    by_level: dict[int, list[Person]] = {ON_CALL: list(_first(services, about))}
    for level in settings.levels:
        if about.severity in level.severities:
            people = by_level.setdefault(level.level, [])
            people += map(_receiver, level.receivers)
            people += (_contact(settings.contacts[name]) for name in level.contacts)
    found = (
        Rung(level, tuple(dict.fromkeys(by_level[level])))  # each once
        for level in sorted(by_level)
    )
    kept = (_only(rung, lambda name: _may_be_told(services, about, name)) for rung in found)
    return [rung for rung in kept if rung.people]


def left(services: Services, path: Iterable[Rung], told: Sequence[str]) -> list[Rung]:
    """Without those who were told and have an escalation policy of their own."""

    def climbs(name: str) -> bool:
        receiver = services.settings.receivers.get(name)
        return name not in told or receiver is None or not receiver.escalates

    kept = (_only(rung, climbs) for rung in path)
    return [rung for rung in kept if rung.people]


def receivers_of(people: Iterable[Person]) -> list[str]:
    return list(dict.fromkeys(name for person in people for name in person.receivers))


def routed(
    services: Services, labels: Mapping[str, str], severity: Severity
) -> Iterator[tuple[str, bool]]:
    """Each receiver of the routes once, with whether it wakes people."""
    seen: set[str] = set()
    for route in services.settings.routes:
        if severity in route.severities and first_failed(route.matches, labels) is None:
            for receiver in route.receivers:
                if receiver not in seen:
                    seen.add(receiver)
                    yield receiver, route.page


def listeners(services: Services) -> list[str]:
    """Who hears of what is no incident: whoever is told without being woken."""
    configured = services.settings.receivers
    named = (
        name for route in services.settings.routes if not route.page for name in route.receivers
    )
    return [
        name
        for name in dict.fromkeys(named)
        if name not in configured or configured[name].type not in OF_INCIDENTS
    ]


def is_from_pagerduty(services: Services, source: str) -> bool:
    configured = services.settings.sources.get(source)
    return configured is not None and configured.type == "pagerduty"


def is_pagerduty(services: Services, receiver: str) -> bool:
    configured = services.settings.receivers.get(receiver)
    return configured is not None and configured.type == "pagerduty"


def _first(services: Services, about: About) -> Iterator[Person]:
    for receiver, wakes in routed(services, about.labels, about.severity):
        if wakes:
            yield _receiver(receiver)
    for contact in services.settings.contacts.values():
        if about.rule in contact.rules:
            yield _contact(contact)


def _may_be_told(services: Services, about: About, receiver: str) -> bool:
    """What came from PagerDuty has woken people there already; whatever it hears, it wakes them."""
    if not is_pagerduty(services, receiver):
        return True
    return about.severity != Severity.P3 and not is_from_pagerduty(services, about.source)


def _only(rung: Rung, keep: Callable[[str], bool]) -> Rung:
    people = (
        replace(person, receivers=tuple(filter(keep, person.receivers))) for person in rung.people
    )
    return Rung(rung.level, tuple(person for person in people if person.receivers))


def _receiver(name: str) -> Person:
    return Person(name, (name,))


def _contact(contact: Contact) -> Person:
    return Person(contact.title, tuple(contact.receivers), contact.hours)
