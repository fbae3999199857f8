"""The page does not wait: neither for a worker, nor for a diagnosis, nor for another receiver."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.ids import new_id
from responder.domain.notification import Message
from responder.domain.settings import Receiver, Route
from responder.pipeline.deliver import PAGE_LEASE, deliver
from responder.pipeline.pages import Watch, deliver_messages
from responder.pipeline.people import acknowledge, close
from responder.pipeline.services import Services
from responder.pipeline.triage import triage
from responder.receivers import Undelivered
from tests.house import House, Recorder, alert
from tests.small_rules import TABLE, small_rule

STUCK = "ShopifyQueueStuck"
DOWN = "DatabaseDown"
PERSON = Actor(ActorKind.PERSON, "ann")
SECOND = timedelta(seconds=1)
EXHAUSTED = """
INSERT INTO shopify_sync_queue
    (inventory_item_id, action, status, retry_count, max_retries, last_error, created_at)
SELECT gen_random_uuid(), 'update', 'failed', 3, 3, 'HTTP 503', now() - interval '20 minutes'
FROM generate_series(1, 3)
"""
FLAKY = Undelivered("it does not answer", permanent=False)


def notifications(house: House, **only: Any) -> list[dict[str, Any]]:
    rows = house.sql("SELECT * FROM notification ORDER BY created_at, id")
    return [row for row in rows if all(row[name] == value for name, value in only.items())]


def told(house: House) -> list[tuple[str | None, str, str]]:
    """The audit events about messages, as (after, receiver, happening)."""
    rows = house.sql(
        "SELECT after, details FROM audit_event WHERE what = 'notification' ORDER BY id"
    )
    return [(row["after"], row["details"]["receiver"], row["details"]["happening"]) for row in rows]


def paged(house: House, name: str = STUCK) -> None:
    """A P0 that is triaged, whose page is due, and whose diagnosis has not begun."""
    triage(house.services, house.post(alert(name, severity="critical")).delivery)
    house.sql("DELETE FROM procrastinate_jobs")
    house.later(SECOND)


# What a page says


def test_a_diagnosis_that_is_quick_goes_with_the_page_at_once(house: House) -> None:
    house.shop.run(EXHAUSTED)
    house.post(alert(STUCK, severity="critical"))
    house.run_jobs()
    deliver(house.services, page=True)

    (message,) = house.pager.got
    assert [finding["name"] for finding in message.document["findings"]] == ["exhausted"]
    assert message.document["decision"]["reason"] == "severity"
    assert ("sent", "pager", "opened") in told(house)
    (page,) = notifications(house, page=True)
    assert page["sent_at"] - house.incident().opened_at < SECOND
    assert page["document"] == message.document


def test_a_page_does_not_wait_for_a_diagnosis(house: House) -> None:
    house.shop.run(EXHAUSTED)
    accepted = house.post(alert(STUCK, severity="critical"))
    triage(house.services, accepted.delivery)
    assert deliver(house.services, page=True) == 0
    house.later(SECOND)
    deliver(house.services, page=True)

    (message,) = house.pager.got
    assert message.document["incident"]["stage"] == "diagnose"
    assert (message.document["findings"], message.document["decision"]) == ([], None)
    house.settle()
    assert house.pager.happenings() == ["opened"], "the diagnosis goes to the webhook"
    assert house.hook.got[-1].document["findings"] != []


def test_a_watch_pages_when_there_is_no_worker(house: House) -> None:
    house.post(alert(DOWN))
    house.watch()
    assert house.incidents() == []
    house.later(SECOND)
    house.watch()
    assert house.pager.happenings() == ["opened"]
    assert house.incident().severity == "P0"
    house.settle()
    assert house.pager.happenings() == ["opened"]
    assert house.hook.happenings()[0] == "opened"
    assert house.gap() == (0, 0)


def test_twenty_pages_leave(house: House) -> None:
    house.with_settings(receivers={"pager": Receiver("pager", "pagerduty", per_minute=100)})
    house.post(*(alert(f"A{number}", severity="critical") for number in range(20)))
    house.later(SECOND)
    house.watch()
    while deliver(house.services, page=True):
        pass
    assert len({message.dedup_key for message in house.pager.got}) == 20


# Receivers that fail


def test_a_page_that_did_not_arrive_is_sent_again_under_the_same_id(house: House) -> None:
    paged(house)
    house.pager.fails = FLAKY
    deliver(house.services, page=True)
    (page,) = notifications(house, page=True)
    assert (page["status"], page["attempts"], page["error"]) == ("due", 1, "it does not answer")

    house.pager.fails = None
    assert deliver(house.services, page=True) == 0, "half a second later, others first"
    house.later(timedelta(seconds=0.9))
    deliver(house.services, page=True)
    (message,) = house.pager.got
    assert message.id == str(page["id"])
    (page,) = notifications(house, page=True)
    assert (page["status"], page["attempts"], page["error"]) == ("sent", 2, "")
    assert told(house) == [("due", "pager", "opened"), ("sent", "pager", "opened")]


@pytest.mark.parametrize(
    "page, attempts, error, status, wait",
    [
        (True, 0, FLAKY, "due", 0.5),
        (True, 1, FLAKY, "due", 1),
        (True, 20, FLAKY, "due", 30),
        (True, 5000, FLAKY, "due", 30),
        (True, 0, Undelivered("wait", permanent=False, retry_after=7), "due", 7),
        (True, 0, Undelivered("wait", permanent=False, retry_after=1e9), "due", 30),
        (True, 3, Undelivered("no such key", permanent=True), "dead", None),
        (False, 0, FLAKY, "due", 5),
        (False, 2, FLAKY, "due", 45),
        (False, 10, FLAKY, "due", 600),
        (False, 38, FLAKY, "due", 600),
        (False, 0, Undelivered("wait", permanent=False, retry_after=1800), "due", 1800),
        (False, 0, Undelivered("wait", permanent=False, retry_after=1e9), "due", 3600),
        (False, 39, FLAKY, "dead", None),
        (False, 0, Undelivered("gone", permanent=True), "dead", None),
    ],
)
def test_what_becomes_of_a_message_that_did_not_arrive(
    house: House, page: bool, attempts: int, error: Undelivered, status: str, wait: float | None
) -> None:
    paged(house)
    house.sql("UPDATE notification SET attempts = %s", attempts)
    house.pager.fails = house.hook.fails = error
    (before,) = notifications(house, page=page)
    deliver(house.services, page=page)

    (row,) = notifications(house, page=page)
    receiver = "pager" if page else "hook"
    assert (row["status"], row["attempts"]) == (status, attempts + 1)
    if wait is not None:
        passed = (row["due_at"] - before["due_at"]).total_seconds()
        assert wait <= passed < wait + 5
    events = [(status, receiver, "opened")] if status == "dead" or attempts == 0 else []
    assert told(house) == events


def test_a_receiver_that_nobody_configured_is_dead_and_said(house: House) -> None:
    house.with_settings(routes=(Route(("nobody", "pager"), page=True),))
    paged(house)
    deliver(house.services, page=True)
    assert [row["status"] for row in notifications(house)] == ["dead", "sent"]
    assert sorted(told(house)) == [("dead", "nobody", "opened"), ("sent", "pager", "opened")]


class Silent(Recorder):
    """A receiver that says nothing until something else has happened."""

    def __init__(self, other: threading.Event) -> None:
        super().__init__()
        self.waited = False
        self._other = other

    def deliver(self, message: Message, now: datetime, timeout: float) -> None:
        self.waited = self._other.wait(5)
        raise FLAKY


class Announcing(Recorder):
    """A receiver that says when it has something."""

    def __init__(self, arrived: threading.Event) -> None:
        super().__init__()
        self._arrived = arrived

    def deliver(self, message: Message, now: datetime, timeout: float) -> None:
        super().deliver(message, now, timeout)
        self._arrived.set()


def with_receivers(house: House, **receivers: Recorder) -> None:
    house.services = replace(house.services, receivers=receivers)
    house.with_settings(routes=(Route(tuple(receivers), page=True),))


def test_a_silent_receiver_does_not_hold_up_another(house: House) -> None:
    arrived = threading.Event()
    silent, other = Silent(arrived), Announcing(arrived)
    with_receivers(house, silent=silent, other=other)
    paged(house)
    deliver(house.services, page=True)
    assert other.happenings() == ["opened"]
    assert silent.waited, "the other one had it while this one was silent"
    assert {row["receiver"]: row["status"] for row in notifications(house)} == {
        "silent": "due",
        "other": "sent",
    }


# Leases


def test_a_page_whose_sender_died_is_sent_by_another_watch(house: House) -> None:
    paged(house)
    with house.services.store.transaction() as tx:
        claim = {"lease": PAGE_LEASE, "limit": 8, "per_minute": {}, "circuit_failures": 5}
        claim |= {"unreached": (), "others_first": timedelta()}
        assert tx.all("claim_notifications", page=True, **claim)
    assert deliver(house.services, page=True) == 0
    assert notifications(house, page=True)[0]["status"] == "sending"
    house.later(timedelta(seconds=1.1))
    assert deliver(house.services, page=True) == 1
    assert house.pager.happenings() == ["opened"]
    (page,) = notifications(house, page=True)
    assert (page["status"], page["attempts"]) == ("sent", 2)


class Stalling(Recorder):
    """A receiver so slow that the lease ends and somebody else delivers meanwhile."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    def deliver(self, message: Message, now: datetime, timeout: float) -> None:
        super().deliver(message, now, timeout)
        if len(self.got) == 1:
            self._meanwhile()


def test_a_sender_that_comes_back_late_changes_nothing(house: House) -> None:
    def meanwhile() -> None:
        house.later(timedelta(seconds=2))
        assert deliver(house.services, page=True) == 1

    with_receivers(house, pager=Stalling(meanwhile))
    paged(house)
    deliver(house.services, page=True)
    (page,) = notifications(house, page=True)
    assert (page["status"], page["attempts"]) == ("sent", 2)
    assert told(house) == [("sent", "pager", "opened")]


# Order


@pytest.mark.parametrize("page", [True, False])
def test_the_end_never_overtakes_the_beginning(house: House, page: bool) -> None:
    paged(house)
    receiver = house.pager if page else house.hook
    receiver.fails = FLAKY
    deliver(house.services, page=page)
    close(house.services, house.incident().id, PERSON)
    paged(house, DOWN)
    receiver.fails = None

    assert deliver(house.services, page=page) == (2 if page else 1)
    house.later(timedelta(seconds=6))
    while deliver(house.services, page=page):
        pass
    stuck = next(incident for incident in house.incidents() if incident.rule != "database_down")
    of_stuck = [
        message.happening.value
        for message in receiver.got
        if message.document["incident"]["id"] == str(stuck.id)
    ]
    assert of_stuck == ["opened", "resolved"]


# Bare pages


def broken(house: House) -> None:
    """Triage of a `DatabaseDown` fails, whoever tries it."""
    house.sql("ALTER TABLE incident ADD CONSTRAINT broken CHECK (title NOT LIKE 'Data%') NOT VALID")


def test_a_bare_page_leaves_when_triage_fails_and_triage_adopts_it(house: House) -> None:
    broken(house)
    house.post(alert(DOWN, severity="critical"), alert(STUCK, severity="warning"))
    house.post(alert(STUCK, severity="critical"))
    house.later(2 * SECOND)
    house.watch()
    deliver(house.services, page=True)
    assert sorted(message.document["incident"]["title"] for message in house.pager.got) == [
        "DatabaseDown in the shop",
        "ShopifyQueueStuck in the shop",
    ]
    bare = next(each for each in house.pager.got if each.document["incident"]["id"] is None)
    assert bare.document["incident"]["rule"] == "database_down"
    assert bare.document["alerts"][0]["labels"]["env"] == "production"
    for _ in range(3):
        house.later(SECOND)
        house.watch()
    assert len(house.pager.got) == 2
    assert house.gap() == (0, 0), "its alerts wait for triage"

    house.sql("ALTER TABLE incident DROP CONSTRAINT broken")
    house.settle()
    assert len(house.pager.got) == 2
    down = next(each for each in house.incidents() if each.rule == "database_down")
    (page,) = [row for row in notifications(house, page=True) if row["incident_id"] == down.id]
    assert (page["status"], str(page["id"])) == ("sent", bare.id)
    (adopted,) = house.sql(
        "SELECT details FROM audit_event WHERE what = 'page' AND incident_id = %s", down.id
    )
    assert adopted["details"]["adopted"] == ["pager"]

    close(house.services, down.id, PERSON)
    house.send()
    assert house.pager.got[-1].dedup_key == bare.dedup_key
    assert house.pager.happenings()[-1] == "resolved"
    assert house.gap() == (0, 0)


def test_two_deliveries_of_one_fault_make_one_bare_page(house: House) -> None:
    broken(house)
    for _ in range(2):
        house.post(alert(DOWN))
    house.later(2 * SECOND)
    house.watch()
    assert len(house.pager.got) == 1


def test_a_bare_page_leaves_when_whoever_has_the_delivery_is_stuck(house: House) -> None:
    house.post(alert(DOWN))
    with psycopg.connect(house.services.store.url) as stuck:
        stuck.execute("SELECT FROM responder.delivery FOR UPDATE")
        house.later(SECOND)
        house.watch()
        assert house.pager.got == [], "it may well be done in a moment"
        house.later(SECOND)
        house.watch()
        assert house.pager.happenings() == ["opened"]
    house.settle()
    assert house.pager.happenings() == ["opened"]
    assert len(house.incidents()) == 1


@pytest.mark.parametrize("page_due", [True, False])
def test_a_bare_page_is_for_what_fires_at_p0_and_p1(house: House, page_due: bool) -> None:
    house.sql("ALTER TABLE incident ADD CONSTRAINT broken CHECK (false) NOT VALID")
    house.post(alert(DOWN, "resolved"), alert(STUCK), alert(DOWN) if page_due else alert("A"))
    house.later(timedelta(seconds=3))
    house.watch()
    assert len(notifications(house)) == page_due


# Who is woken for a P2


@pytest.mark.parametrize(
    "person, woken",
    [(None, ["opened"]), (acknowledge, []), (close, [])],
)
def test_a_p2_that_is_handed_over_wakes_somebody_after_an_hour_if_nobody_took_it(
    house: House, person: Callable[[Services, Any, Actor], bool] | None, woken: list[str]
) -> None:
    house.post(alert(STUCK, severity="warning"))
    house.settle()
    assert house.decision() == ("hand_over", "nothing_found")
    if person is not None:
        assert person(house.services, house.incident().id, PERSON)
    house.later(timedelta(minutes=59))
    house.settle()
    assert house.pager.got == []
    house.later(timedelta(minutes=2))
    house.settle()
    assert house.pager.happenings() == woken
    assert house.trail().count(("page", "due")) == len(woken)


@pytest.mark.parametrize(
    "folder, severity, mended, woken",
    [
        ("p2", "warning", "fix_failed", ["opened"]),
        ("p3", "info", "fix_failed", []),
        ("p2", "rather bad", "severity_unreadable", ["opened"]),
        ("p3", "rather bad", "severity_unreadable", ["opened"]),
    ],
)
def test_who_is_woken_when_it_could_not_be_fixed(
    make_house: Callable[..., House],
    tmp_path: Path,
    folder: str,
    severity: str,
    mended: str,
    woken: list[str],
) -> None:
    useless = {"mend": "UPDATE thing SET made_at = now() WHERE state = 'bad' RETURNING *"}
    rule = small_rule(tmp_path, severity=folder, statements=useless)
    house = make_house([rule])
    house.promote(rule)
    house.shop.run(TABLE)
    house.post(alert("Thing", severity=severity))
    house.settle()
    assert house.decision()[1] == mended
    assert house.pager.happenings() == woken
    house.later(timedelta(hours=2))
    house.settle()
    assert house.pager.happenings() == woken


def test_an_unreadable_severity_wakes_somebody_whatever_is_found(house: House) -> None:
    house.post(alert(STUCK, severity="rather bad"))
    house.settle()
    assert house.decision() == ("hand_over", "nothing_found")
    assert house.pager.happenings() == ["opened"]


@pytest.mark.parametrize(
    "severity, pager",
    [("critical", ["opened", "acknowledged", "resolved"]), ("warning", [])],
)
def test_a_pager_hears_the_end_only_of_what_it_was_woken_for(
    house: House, severity: str, pager: list[str]
) -> None:
    house.post(alert(STUCK, severity=severity))
    house.settle()
    for said in (acknowledge, acknowledge, close, close, acknowledge):
        assert said(house.services, house.incident().id, PERSON)
        house.settle()
    assert house.pager.happenings() == pager
    assert house.hook.happenings() == ["opened", "updated", "acknowledged", "resolved"]
    assert [after for what, after in house.trail() if what == "status"] == [
        "acknowledged",
        "resolved",
    ]
    incident = house.incident()
    assert (incident.acknowledged_by, incident.resolved_by) == ("ann", "person")


def test_nobody_can_take_what_is_not_there(house: House) -> None:
    assert not acknowledge(house.services, new_id(), PERSON)
    assert not close(house.services, new_id(), PERSON)


# The watch


def test_a_watch_survives_every_mistake(house: House) -> None:
    ticks: list[Services] = []
    twice = threading.Event()

    def tick(services: Services) -> None:
        ticks.append(services)
        if len(ticks) == 2:
            twice.set()
        raise ZeroDivisionError

    watch = Watch(house.services, tick, every=0.001)
    watch.start()
    assert twice.wait(5)
    watch.stop()
    count = len(ticks)
    assert ticks[0] is house.services
    assert len(ticks) == count


def test_the_other_messages_have_a_watch_of_their_own(house: House) -> None:
    paged(house)
    deliver_messages(house.services)
    assert (house.pager.happenings(), house.hook.happenings()) == ([], ["opened"])


def test_what_a_walk_has_to_tell_leaves_at_once(house: House) -> None:
    """Not at the next look, which here is an hour away."""
    told_all = threading.Event()

    class Notes(Recorder):
        def deliver(self, message: Message, now: datetime, timeout: float) -> None:
            super().deliver(message, now, timeout)
            told_all.set()

    hook = Notes()
    house.services = replace(house.services, receivers={**house.services.receivers, "hook": hook})
    woken = house.services.mail.sender()
    watch = Watch(house.services, deliver_messages, every=3600, woken=woken)
    watch.start()
    try:
        house.shop.run(EXHAUSTED)
        house.post(alert(STUCK))
        house.run_triage()
        assert not told_all.is_set()
        house.run_walks()
        assert told_all.wait(10)
    finally:
        watch.stop()
    assert "sent" in [after for after, receiver, _ in told(house) if receiver == "hook"]
    assert not watch._thread.is_alive()
