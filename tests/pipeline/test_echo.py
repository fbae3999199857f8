"""What people do on a pager comes back to us: it updates ours, and never makes a second page."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from responder.domain.incident import Incident, dedup_key
from responder.domain.secret import Secret
from responder.domain.settings import Receiver, Route, Source
from responder.pipeline.accept import Accepted, accept
from responder.pipeline.deliver import deliver
from responder.receivers import Undelivered
from responder.sources import Request
from tests.house import House, Recorder, alert

SECRET = "the-signing-secret"
SERVICE = {"id": "PSVC", "summary": "Shop", "type": "service_reference"}


@pytest.fixture
def paired(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """PagerDuty is a source and a receiver; another pager and the notes follow too."""
    monkeypatch.setenv("PD_SECRET", SECRET)
    notes, last = Recorder(), Recorder()
    house.services = replace(
        house.services,
        receivers={"pager": house.pager, "hook": house.hook, "notes": notes, "last": last},
    )
    house.with_settings(
        sources={
            **house.services.settings.sources,
            "pd": Source("pd", "pagerduty", secret=Secret(("env:PD_SECRET",))),
        },
        receivers={
            "pager": Receiver("pager", "pagerduty", per_minute=100, fallback="last"),
            "hook": Receiver("hook", "webhook", per_minute=100),
            "notes": Receiver("notes", "pagerduty_notes", per_minute=100),
            "last": Receiver("last", "email", per_minute=100),
        },
        routes=(Route(("pager",), page=True), Route(("hook", "notes"))),
        last_resort=("last",),
    )
    yield house


def event(
    house: House,
    happened: str,
    key: str | None = None,
    incident: str = "Q1",
    who: str = "Ann Example",
    title: str = "Checkout is slow",
) -> Accepted:
    """A signed V3 webhook of PagerDuty's about one of its incidents."""
    resolved = happened == "resolved"
    body = {
        "event": {
            "id": f"{incident}-{happened}-{house.services.new_id()}",
            "event_type": f"incident.{happened}",
            "resource_type": "incident",
            "occurred_at": datetime.now(UTC).isoformat(),
            "agent": {"id": "PUSER", "summary": who, "type": "user_reference"},
            "data": {
                "id": incident,
                "type": "incident",
                "html_url": f"https://acme.pagerduty.com/incidents/{incident}",
                "number": 7,
                "status": "resolved" if resolved else "triggered",
                "incident_key": key,
                "created_at": datetime.now(UTC).isoformat(),
                "title": title,
                "service": SERVICE,
                "urgency": "high",
                "priority": {"id": "P", "summary": "P1", "type": "priority_reference"},
            },
        }
    }
    raw = json.dumps(body).encode()
    signature = "v1=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
    headers = {"content-type": "application/json", "x-pagerduty-signature": signature}
    accepted = accept(house.services, "pd", Request(headers, raw, datetime.now(UTC)))
    house.settle()
    return accepted


def ours(house: House) -> tuple[Incident, str]:
    """An incident that we raised on PagerDuty, and its key there."""
    house.post(alert("Odd", severity="critical"))
    house.settle()
    (message,) = house.pager.got
    incident = house.incident()
    assert message.dedup_key == dedup_key(incident.key)
    return incident, message.dedup_key


def statuses(house: House) -> list[tuple[str, str]]:
    rows = house.sql("SELECT after, actor FROM audit_event WHERE what = 'status' ORDER BY id")
    return [(row["after"], row["actor"]) for row in rows]


def recorder(house: House, name: str) -> Recorder:
    found = house.services.receivers[name]
    assert isinstance(found, Recorder)
    return found


# Of an incident that we raised


def test_who_acknowledges_on_the_pager_has_acknowledged_here(paired: House) -> None:
    house = paired
    _, key = ours(house)
    event(house, "acknowledged", key)
    incident = house.incident()
    assert (incident.status, incident.acknowledged_by) == ("acknowledged", "Ann Example (pd)")
    assert statuses(house) == [("acknowledged", "Ann Example (pd)")]
    assert house.hook.happenings()[-1] == "acknowledged"
    assert house.outcomes() == ["opened"], "an echo is no alert"
    assert house.gap() == (0, 0)


def test_who_resolves_on_the_pager_has_resolved_here(paired: House) -> None:
    house = paired
    _, key = ours(house)
    event(house, "resolved", key)
    incident = house.incident()
    assert (incident.status, incident.resolved_by) == ("resolved", "person")
    assert statuses(house) == [("resolved", "Ann Example (pd)")]
    assert house.hook.happenings()[-1] == "resolved"


def test_twice_is_no_mistake(paired: House) -> None:
    house = paired
    _, key = ours(house)
    for happened in ("acknowledged", "acknowledged", "resolved", "resolved", "acknowledged"):
        event(house, happened, key)
    assert [after for after, _ in statuses(house)] == ["acknowledged", "resolved"]
    assert house.hook.happenings().count("acknowledged") == 1
    assert house.hook.happenings().count("resolved") == 1


@pytest.mark.parametrize("happened", ["triggered", "reopened", "unacknowledged", "escalated"])
def test_our_own_page_that_comes_back_opens_nothing(happened: str, paired: House) -> None:
    house = paired
    _, key = ours(house)
    before = (house.pager.happenings(), house.hook.happenings())
    event(house, happened, key)
    assert len(house.incidents()) == 1
    assert (house.pager.happenings(), house.hook.happenings()) == before
    assert house.incident().status == "open"


@pytest.mark.parametrize("happened", ["acknowledged", "resolved"])
def test_a_key_that_nobody_knows_is_let_be(happened: str, paired: House) -> None:
    house = paired
    ours(house)
    accepted = event(house, happened, "responder-" + "f" * 32)
    assert (accepted.outcome, accepted.alerts) == ("accepted", 0)
    assert house.incident().status == "open"
    assert statuses(house) == []
    assert house.gap() == (0, 0)


def test_the_key_of_a_repeated_page_is_the_same_incident(paired: House) -> None:
    house = paired
    _, key = ours(house)
    event(house, "acknowledged", f"{key}-r2")
    assert house.incident().status == "acknowledged"


def test_an_echo_and_an_alert_of_a_key_that_fires_again(paired: House) -> None:
    """What a person ended on the pager fires on: they are not woken for it at once."""
    house = paired
    _, key = ours(house)
    event(house, "resolved", key)
    house.post(alert("Odd", severity="critical"))
    house.settle()
    assert house.outcomes()[-1] == "suppressed"
    assert house.pager.happenings().count("opened") == 1


# Of an incident that came from PagerDuty


def test_what_came_from_pagerduty_pages_nobody_there_and_is_answered_by_a_note(
    paired: House,
) -> None:
    house = paired
    event(house, "triggered")
    incident = house.incident()
    assert (incident.severity, incident.status) == ("P0", "open")
    house.later(timedelta(hours=2))
    house.settle()
    assert house.pager.got == []
    assert recorder(house, "last").got == []
    assert "opened" in house.hook.happenings()
    note = recorder(house, "notes").got[-1]
    (told,) = note.document["alerts"]
    assert (told["type"], told["fingerprint"]) == ("pagerduty", "Q1")


def test_another_pager_is_woken_for_what_came_from_pagerduty(paired: House) -> None:
    house = paired
    house.with_settings(routes=(Route(("pager", "hook"), page=True),))
    event(house, "triggered")
    assert (house.pager.got, house.hook.happenings()) == ([], ["opened"])


def test_a_fallback_at_pagerduty_is_not_woken_for_what_came_from_there(paired: House) -> None:
    """Else our page would open a second incident there for the first one."""
    house = paired
    receivers = dict(house.services.settings.receivers)
    receivers["hook"] = replace(receivers["hook"], fallback="pager")
    house.with_settings(receivers=receivers, routes=(Route(("hook",), page=True),))
    house.hook.fails = Undelivered("it does not answer", permanent=False)
    event(house, "triggered")
    deliver(house.services, page=True)
    assert house.pager.got == []


def test_who_acknowledges_it_there_has_acknowledged_here(paired: House) -> None:
    house = paired
    event(house, "triggered")
    event(house, "acknowledged")
    incident = house.incident()
    assert (incident.status, incident.acknowledged_by) == ("acknowledged", "Ann Example (pd)")
    event(house, "resolved")
    assert house.incident().status == "resolved"
    assert house.pager.got == []
    assert house.gap() == (0, 0)


def test_an_acknowledgement_of_what_we_never_heard_of_is_let_be(paired: House) -> None:
    house = paired
    event(house, "acknowledged", incident="Q9")
    assert house.incidents() == []
    assert house.gap() == (0, 0)
