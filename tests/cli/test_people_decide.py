"""What the commands say of what waits for people, and how a breaker is closed."""

from collections.abc import Callable

import pytest
from click.testing import Result

from responder.domain.actor import Actor, ActorKind
from responder.pipeline.approval import Subject, approve_first
from tests.house import House, alert

Run = Callable[..., Result]
ANN = Actor(ActorKind.PERSON, "ann")
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def unknown(house: House) -> House:
    """Nobody knows what became of the last fix of an incident."""
    house.post(alert("ShopifyQueueStuck", severity="warning"))
    house.settle()
    house.sql(
        "INSERT INTO fix (id, incident_id, key, rule, rule_checksum, option, target, parameters,"
        " actor_kind, actor, severity, status, attempt, started_at, ended_at)"
        " SELECT gen_random_uuid(), id, key, rule, '', 'retry_failed', 'shop_eu', '{}',"
        " 'responder', 'responder', 'P2', 'unknown', 1, now(), now() FROM incident"
    )
    return house


def test_a_breaker_is_shown_and_closed(run: Run, unknown: House) -> None:
    incident = str(unknown.incident().id)
    shown = run("incidents", "show", incident).output
    assert f"responder fixes reset {incident} --reason WHY" in shown
    done = run("fixes", "reset", incident, "--reason", "it was made", "--as", "ann")
    assert (done.exit_code, "the breaker is closed" in done.output) == (0, True), done.output
    (event,) = unknown.sql("SELECT * FROM audit_event WHERE what = 'breaker'")
    assert (event["actor"], event["details"]["why"]) == ("ann", "it was made")
    assert "Breaker" not in run("incidents", "show", incident).output
    again = run("fixes", "reset", incident, "--reason", "once more")
    assert (again.exit_code, "is closed" in again.output) == (1, True)


def test_a_reason_and_an_incident_are_needed(run: Run, unknown: House) -> None:
    assert run("fixes", "reset", str(unknown.incident().id)).exit_code == 2
    assert run("fixes", "reset", "seven", "--reason", "x").exit_code == 2
    nobody = run("fixes", "reset", NOBODY, "--reason", "x")
    assert (nobody.exit_code, "no such incident" in nobody.output) == (1, True)
    assert unknown.sql("SELECT * FROM breaker_reset") == []


def test_what_waits_for_a_second_person_is_shown(run: Run, unknown: House) -> None:
    incident = unknown.incident()
    assert incident.decision_id is not None
    subject = Subject(incident.id, "clear_queued", {}, incident.decision_id)
    with unknown.services.store.transaction() as tx:
        approve_first(unknown.services, tx, incident, subject, ANN)
    shown = run("incidents", "show", str(incident.id)).output
    assert "Waits for a second person\n  ann approved clear_queued. Another person" in shown
