"""Every alert gets exactly one outcome; one fault is one incident, whoever tells it how often."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from responder.domain.actor import Actor, ActorKind
from responder.pipeline.people import close
from responder.pipeline.triage import give_up_triage, triage
from tests.house import House, alert

STUCK = "ShopifyQueueStuck"
PERSON = Actor(ActorKind.PERSON, "ann")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def house(house: House) -> Iterator[House]:
    """At the end of every test nothing that was accepted is lost."""
    yield house
    assert house.gap() == (0, 0)


def take(house: House, *alerts: Any) -> UUID:
    """One delivery, accepted and triaged, nothing more."""
    delivery = house.post(*alerts).delivery
    assert triage(house.services, delivery)
    return delivery


def opened_and_answered(house: House, severity: str = "critical") -> None:
    """An incident that was paged and waits for its end, a minute later."""
    take(house, alert(STUCK, severity=severity))
    house.settle()
    assert house.incident().stage == "watch"
    house.later(MINUTE)


def cleared(house: House, severity: str = "critical") -> None:
    now = datetime.now(UTC) + house.services.store.offset
    resolved = {**alert(STUCK, "resolved", severity=severity), "endsAt": now.isoformat()}
    take(house, resolved)
    house.settle()


def fires(house: House, severity: str = "critical") -> None:
    """The same condition begins anew, now."""
    now = datetime.now(UTC) + house.services.store.offset
    take(house, alert(STUCK, severity=severity, starts_at=now))


def trail(house: House, *whats: str) -> list[tuple[str, str | None]]:
    return [event for event in house.trail() if event[0] in whats]


def pages(house: House) -> int:
    return house.pager.happenings().count("opened")


@pytest.mark.parametrize(
    "before, notice, outcome, noted",
    [
        ([], alert(STUCK), "opened", ""),
        ([alert(STUCK)], alert(STUCK), "joined", ""),
        ([alert(STUCK)], alert(STUCK, severity="info"), "joined", ""),
        ([alert(STUCK)], alert(STUCK, "resolved"), "cleared", ""),
        ([], alert(STUCK, "resolved"), "stale", "nothing was firing"),
        ([alert(STUCK)], alert(STUCK, "resolved", other="x"), "stale", "nothing was firing"),
        ([alert(STUCK), alert(STUCK, "resolved")], alert(STUCK), "stale", "older"),
        ([], {"status": "firing", "labels": {}}, "quarantined", "no labels"),
        ([], {"labels": 5}, "quarantined", "not an object"),
        ([], alert("NobodyAnswersThis"), "opened", ""),
    ],
)
def test_every_alert_gets_one_outcome(
    house: House, before: list[Any], notice: Any, outcome: str, noted: str
) -> None:
    for each in before:
        take(house, each)
    delivery = take(house, notice)

    (row,) = house.sql("SELECT * FROM alert WHERE delivery_id = %s", delivery)
    assert row["outcome"] == outcome
    assert noted in row["note"] and bool(noted) == bool(row["note"])
    if outcome in ("opened", "joined", "cleared"):
        assert row["incident_id"] == house.incident().id


def test_one_malformed_alert_does_not_hurt_its_neighbours(house: House) -> None:
    take(house, alert("A"), {"status": "firing"}, alert("B"))
    assert house.outcomes() == ["opened", "quarantined", "opened"]
    assert [incident.title for incident in house.incidents()] == ["A in the shop", "B in the shop"]
    assert trail(house, "opened") == [("opened", "open")] * 2


def test_two_severity_labels_are_one_incident_that_rises_and_pages_once(house: House) -> None:
    take(house, alert(STUCK, severity="warning"))
    take(house, alert(STUCK, severity="critical"))
    incident = house.incident()
    assert (incident.severity, incident.declared_severity) == ("P0", "P0")
    assert house.outcomes() == ["opened", "joined"]
    assert trail(house, "severity", "page") == [("severity", "P0"), ("page", "due")]
    house.settle()
    house.later(MINUTE)
    house.settle()
    assert house.pager.happenings() == ["opened"]


def test_of_two_severities_in_one_delivery_the_graver_opens(house: House) -> None:
    take(house, alert(STUCK, severity="warning"), alert(STUCK, severity="critical"))
    assert house.incident().severity == "P0"
    assert house.outcomes() == ["opened", "joined"]
    assert trail(house, "severity", "page") == [("page", "due")]


@pytest.mark.parametrize("severities", [("critical", "warning"), ("warning", "info"), ("P1", "P2")])
def test_a_lesser_severity_never_lowers(house: House, severities: tuple[str, str]) -> None:
    for severity in severities:
        take(house, alert(STUCK, severity=severity))
    first = {"critical": "P0", "warning": "P2", "P1": "P1"}[severities[0]]
    assert house.incident().severity == first
    assert trail(house, "severity") == []


@pytest.mark.parametrize("name, incidents", [(STUCK, 1), ("NobodyAnswersThis", 2)])
def test_two_peers_of_one_cluster(house: House, name: str, incidents: int) -> None:
    """The same from two sources: one incident where a rule knows what it is about."""
    source = house.services.settings.sources["prometheus"]
    house.with_settings(sources={"prometheus": source, "peer": type(source)("peer", **_of(source))})
    for peer in ("prometheus", "peer", "prometheus", "peer"):
        triage(house.services, house.post(alert(name), source=peer).delivery)
    house.run_jobs()
    assert len(house.incidents()) == incidents
    joined = ["joined"] * 2
    assert house.outcomes() == ["opened", "joined" if incidents == 1 else "opened", *joined]


def _of(source: Any) -> dict[str, Any]:
    return {"type": source.type, "bearer": source.bearer}


def test_a_p0_for_a_p2_rule_joins_its_incident_and_pages(house: House) -> None:
    opened_and_answered(house, "warning")
    assert house.pager.got == []
    take(house, alert(STUCK, severity="critical"))
    house.settle()
    assert house.incident().severity == "P0"
    assert house.outcomes() == ["opened", "joined"]
    assert house.pager.happenings() == ["opened"]
    assert trail(house, "opened", "severity", "page") == [
        ("opened", "open"),
        ("severity", "P0"),
        ("page", "due"),
    ]
    assert house.decision()[0] == "hand_over"


def test_a_joining_notice_that_raises_nothing_starts_nothing(house: House) -> None:
    opened_and_answered(house)
    before = house.trail()
    take(house, alert(STUCK, severity="critical"))
    assert house.jobs() == []
    assert house.trail() == before


def test_the_last_condition_that_clears_ends_the_incident(house: House) -> None:
    take(house, alert(STUCK, shard="1"), alert(STUCK, shard="2"))
    house.settle()
    take(house, alert(STUCK, "resolved", shard="1"))
    house.settle()
    assert house.incident().status == "open"
    take(house, alert(STUCK, "resolved", shard="2"))
    house.settle()
    incident = house.incident()
    assert (incident.status, incident.stage, incident.resolved_by) == ("resolved", "done", "sender")
    assert house.outcomes() == ["opened", "joined", "cleared", "cleared"]
    assert trail(house, "status") == [("status", "resolved")]
    (event,) = house.sql("SELECT * FROM audit_event WHERE what = 'status'")
    assert (event["actor_kind"], event["actor"]) == ("sender", "prometheus")


def test_both_conditions_cleared_in_one_delivery(house: House) -> None:
    take(house, alert(STUCK, shard="1"), alert(STUCK, shard="2"))
    take(house, alert(STUCK, "resolved", shard="1"), alert(STUCK, "resolved", shard="2"))
    house.settle()
    assert house.incident().stage == "done"
    assert trail(house, "status") == [("status", "resolved")]


def test_an_old_firing_notice_that_comes_late_is_stale(house: House) -> None:
    opened_and_answered(house)
    cleared(house)
    take(house, alert(STUCK, severity="critical"))
    assert house.outcomes()[-1] == "stale"
    assert house.incident().status == "resolved"


def test_a_monitor_that_repeats_an_old_start_fires_again_after_five_minutes(house: House) -> None:
    start = datetime.now(UTC) - timedelta(hours=1)
    take(house, alert(STUCK, starts_at=start))
    house.settle()
    take(house, alert(STUCK, "resolved"))
    house.settle()
    house.later(6 * MINUTE)
    take(house, alert(STUCK, starts_at=start))
    assert house.outcomes()[-1] == "joined"
    assert house.incident().status == "open"


def test_flapping_reopens_and_pages_at_most_once_a_window(house: House) -> None:
    opened_and_answered(house)
    assert pages(house) == 1
    for _ in range(3):
        cleared(house)
        house.later(MINUTE)
        fires(house)
        house.settle()
    assert house.outcomes() == ["opened", *["cleared", "joined"] * 3]
    assert house.incident().status == "open"
    assert pages(house) == 1, "the first page's window is not over"
    assert trail(house, "status") == [("status", "resolved"), ("status", "open")] * 3

    house.later(6 * MINUTE)
    house.settle()
    assert pages(house) == 2, "ten minutes after the first"
    cleared(house)
    fires(house)
    house.settle()
    assert pages(house) == 2
    house.later(11 * MINUTE)
    house.settle()
    assert pages(house) == 3


def test_nobody_is_woken_at_the_end_of_the_window_for_what_is_over_by_then(house: House) -> None:
    opened_and_answered(house)
    cleared(house)
    fires(house)
    house.settle()
    cleared(house)
    house.later(11 * MINUTE)
    house.settle()
    assert pages(house) == 1
    assert house.pager.happenings()[-1] == "resolved"
    assert house.document()["notifications"][-1]["status"] == "sent"


def test_a_p0_pages_at_once_whatever_the_window_says(house: House) -> None:
    """A page of the P2 that it was must not hold up that of the P0 that it is now."""
    take(house, alert(STUCK, severity="rather bad"))
    house.settle()
    assert pages(house) == 1
    take(house, alert(STUCK, severity="critical"))
    house.later(timedelta(seconds=1))
    house.settle()
    assert pages(house) == 2


def test_two_deliveries_that_reopen_at_the_same_moment(house: House) -> None:
    take(house, alert(STUCK, severity="critical", shard="1"))
    house.settle()
    take(house, alert(STUCK, "resolved", severity="critical", shard="1"))
    house.settle()
    deliveries = [
        house.post(alert(STUCK, severity="warning", shard=shard)).delivery for shard in "23"
    ]
    with (
        psycopg.connect(house.services.store.url) as holding,
        ThreadPoolExecutor(2) as pool,
    ):
        holding.execute("SELECT FROM responder.incident FOR UPDATE")
        taking = [pool.submit(triage, house.services, each) for each in deliveries]
        until_waiting(house, 2)
        holding.rollback()
        assert all(each.result() for each in taking)
    house.run_jobs()
    assert house.outcomes()[-2:] == ["joined", "joined"]
    assert trail(house, "status") == [("status", "resolved"), ("status", "open")]


def until_waiting(house: House, sessions: int) -> None:
    """Until so many sessions of ours wait for a lock."""
    waiting = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(300):
        if len(house.sql(waiting)) == sessions:
            return
        time.sleep(0.01)
    raise AssertionError(f"there are not {sessions} sessions that wait")


def test_after_the_flap_window_it_is_a_new_incident(house: House) -> None:
    opened_and_answered(house)
    cleared(house)
    house.later(11 * MINUTE)
    fires(house)
    house.settle()
    assert [incident.status for incident in house.incidents()] == ["resolved", "open"]
    assert house.outcomes()[-1] == "opened"
    assert pages(house) == 2


def closed_by_a_person(house: House, *shards: str) -> None:
    """At P0, and still firing a minute later."""
    firing = [alert(STUCK, severity="critical", shard=shard) for shard in shards or ("1",)]
    take(house, *firing)
    house.settle()
    assert close(house.services, house.incident().id, PERSON)
    house.settle()
    house.later(MINUTE)
    take(house, *firing)
    house.settle()
    assert house.outcomes()[-1] == "suppressed"
    assert house.incident().stage == "done"


def test_what_a_person_closed_is_kept_down_and_taken_up_when_it_still_fires(house: House) -> None:
    closed_by_a_person(house)
    woken = len(house.pager.got)
    house.later(28 * MINUTE)
    house.settle()
    assert house.incident().status == "resolved"
    house.later(2 * MINUTE)
    house.settle()
    incident = house.incident()
    assert (incident.status, incident.stage) == ("open", "watch")
    assert house.pager.happenings()[woken:] == ["opened"]
    assert trail(house, "status", "suppressed") == [
        ("status", "resolved"),
        ("suppressed", None),
        ("status", "open"),
    ]


def test_what_a_person_closed_and_is_over_meanwhile_stays_closed(house: House) -> None:
    closed_by_a_person(house)
    take(house, alert(STUCK, "resolved", severity="critical", shard="1"))
    assert house.outcomes()[-1] == "cleared"
    house.later(31 * MINUTE)
    house.settle()
    assert (house.incident().status, house.incident().stage) == ("resolved", "done")
    assert trail(house, "suppressed") == [("suppressed", None), ("suppressed", "over")]


def test_a_timer_that_comes_too_late_leaves_the_newer_incident_alone(house: House) -> None:
    """All our processes were down when it was due, and a notice opened the key anew."""
    closed_by_a_person(house, "1", "2")
    house.later(31 * MINUTE)
    take(house, alert(STUCK, severity="critical", shard="1"))
    house.settle()
    assert [incident.status for incident in house.incidents()] == ["resolved", "open"]
    assert house.sql("SELECT * FROM timer WHERE what = 'reopen'") == []


def test_quiet_ends_an_incident_whose_sender_never_does(house: House) -> None:
    house.with_settings(resolve_after_quiet=timedelta(minutes=20))
    opened_and_answered(house, "warning")
    house.later(14 * MINUTE)
    take(house, alert(STUCK, severity="warning"))
    house.later(10 * MINUTE)
    house.settle()
    assert house.incident().status == "open", "it was heard of ten minutes ago"
    house.later(11 * MINUTE)
    house.settle()
    incident = house.incident()
    assert (incident.status, incident.stage, incident.resolved_by) == ("resolved", "done", "quiet")
    (event,) = house.sql("SELECT * FROM audit_event WHERE what = 'status'")
    assert (event["actor_kind"], event["after"]) == ("system", "resolved")


def test_without_a_quiet_time_nothing_ends_by_itself(house: House) -> None:
    opened_and_answered(house, "warning")
    for _ in range(3):
        house.later(timedelta(hours=2))
        house.settle()
    assert house.incident().status == "open"


def test_two_deliveries_at_the_same_moment_open_one_incident(house: House) -> None:
    deliveries = [
        house.post(alert(STUCK, severity="critical", shard=str(number))).delivery
        for number in range(12)
    ]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda each: triage(house.services, each), deliveries))
    assert all(results)
    assert len(house.incidents()) == 1
    assert sorted(house.outcomes()) == ["joined"] * 11 + ["opened"]
    house.run_jobs()
    house.send()
    assert house.pager.happenings() == ["opened"]


def test_the_same_delivery_in_two_hands_is_taken_once(house: House) -> None:
    delivery = house.post(alert(STUCK)).delivery
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: triage(house.services, delivery), range(4)))
    assert sorted(results) == [False, False, False, True]
    before = house.trail()
    assert triage(house.services, delivery) is False
    assert house.outcomes() == ["opened"]
    assert house.trail() == before


def test_a_delivery_that_is_given_up_is_quarantined_and_not_lost(house: House) -> None:
    delivery = house.post(alert(STUCK), {"broken": 1}, alert("B")).delivery
    give_up_triage(house.services, delivery, "it failed three times")
    assert house.outcomes() == ["quarantined"] * 3
    assert {row["note"] for row in house.sql("SELECT note FROM alert")} == {"it failed three times"}
    assert house.incidents() == []
    assert house.trail() == [("delivery", "quarantined")]
    (row,) = house.sql("SELECT outcome, note, triaged_at FROM delivery")
    assert (row["outcome"], row["note"]) == ("quarantined", "it failed three times")
    house.run_jobs()
    give_up_triage(house.services, delivery, "again")
    assert len(house.outcomes()) == 3


def test_a_batch_of_five_hundred(house: House) -> None:
    storm = [alert(f"Alert{n % 50}", instance=str(n)) for n in range(500)]
    delivery = house.post(*storm, *[alert(STUCK, shard=str(n)) for n in range(20)]).delivery
    triage(house.services, delivery)
    assert house.outcomes().count("opened") == 501
    assert house.outcomes().count("joined") == 19
    assert len(house.incidents()) == 501
    names = [row["name"] for row in house.sql("SELECT name FROM alert ORDER BY id")]
    assert names[:3] == ["Alert0", "Alert1", "Alert2"]


@pytest.mark.parametrize(
    "word, severity, unreadable",
    [
        ("", "P2", False),
        ("info", "P2", False),
        ("critical", "P0", False),
        ("rather bad", "P2", True),
    ],
)
def test_the_effective_severity(house: House, word: str, severity: str, unreadable: bool) -> None:
    take(house, alert(STUCK, severity=word))
    incident = house.incident()
    assert (incident.severity, incident.severity_unreadable) == (severity, unreadable)


def test_a_staging_alert_is_another_incident_and_has_no_target(house: House) -> None:
    take(house, alert(STUCK), alert(STUCK, env="staging"))
    production, staging = house.incidents()
    assert (production.target, production.trouble) == ("shop_eu", None)
    assert (staging.target, staging.trouble) == (None, "no_target")
