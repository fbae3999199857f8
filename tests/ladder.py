"""A house with the escalation path of the runbook, and a clock that is set to a day and an hour."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.hours import Hours
from responder.domain.settings import Contact, Level, Receiver, Route
from responder.domain.severity import Severity
from responder.runbook.loader import LoadedRule
from tests.house import House, Recorder, alert

ANN = Actor(ActorKind.PERSON, "ann")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
OFFICE = Hours(zone=ZoneInfo("Europe/Berlin"))
#: A Wednesday; it is 10 and 3 in Berlin.
DAY, NIGHT = "2027-03-10 09:00", "2027-03-10 02:00"
WORDS = {"P0": "critical", "P1": "error", "P2": "warning", "P3": "info"}
PAGER = Receiver("pager", "pagerduty", per_minute=100)
RECEIVERS = {
    "pager": PAGER,
    "hook": Receiver("hook", "webhook", per_minute=100),
    "lead": Receiver("lead", "email", per_minute=100),
    "admin": Receiver("admin", "email", per_minute=100),
    "security": Receiver("security", "email", per_minute=100),
}
LEVELS = (
    Level(2, receivers=("pager",)),
    Level(3, contacts=("devops_lead",)),
    Level(4, contacts=("database_admin",), severities=(Severity.P0,)),
)
Climbing = Callable[..., House]


@pytest.fixture
def climbing(make_house: Callable[..., House]) -> Climbing:
    """A responder whose pager does not escalate by itself; without rules, unless some are given."""

    def made(
        at: str = DAY, pager: Receiver = PAGER, rules: Sequence[LoadedRule] = (), **changes: Any
    ) -> House:
        settings = {
            "receivers": RECEIVERS | {"pager": pager},
            "contacts": {
                "devops_lead": Contact("devops_lead", "DevOps Lead", ("lead",), OFFICE),
                "database_admin": Contact("database_admin", "Database Admin", ("admin",)),
            },
            "levels": LEVELS,
            "business_hours": OFFICE,
            "routes": (Route(("pager",), page=True), Route(("hook",))),
        }
        house = make_house(rules, **{**settings, **changes})
        more = {name: Recorder() for name in ("lead", "admin", "security")}
        receivers = {"pager": house.pager, "hook": house.hook, **more}
        house.services = replace(house.services, receivers=receivers)
        set_clock(house, at)
        return house

    return made


def set_clock(house: House, at: str) -> None:
    """What our database takes for now, in UTC."""
    wanted = datetime.fromisoformat(at).replace(tzinfo=UTC)
    house.services.store.offset = wanted - datetime.now(UTC)


def fires(house: House, severity: str, name: str = "Odd", **labels: str) -> None:
    """An incident that nobody's rule answers, and whose first messages have left."""
    house.post(alert(name, severity=WORDS[severity], **labels))
    house.settle()
    house.later(timedelta(seconds=2))
    house.settle()


def passes(house: House, duration: timedelta) -> None:
    house.later(duration)
    house.settle()


def heard(house: House, name: str) -> list[str]:
    """What a receiver got, as happening and, behind the incident's key, the round."""
    found = house.services.receivers[name]
    assert isinstance(found, Recorder)
    return [each.happening + each.dedup_key[len("responder-") + 32 :] for each in found.got]


def steps(house: House) -> list[tuple[str, int]]:
    """The trail of the escalation: what became of each step, at which level."""
    rows = house.sql("SELECT after, details FROM audit_event WHERE what = 'escalation' ORDER BY id")
    return [(row["after"], row["details"]["level"]) for row in rows]


def stands(house: House) -> dict[str, Any]:
    found: dict[str, Any] = house.document()["escalation"]
    return found
