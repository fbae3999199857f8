"""What leaves when our database is silent: in time, once, counted, and joined by what follows."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest

from responder.domain.alert import Alert, AlertStatus
from responder.domain.notification import Happening
from responder.domain.settings import Receiver, Route, Source
from responder.domain.severity import Severity
from responder.pipeline.bare import A_MINUTE, AT_ONCE, flush, page_barely
from responder.pipeline.deliver import LONGEST_PAGE_WAIT, PAGE_LEASE, deliver
from responder.pipeline.keep import (
    DUE_AFTER,
    HELD_FOR,
    HUSH,
    OWED,
    Keep,
    Page,
    Sent,
)
from responder.pipeline.pages import deliver_pages, page_late, page_stuck
from responder.pipeline.triage import triage
from responder.receivers import Undelivered
from responder.store import SILENCE, Store, StoreAway
from responder.store.queries import QUERIES
from tests.house import House, alert
from tests.walks import meanwhile, until

AT = datetime(2026, 3, 14, 9, 27, tzinfo=UTC)
FLAKY = Undelivered("it does not answer", permanent=False)


class Clock:
    """Seconds of no particular beginning."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keeping(house: House, clock: Clock, tmp_path: Path) -> Iterator[House]:
    """A house on that clock, whose `hook` is the last resort; its database is reached apart."""
    lifeline = Store(house.services.store.url, 1, "test")
    lifeline.open()
    keep = Keep(tmp_path, clock)
    house.services = replace(house.services, keep=keep, lifeline_store=lifeline)
    receivers = {name: Receiver(name, "webhook", per_minute=100) for name in ("pager", "hook")}
    house.with_settings(
        receivers=receivers, routes=(Route(("pager",), page=True),), last_resort=("hook",)
    )
    yield house
    house.services.lifeline.close()


@contextmanager
def away(house: House) -> Iterator[None]:
    """Our database does not answer over the lifeline, and takes no delivery."""
    services = house.services
    nowhere = Store("postgresql://nobody@127.0.0.1:1/none", 1, "test")
    nowhere.open()
    house.services = replace(services, lifeline_store=nowhere, store=nowhere)
    try:
        yield
    finally:
        nowhere.close()
        house.services = services


def page_of(house: House, name: str = "Odd", word: Severity = Severity.P0, **of: Any) -> Page:
    told: Mapping[str, Any] = {"labels": {"alertname": name}, **of}
    one = Alert(
        source=of.get("source", "prometheus"),
        fingerprint=name,
        status=AlertStatus.FIRING,
        name=name,
        title=f"{name} in the shop",
        service="",
        labels=told["labels"],
        severity=word,
    )
    return Page(one, house.services.catalogue.identify(one), AT)


def lose(house: House, *pages: Page) -> None:
    """A delivery that could not be committed."""
    with pytest.raises(StoreAway), house.services.keep.held(pages):
        raise StoreAway("our database: gone")


def test_a_page_that_could_not_be_committed_leaves_once_and_the_retry_joins(
    keeping: House,
) -> None:
    house = keeping
    with away(house):
        with pytest.raises(StoreAway):
            house.post(alert("Odd", severity="critical"))
        for _ in range(3):
            page_barely(house.services)
    (message,) = house.hook.got
    assert message.document["incident"]["title"] == "Odd in the shop"
    assert message.document["incident"]["severity"] == "P0"
    assert house.pager.got == []

    house.post(alert("Odd", severity="critical"))
    house.settle()
    assert house.hook.happenings() == ["opened"]
    (row,) = house.sql("SELECT * FROM notification WHERE receiver = 'hook'")
    assert (row["status"], row["incident_id"], str(row["id"])) == (
        "sent",
        house.incident().id,
        message.id,
    )
    page_barely(house.services)
    assert house.services.keep.sent == []
    assert house.hook.happenings() == ["opened"]
    assert len(house.sql("SELECT id FROM notification WHERE receiver = 'hook'")) == 1

    house.post(alert("Odd", "resolved", severity="critical"))
    house.settle()
    assert house.hook.happenings() == ["opened", "resolved"]
    assert house.hook.got[1].dedup_key == message.dedup_key
    assert house.gap() == (0, 0)


def test_what_our_database_has_in_hand_is_let_go(keeping: House, clock: Clock) -> None:
    house = keeping
    house.post(alert("Odd", severity="critical"))
    house.run_triage()
    house.sql("UPDATE notification SET status = 'sent', sent_at = now() WHERE page")
    clock.now += DUE_AFTER + 0.1
    page_barely(house.services)
    assert house.hook.got == []
    assert house.services.keep.due() == []


def test_what_is_accepted_and_not_yet_paged_stays_held(keeping: House, clock: Clock) -> None:
    """Our database answers, so the watches have it; it is held in case they lose it."""
    house = keeping
    house.post(alert("Odd", severity="critical"))
    clock.now += DUE_AFTER + 0.1
    page_barely(house.services)
    assert house.hook.got == []
    assert len(house.services.keep.due()) == 1
    with away(house):
        page_barely(house.services)
    assert house.hook.happenings() == ["opened"]
    assert house.services.keep.due() == []


def test_a_database_that_answers_and_takes_nothing_in_holds_no_page_up(
    keeping: House, clock: Clock
) -> None:
    """Its disk is full, or it only reads: it says for ever that the page is about to leave."""
    house = keeping
    house.post(alert("Odd", severity="critical"))
    house.run_triage()
    clock.now += DUE_AFTER + OWED
    page_barely(house.services)
    assert house.hook.got == [], "nothing is wrong with our database: its watches have it"
    house.services.store.late_at = clock.now
    page_barely(house.services)
    page_barely(house.services)
    assert house.hook.happenings() == ["opened"]
    assert house.services.keep.due() == []


def test_who_was_woken_a_moment_ago_is_not_woken_barely(keeping: House, clock: Clock) -> None:
    """In a storm deliveries wait long for their turn, and our database may be slow to answer."""
    keeping.post(alert("Odd", severity="critical"))
    keeping.settle()
    assert keeping.pager.happenings() == ["opened"]
    keeping.post(alert("Odd", severity="critical"))
    clock.now += DUE_AFTER + 0.1
    page_barely(keeping.services)
    assert keeping.services.keep.due() == []
    with away(keeping):
        page_barely(keeping.services)
    assert keeping.hook.got == []


def test_what_leaves_in_a_moment_stays_held_until_then(keeping: House, clock: Clock) -> None:
    """Where the sender is asked for more first, a page is due later than it is looked at here."""
    house = keeping
    house.post(alert("Odd", severity="critical"))
    house.run_triage()
    house.sql("UPDATE notification SET due_at = now() + interval '1 s' WHERE page")
    clock.now += DUE_AFTER + 0.1
    page_barely(house.services)
    assert len(house.services.keep.due()) == 1
    with away(house):
        page_barely(house.services)
    assert house.hook.happenings() == ["opened"]


def test_what_waits_for_the_end_of_a_window_is_let_go(keeping: House, clock: Clock) -> None:
    house = keeping
    house.post(alert("Odd", severity="critical"))
    house.run_triage()
    house.sql("UPDATE notification SET due_at = now() + interval '5 minutes' WHERE page")
    clock.now += DUE_AFTER + 0.1
    page_barely(house.services)
    assert house.services.keep.due() == []


def test_the_end_of_what_our_database_never_knew_is_told(keeping: House) -> None:
    house = keeping
    with away(house):
        with pytest.raises(StoreAway):
            house.post(alert("Odd", severity="critical"))
        page_barely(house.services)
    page_barely(house.services)
    house.post(alert("Odd", "resolved", severity="critical"))
    house.settle()
    assert house.hook.happenings() == ["opened", "resolved"]
    assert house.hook.got[0].dedup_key == house.hook.got[1].dedup_key
    assert house.incidents() == []
    house.post(alert("Odd", "resolved", severity="critical"))
    house.settle()
    assert house.hook.happenings() == ["opened", "resolved"], "its end is told once"


def by_a_clock(house: House, hours: int) -> list[Sent]:
    """What left, as a host says whose clock is wrong by so much."""
    off = timedelta(hours=hours)
    return [
        replace(sent, page=replace(sent.page, at=sent.page.at + off))
        for sent in house.services.keep.sent
    ]


@pytest.mark.parametrize("hours", [0, 1, -1])
def test_an_end_that_is_triaged_before_we_tell_what_left_is_told(
    keeping: House, hours: int
) -> None:
    """Another process accepts it, and its worker is quicker than who has paged."""
    house = keeping
    with away(house):
        with pytest.raises(StoreAway):
            house.post(alert("Odd", severity="critical"))
        page_barely(house.services)
    keep = house.services.keep
    left, keep.sent = by_a_clock(house, hours), []
    house.post(alert("Odd", "resolved", severity="critical"))
    house.settle()
    assert house.hook.happenings() == ["opened"]
    keep.sent = left
    for _ in range(2):
        page_barely(house.services)
        house.settle()
        assert house.hook.happenings() == ["opened", "resolved"]
    assert house.hook.got[0].dedup_key == house.hook.got[1].dedup_key
    assert house.incidents() == []


def test_it_fires_again_after_its_end_was_told_barely(keeping: House, clock: Clock) -> None:
    """The page that left before belongs to what is over, so people are woken again."""
    house = keeping
    house.with_settings(last_resort=None)
    with away(house):
        with pytest.raises(StoreAway):
            house.post(alert("Odd", severity="critical"))
        page_barely(house.services)
    page_barely(house.services)
    house.post(alert("Odd", "resolved", severity="critical"))
    house.settle()
    clock.now += HUSH + 0.1
    deliver(house.services, page=True)
    assert house.pager.happenings() == ["opened", "resolved"]
    house.post(alert("Odd", starts_at=datetime.now(UTC), severity="critical"))
    house.settle()
    assert house.pager.happenings() == ["opened", "resolved", "opened"]


@pytest.mark.parametrize("hours", [0, 1, -1])
def test_what_left_for_another_episode_than_ended_goes_on(keeping: House, hours: int) -> None:
    house = keeping
    house.post(alert("Odd", severity="critical"))
    house.settle()
    house.post(alert("Odd", "resolved", severity="critical"))
    house.settle()
    again = alert("Odd", starts_at=datetime.now(UTC), severity="critical")
    with away(house):
        with pytest.raises(StoreAway):
            house.post(again)
        page_barely(house.services)
    house.services.keep.sent = by_a_clock(house, hours)
    page_barely(house.services)
    house.settle()
    assert house.hook.happenings() == ["opened"]


def test_without_a_last_resort_those_who_would_be_paged_are(keeping: House) -> None:
    keeping.with_settings(last_resort=None)
    with away(keeping):
        lose(keeping, page_of(keeping))
        page_barely(keeping.services)
    assert (keeping.pager.happenings(), keeping.hook.happenings()) == (["opened"], [])


def test_an_empty_last_resort_wakes_nobody(keeping: House) -> None:
    keeping.with_settings(last_resort=())
    with away(keeping):
        lose(keeping, page_of(keeping))
        page_barely(keeping.services)
    assert (keeping.pager.got, keeping.hook.got) == ([], [])


def test_what_came_from_pagerduty_is_never_paged_barely(keeping: House) -> None:
    house = keeping
    sources = {**house.services.settings.sources, "pd": Source("pd", "pagerduty")}
    house.with_settings(sources=sources)
    with away(house):
        lose(house, page_of(house, source="pd"))
        page_barely(house.services)
    assert (house.pager.got, house.hook.got) == ([], [])


def test_a_bare_page_that_fails_is_tried_again(keeping: House, clock: Clock) -> None:
    house = keeping
    house.hook.fails = FLAKY
    with away(house):
        lose(house, page_of(house))
        page_barely(house.services)
        house.hook.fails = None
        clock.now += 0.5
        page_barely(house.services)
        page_barely(house.services)
    assert house.hook.happenings() == ["opened"]


def test_a_bare_page_that_nobody_takes_is_given_up_after_a_minute(
    keeping: House, clock: Clock
) -> None:
    house = keeping
    house.hook.fails = FLAKY
    with away(house):
        lose(house, page_of(house))
        page_barely(house.services)
        clock.now += HELD_FOR + 1
        house.hook.fails = None
        page_barely(house.services)
    assert house.hook.got == []


def test_a_storm_without_our_database_is_counted(keeping: House, clock: Clock) -> None:
    """The gravest one by one, the rest in summaries with true counts, at most 20 in a minute."""
    house = keeping
    many = [page_of(house, f"Odd{n}", Severity.P1 if n % 2 else Severity.P0) for n in range(200)]
    with away(house):
        lose(house, *many)
        for _ in range(14):
            page_barely(house.services)
            clock.now += 4
    singles = [each for each in house.hook.got if each.happening == Happening.OPENED]
    summaries = [
        each.document["summary"] for each in house.hook.got if each.happening == Happening.SUMMARY
    ]
    assert len(house.hook.got) <= A_MINUTE + 1
    assert len(singles) + sum(each["messages"] for each in summaries) == 200
    assert {each.document["incident"]["severity"] for each in singles} == {"P0"}
    assert summaries[0]["by_severity"]["P1"] == 100


# The moment after


def test_an_ordinary_page_lets_the_bare_one_speak_first(keeping: House, clock: Clock) -> None:
    """What is due since the silence waits; our database is told; then nobody is woken twice."""
    house = keeping
    house.with_settings(last_resort=None)
    house.post(alert("Odd", severity="critical"))
    clock.now += DUE_AFTER + 0.1
    with away(house):
        page_barely(house.services)
    assert house.pager.happenings() == ["opened"]
    house.later(timedelta(seconds=2))
    house.run_triage()
    house.services.store.late_at = clock.now
    deliver_pages(house.services)
    assert house.pager.happenings() == ["opened"]
    page_barely(house.services)
    clock.now += HUSH + 0.1
    deliver_pages(house.services)
    assert house.pager.happenings() == ["opened"]
    rows = house.sql("SELECT status FROM notification WHERE page ORDER BY status")
    assert [row["status"] for row in rows] == ["sent", "superseded"]


@contextmanager
def silent_while_asked(house: House) -> Iterator[None]:
    """Our database takes no connection for a moment, which is longer than it may be silent."""
    services, held = house.services, Event()
    narrow = Store(services.store.url, 1, "test", services.store.offset)
    narrow.open()
    house.services = replace(services, store=narrow)

    def hold() -> None:
        with narrow.transaction() as tx:
            held.set()
            tx.connection.execute("SELECT pg_sleep(%s)", [SILENCE + 0.2])

    with meanwhile(hold):
        assert held.wait(30)
        yield
    narrow.close()
    house.services = services


@contextmanager
def silent_while_claiming(house: House) -> Iterator[None]:
    """It answers, and then says for longer than a lease nothing of what is due."""
    held = Event()

    def hold() -> None:
        with house.services.store.transaction() as tx:
            tx.connection.execute("LOCK TABLE notification")
            held.set()
            tx.connection.execute("SELECT pg_sleep(%s)", [PAGE_LEASE.total_seconds() + 0.2])

    with meanwhile(hold):
        assert held.wait(30)
        yield


@pytest.mark.parametrize("silent", [silent_while_asked, silent_while_claiming])
def test_a_silence_in_the_middle_of_a_look_wakes_nobody_twice(
    keeping: House, clock: Clock, silent: Callable[[House], AbstractContextManager[None]]
) -> None:
    """Whoever was about to page leaves it, unclaimed, until our database knows what left."""
    house = keeping
    house.with_settings(last_resort=None)
    house.post(alert("Odd", severity="critical"))
    house.run_triage()
    clock.now += DUE_AFTER + 0.1
    with away(house):
        page_barely(house.services)
    house.later(timedelta(seconds=2))
    with silent(house), suppress(StoreAway):
        deliver(house.services, page=True)
    with suppress(StoreAway):
        deliver_pages(house.services)
    page_barely(house.services)
    clock.now += HUSH + 0.1
    deliver_pages(house.services)
    assert house.pager.happenings() == ["opened"]
    rows = house.sql("SELECT status FROM notification WHERE page ORDER BY status")
    assert [row["status"] for row in rows] == ["sent", "superseded"]


def test_a_bare_row_of_a_stuck_delivery_is_superseded_too(keeping: House, clock: Clock) -> None:
    house = keeping
    house.with_settings(last_resort=None)
    with away(house):
        with pytest.raises(StoreAway):
            house.post(alert("Odd", severity="critical"))
        page_barely(house.services)
    house.sql(
        "INSERT INTO notification (id, key, receiver, happening, page, status, document,"
        " created_at, due_at)"
        " VALUES (gen_random_uuid(), %s, 'pager', 'opened', true, 'due', '{}', now(), now())",
        house.services.keep.sent[0].key,
    )
    page_barely(house.services)
    deliver(house.services, page=True)
    assert house.pager.happenings() == ["opened"]


def test_a_triage_and_what_left_without_our_database_wait_for_each_other(
    keeping: House, clock: Clock
) -> None:
    """Both begin when our database is back; whoever is second sees what the first one wrote."""
    house = keeping
    house.with_settings(last_resort=None)
    accepted = house.post(alert("Odd", severity="critical"))
    clock.now += DUE_AFTER + 0.1
    with away(house):
        page_barely(house.services)
    (left,) = house.services.keep.sent

    def tell() -> None:
        with house.services.store.transaction() as tx:
            flush(house.services, tx)

    with psycopg.connect(house.services.store.url) as holder:
        holder.execute(QUERIES["lock_page"].sql, {"key": left.key})
        with meanwhile(tell), meanwhile(lambda: triage(house.services, accepted.delivery)):
            until(lambda: _waiting(house) == 2)
            holder.rollback()
    rows = house.sql("SELECT status, incident_id FROM notification WHERE page AND status <> 'sent'")
    assert [row["status"] for row in rows] in ([], ["superseded"])
    (sent,) = house.sql("SELECT incident_id FROM notification WHERE status = 'sent'")
    assert sent["incident_id"] == house.incident().id


def _waiting(house: House) -> int:
    (row,) = house.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    return int(row["count"])


def test_another_fault_behind_a_storm_is_paged_in_time(keeping: House, clock: Clock) -> None:
    """Nobody's turn comes for it: the oldest deliveries are of one fault, and there are many."""
    for _ in range(60):
        keeping.post(alert("DatabaseDown", severity="critical"))
    keeping.post(alert("CheckoutDown", severity="critical"))
    keeping.later(timedelta(seconds=2.5))
    clock.now += DUE_AFTER + 1
    page_barely(keeping.services)
    for _ in range(2):
        page_stuck(keeping.services)
        page_late(keeping.services)
        deliver(keeping.services, page=True)
    titles = {message.document["incident"]["title"] for message in keeping.pager.got}
    assert titles == {"CheckoutDown in the shop", "DatabaseDown in the shop"}
    assert keeping.hook.got == [], "our database is there"
    keeping.settle()
    assert len(keeping.pager.got) == 2, "their incidents adopt what left"
    adopted = [
        row["details"]["adopted"]
        for row in keeping.sql("SELECT details FROM audit_event WHERE what = 'page'")
    ]
    assert adopted == [["pager"], ["pager"]]


def test_what_was_triaged_meanwhile_is_not_late(keeping: House, clock: Clock) -> None:
    keeping.post(alert("DatabaseDown", severity="critical"))
    keeping.settle()
    keeping.post(alert("DatabaseDown", severity="critical", status="resolved"))
    keeping.settle()
    before = keeping.pager.happenings()
    clock.now += DUE_AFTER + 1
    page_late(keeping.services)
    keeping.settle()
    assert keeping.pager.happenings() == before == ["opened", "resolved"]


# A receiver that wants to be left alone


BUSY = Undelivered("answered 429", permanent=False, retry_after=7.0)


def look_for(house: House, clock: Clock, seconds: float) -> int:
    """Looks every quarter of a second; how many attempts came out of them."""
    before = house.hook.tried
    for _ in range(int(seconds * 4)):
        page_barely(house.services)
        clock.now += 0.25
    return house.hook.tried - before


def test_a_receiver_that_asks_for_a_pause_has_it_in_a_storm(keeping: House, clock: Clock) -> None:
    """At most what was under way together, then one message to see whether it is well again."""
    keeping.hook.fails = BUSY
    with away(keeping):
        lose(keeping, *(page_of(keeping, f"Odd{n}", Severity.P1) for n in range(200)))
        lose(keeping, page_of(keeping))
        assert look_for(keeping, clock, 7) <= AT_ONCE + 1
        assert look_for(keeping, clock, 21) == 3
        keeping.hook.fails = None
        clock.now += 7
        page_barely(keeping.services)
        assert [message.document["incident"]["title"] for message in keeping.hook.got] == [
            "Odd in the shop"
        ]
        look_for(keeping, clock, 10)
    singles = keeping.hook.happenings().count("opened")
    summaries = [
        each.document["summary"] for each in keeping.hook.got if each.happening == Happening.SUMMARY
    ]
    assert singles + sum(each["messages"] for each in summaries) == 201
    assert singles == A_MINUTE


def test_one_that_does_not_say_how_long_is_left_alone_for_longer_each_time(
    keeping: House, clock: Clock
) -> None:
    keeping.hook.fails = FLAKY
    with away(keeping):
        lose(keeping, page_of(keeping))
        assert look_for(keeping, clock, 0.5) == 1
        assert look_for(keeping, clock, 15) == 4, "after 0.5, 1.5, 3.5 and 7.5 s"


def test_no_receiver_keeps_a_page_for_longer_than_half_a_minute(
    keeping: House, clock: Clock
) -> None:
    keeping.hook.fails = Undelivered("answered 429", permanent=False, retry_after=86_400.0)
    with away(keeping):
        lose(keeping, page_of(keeping))
        look_for(keeping, clock, LONGEST_PAGE_WAIT)
        keeping.hook.fails = None
        look_for(keeping, clock, 0.5)
    assert keeping.hook.happenings() == ["opened"]


def test_who_wants_a_pause_makes_nobody_else_wait(keeping: House, clock: Clock) -> None:
    keeping.with_settings(last_resort=("pager", "hook"))
    keeping.hook.fails = BUSY
    with away(keeping):
        lose(keeping, page_of(keeping))
        page_barely(keeping.services)
        clock.now += 0.25
        lose(keeping, page_of(keeping, "Second"))
        page_barely(keeping.services)
    assert keeping.pager.happenings() == ["opened", "opened"]


def test_a_page_that_is_refused_for_good_stands_in_no_other_one_s_way(
    keeping: House, clock: Clock
) -> None:
    keeping.hook.fails = Undelivered("answered 400", permanent=True)
    with away(keeping):
        lose(keeping, page_of(keeping))
        page_barely(keeping.services)
        keeping.hook.fails = None
        lose(keeping, page_of(keeping, "Second", Severity.P1))
        clock.now += 0.5
        page_barely(keeping.services)
        assert [message.document["incident"]["severity"] for message in keeping.hook.got] == ["P1"]
        page_barely(keeping.services)
    assert keeping.hook.happenings() == ["opened", "opened"]


# Our database came back without what it had taken


def test_what_a_failover_lost_is_paged_and_its_repetition_joins(
    keeping: House, clock: Clock
) -> None:
    """The new server knows nothing of it; the process that accepted it does."""
    keeping.post(alert("Odd", severity="critical"))
    keeping.sql("DELETE FROM delivery")
    keeping.sql("DELETE FROM responder_jobs.procrastinate_jobs")
    clock.now += DUE_AFTER
    page_barely(keeping.services)
    clock.now += 1
    page_late(keeping.services)
    deliver(keeping.services, page=True)
    (message,) = keeping.pager.got
    assert message.document["incident"]["title"] == "Odd in the shop"
    page_barely(keeping.services)
    assert keeping.services.keep.due() == [], "it is told"
    keeping.post(alert("Odd", severity="critical"))
    keeping.settle()
    assert (keeping.pager.happenings(), keeping.hook.got) == (["opened"], [])
    (adopted,) = keeping.sql("SELECT details FROM audit_event WHERE what = 'page'")
    assert adopted["details"]["adopted"] == ["pager"]
    assert keeping.gap() == (0, 0)
