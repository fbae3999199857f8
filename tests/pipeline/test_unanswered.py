"""Alerts that no rule answers: people have them in the transaction that opens their incidents."""

from collections.abc import Callable

import pytest

from responder.domain.incident import Stage
from responder.domain.settings import Receiver
from tests.house import House, alert


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    return make_house([])


def timers(house: House) -> list[str]:
    return [row["what"] for row in house.sql("SELECT what FROM timer ORDER BY what")]


def test_it_is_handed_over_without_a_walk(house: House) -> None:
    house.post(*(alert("Nobody", severity="warning", instance=str(n)) for n in range(5)))
    house.run_triage()
    assert house.jobs() == []
    for incident in house.incidents():
        assert (incident.stage, incident.walking, incident.status) == (Stage.WATCH, False, "open")
    rows = house.sql(
        "SELECT d.action, d.reason, i.id FROM incident i JOIN decision d ON d.id = i.decision_id"
        " AND d.incident_id = i.id"
    )
    assert [(row["action"], row["reason"]) for row in rows] == [("hand_over", "no_rule")] * 5
    trail = house.trail()
    assert trail.count(("opened", "open")) == trail.count(("decision", "hand_over")) == 5
    assert len(trail) == 10
    assert len(house.sql("SELECT FROM audit_event WHERE what = 'row'")) == 5, "witnessed"
    assert "quiet" in timers(house)
    assert house.gap() == (0, 0)
    house.send()
    assert house.hook.happenings() == ["opened"] * 5
    told = house.hook.got[0].document
    assert told["decision"]["reason"] == "no_rule"
    assert house.pager.got == []


@pytest.mark.parametrize(
    "kind, happening", [("webhook", "opened"), ("slack", "opened"), ("pagerduty_notes", "updated")]
)
def test_who_writes_notes_writes_one(house: House, kind: str, happening: str) -> None:
    """A note tells of decisions, and ignores what was only opened."""
    receivers = {**house.services.settings.receivers, "hook": Receiver("hook", kind)}
    house.with_settings(receivers=receivers)
    house.post(alert("Nobody", severity="warning"))
    house.settle()
    assert house.hook.happenings() == [happening]


@pytest.mark.parametrize("severity", ["critical", "error", "nobody knows this"])
def test_what_wakes_people_is_walked(house: House, severity: str) -> None:
    house.post(alert("Nobody", severity=severity))
    house.run_triage()
    assert [job["task_name"] for job in house.jobs()] == ["walk"]
    house.settle()
    assert house.decision() == ("hand_over", "no_rule")
    assert house.incident().stage == Stage.WATCH


@pytest.mark.parametrize("graver, severity", [("warning", "P2"), ("critical", "P0")])
@pytest.mark.parametrize("together", [True, False])
def test_it_is_walked_when_it_becomes_graver(
    house: House, graver: str, severity: str, together: bool
) -> None:
    mild, grave = (
        {**alert("Nobody", severity=word), "fingerprint": "5a3e"} for word in ("info", graver)
    )
    if together:
        house.post(mild, grave)
    else:
        house.post(mild)
        house.run_triage()
        house.post(grave)
    house.run_triage()
    incident = house.incident()
    assert (incident.severity, incident.walking) == (severity, True)
    assert [job["task_name"] for job in house.jobs()] == ["walk"]
    house.settle()
    assert house.incident().stage == Stage.WATCH
    assert house.pager.happenings() == (["opened"] if severity == "P0" else [])
    assert house.gap() == (0, 0)


def test_it_ends_in_the_delivery_that_opened_it(house: House) -> None:
    house.post(alert("Nobody", severity="info"), alert("Nobody", "resolved", severity="info"))
    house.run_triage()
    assert house.outcomes() == ["opened", "cleared"]
    incident = house.incident()
    assert (incident.status, incident.stage) == ("resolved", Stage.DONE)
    assert timers(house) == []
    assert house.gap() == (0, 0)
