"""Scheduled checks: asked when they are due, told when something is found, and ended by us."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest

from responder import __version__
from responder.domain.actor import Actor, ActorKind
from responder.domain.incident import ResolvedBy
from responder.domain.matcher import parse_matcher
from responder.pipeline.checks import AGAIN, LEASE, run_checks
from responder.pipeline.maintenance import Window, open_window
from responder.pipeline.walking import resolve
from responder.runbook.catalogue import Catalogue
from responder.runbook.schedule import next_due
from responder.store import Store
from responder.store.incidents import lock_incident
from responder.store.slots import Slots
from tests.house import House, alert
from tests.small_rules import small_rule
from tests.walks import BAD, refusing

DAY = timedelta(days=1)
DAILY = "30 6 * * *"
BY_HAND = 'Option("mend", "Mend it", run="mend")'
Start = Callable[..., House]


def check(house: House) -> None:
    """The next check is made, with all that comes of it."""
    run_checks(house.services)
    house.settle()


def next_time(house: House) -> None:
    """It is a moment past the time of the next check, which is made."""
    run_checks(house.services)  # what is new is planned
    (due,) = house.sql("SELECT due_at FROM schedule")
    house.later(due["due_at"] - now(house) + timedelta(seconds=1))
    check(house)


def now(house: House) -> datetime:
    with house.services.store.transaction() as tx:
        return tx.now


def due(house: House) -> list[datetime]:
    return [row["due_at"] for row in house.sql("SELECT due_at FROM schedule ORDER BY due_at")]


def checks(house: House) -> list[str]:
    """What the checks came to, by the audit."""
    return [
        row["after"]
        for row in house.sql("SELECT after FROM audit_event WHERE what = 'check' ORDER BY id")
    ]


def mend(house: House) -> None:
    house.shop.run("UPDATE thing SET state = 'good'")


def deliveries(house: House) -> list[str]:
    rows = house.sql(
        "SELECT notices->0->>'status' AS status FROM delivery WHERE source = 'responder'"
        " ORDER BY received_at"
    )
    return [row["status"] for row in rows]


def test_it_is_due_at_its_time_and_not_at_once(start: Start) -> None:
    house = start(schedule=DAILY)
    check(house)
    assert (checks(house), deliveries(house)) == ([], [])
    assert due(house) == [next_due(DAILY, now(house))]


@pytest.mark.parametrize("severity", ["p0", "p1", "p2", "p3"])
def test_a_check_that_finds_nothing_tells_nobody(start: Start, severity: str) -> None:
    house = start(schedule=DAILY, options=BY_HAND, severity=severity, promoted=False)
    mend(house)
    next_time(house)
    assert checks(house) == ["nothing_found"]
    assert (deliveries(house), house.incidents()) == ([], [])
    assert house.sql("SELECT FROM notification") == []
    assert due(house) == [next_due(DAILY, now(house))]


def test_what_it_finds_goes_the_way_of_every_alert_and_the_next_check_ends_it(start: Start) -> None:
    house = start(schedule=DAILY, promoted=False)
    next_time(house)
    incident = house.incident()
    assert (incident.rule, incident.target, incident.source) == ("thing", "shop_eu", "responder")
    assert (incident.title, incident.severity) == ("Thing is wrong", "P2")
    assert incident.labels == {
        "alertname": "Thing",
        "env": "production",
        "target": "shop_eu",
    }
    assert house.decision() == ("propose", "autonomy")
    assert house.hook.happenings() == ["opened", "updated"]
    assert house.pager.got == []
    next_time(house)
    assert house.outcomes() == ["opened", "joined"]
    mend(house)
    next_time(house)
    assert checks(house) == ["found", "found", "nothing_found"]
    assert deliveries(house) == ["firing", "firing", "resolved"]
    assert house.outcomes() == ["opened", "joined", "cleared"]
    assert (house.incident().stage, house.incident().resolved_by) == ("done", "sender")
    assert house.hook.happenings()[-1] == "resolved"
    assert house.gap() == (0, 0)
    next_time(house)
    assert checks(house)[-1] == "nothing_found"
    assert len(deliveries(house)) == 3, "its end is told once"


def test_a_fix_that_may_be_made_is_made_for_it_too(start: Start) -> None:
    house = start(schedule=DAILY)
    next_time(house)
    assert house.shop.rows(BAD) == []
    assert house.decision() == ("fix", "allowed")
    next_time(house)
    assert house.incident().status == "resolved"


def test_it_wakes_people_for_what_it_finds_when_its_severity_does(start: Start) -> None:
    house = start(schedule=DAILY, severity="p1", options=BY_HAND, promoted=False)
    next_time(house)
    house.later(timedelta(seconds=2))
    house.settle()
    assert house.pager.happenings() == ["opened"]
    assert house.pager.got[0].document["findings"][0]["name"] == "wrong"


def test_it_joins_the_incident_that_somebody_else_told_of(start: Start) -> None:
    house = start(schedule=DAILY, promoted=False)
    run_checks(house.services)
    house.post(alert("Thing", instance="db-1"))
    house.settle()
    next_time(house)
    assert house.outcomes() == ["opened", "joined"]
    house.post(alert("Thing", status="resolved", instance="db-1"))
    house.settle()
    assert house.incident().status == "open", "we still see it"
    mend(house)
    next_time(house)
    assert house.incident().status == "resolved"


def test_times_that_an_outage_took_are_made_up_once(start: Start) -> None:
    house = start(schedule=DAILY, promoted=False)
    check(house)
    house.later(10 * DAY)
    check(house)
    check(house)
    assert (checks(house), deliveries(house)) == (["found"], ["firing"])
    assert now(house) < due(house)[0] <= now(house) + DAY


def test_of_many_processes_one_makes_it(start: Start) -> None:
    house = start(schedule=DAILY, promoted=False)
    run_checks(house.services)
    house.later(2 * DAY)
    url, offset, barrier = house.services.store.url, house.services.store.offset, Barrier(6)

    def another() -> None:
        store = Store(url, 4, __version__, offset)
        store.open()
        slots = Slots(url)
        barrier.wait(20)
        run_checks(replace(house.services, store=store, slots=slots))
        slots.close()
        store.close()

    threads = [Thread(target=another) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (checks(house), deliveries(house)) == (["found"], ["firing"])


def test_a_process_that_dies_while_it_asks_is_followed_by_another(start: Start) -> None:
    house = start(schedule=DAILY, promoted=False)
    run_checks(house.services)
    house.later(2 * DAY)
    with house.services.store.transaction() as tx:
        known = {"rule": "thing", "target": "shop_eu", "cron": DAILY}
        leased = tx.one("lease_check", **known, lease=LEASE)
    check(house)
    assert checks(house) == []
    house.later(LEASE)
    check(house)
    assert checks(house) == ["found"]
    with house.services.store.transaction() as tx:  # it was only slow, and wakes up
        late = {"leased": leased["due_at"], "next": tx.now, "tries": 0}
        assert tx.run("take_check", **known, **late) == 0


def test_a_process_that_dies_while_it_tells_has_told_nothing(start: Start) -> None:
    house = start(schedule=DAILY, promoted=False)
    run_checks(house.services)
    house.later(2 * DAY)
    with (
        refusing(house, "audit_event", "NEW.what = 'check'"),
        pytest.raises(Exception, match="lights"),
    ):
        run_checks(house.services)
    assert deliveries(house) == []
    house.later(LEASE)
    check(house)
    assert (checks(house), deliveries(house)) == (["found"], ["firing"])


def test_nothing_is_asked_in_a_window_and_it_is_made_up_at_its_end(start: Start) -> None:
    house = start(schedule=DAILY, promoted=False)
    run_checks(house.services)
    house.later(2 * DAY)
    hour = timedelta(hours=1)
    window = Window("a test", ('target="shop_eu"',), duration=hour, diagnose=False)
    open_window(house.services, window, Actor(ActorKind.PERSON, "ann"))
    check(house)
    assert checks(house) == []
    house.later(hour)
    check(house)
    assert checks(house) == ["found"]


def test_a_target_that_does_not_answer_is_asked_thrice_and_then_told(start: Start) -> None:
    house = start(schedule=DAILY, promoted=False)
    connect = f"CONNECT ON DATABASE {house.shop.name}"
    house.shop.run(f"REVOKE {connect} FROM responder_reading")
    next_time(house)
    assert (checks(house), deliveries(house)) == (["not_asked"], [])
    house.later(AGAIN)
    check(house)
    house.later(AGAIN)
    check(house)
    assert checks(house) == ["not_asked"] * 3
    assert house.incident().title == "A scheduled check could not be made: Thing is wrong"
    assert house.decision() == ("hand_over", "diagnosis_failed")
    assert due(house) == [next_due(DAILY, now(house))]
    house.shop.run(f"GRANT {connect} TO responder_reading")
    mend(house)
    next_time(house)
    assert (checks(house)[-1], house.incident().status) == ("nothing_found", "resolved")


def test_one_refusal_is_no_news_when_the_next_asking_succeeds(start: Start) -> None:
    house = start(schedule=DAILY, promoted=False)
    mend(house)
    connect = f"CONNECT ON DATABASE {house.shop.name}"
    for _ in range(3):
        house.shop.run(f"REVOKE {connect} FROM responder_reading")
        next_time(house)
        house.shop.run(f"GRANT {connect} TO responder_reading")
        house.later(AGAIN)
        check(house)
    assert checks(house) == ["not_asked", "nothing_found"] * 3
    assert deliveries(house) == []


def test_a_rule_that_fails_is_told(start: Start) -> None:
    house = start(schedule=DAILY, promoted=False, options=" ")  # it offers what it has not
    next_time(house)
    assert checks(house) == ["rule_failed"]
    assert house.decision() == ("hand_over", "rule_failed")


def test_quiet_does_not_end_what_our_next_check_will(start: Start) -> None:
    house = start(schedule=DAILY, promoted=False)
    house.with_settings(resolve_after_quiet=timedelta(hours=1))
    next_time(house)
    house.later(timedelta(hours=12))
    house.settle()
    assert house.incident().status == "open"


def test_what_a_person_closed_is_not_opened_again_by_its_end(start: Start) -> None:
    house = start(schedule=DAILY, promoted=False)
    next_time(house)
    with house.services.store.transaction() as tx:
        incident = lock_incident(tx, house.incident().id)
        ann = Actor(ActorKind.PERSON, "ann")
        resolve(house.services, tx, incident, ResolvedBy.PERSON, ann)
    mend(house)
    next_time(house)
    assert (house.incident().status, house.incident().resolved_by) == ("resolved", "person")
    assert house.gap() == (0, 0)


def test_each_target_of_the_kind_is_checked_whatever_its_matchers_want(start: Start) -> None:
    house = start(schedule=DAILY, promoted=False)
    (shop,) = house.services.settings.targets.values()
    wanting = [parse_matcher('env=~"staging|test"'), parse_matcher('region!="eu"')]
    other = replace(shop, name="shop_us", matches=wanting)
    house.with_settings(targets={"shop_eu": shop, "shop_us": other})
    run_checks(house.services)
    assert len(due(house)) == 2
    house.later(2 * DAY)
    check(house)
    assert {incident.target for incident in house.incidents()} == {"shop_eu", "shop_us"}
    assert len({incident.key for incident in house.incidents()}) == 2


def test_two_versions_of_a_cron_do_not_disturb_each_other(start: Start, tmp_path: Path) -> None:
    """In a rolling deploy both run for a while."""
    house = start(schedule=DAILY, promoted=False)
    run_checks(house.services)
    edited = small_rule(tmp_path, schedule="0 7 * * *")
    catalogue = Catalogue([edited], house.services.settings.targets)
    run_checks(replace(house.services, catalogue=catalogue))
    run_checks(house.services)
    assert due(house) == sorted(next_due(cron, now(house)) for cron in (DAILY, "0 7 * * *"))
