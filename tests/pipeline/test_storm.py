"""Storms toward people: the gravest one by one, the rest counted, and never too much at once."""

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from threading import Barrier
from typing import Any

import pytest

from responder.domain.notification import Happening, Message
from responder.domain.settings import Receiver, Route
from responder.pipeline.deliver import deliver
from responder.pipeline.storm import NAMED, reserve
from responder.pipeline.triage import triage
from tests.house import House, Recorder, alert

MINUTE = timedelta(minutes=1)
WORDS = ("critical", "error", "warning", "info")
#: In the suite; 10,000 give the same picture and take longer.
MANY = 2_000
BATCH = 500


@dataclass
class Timed(Recorder):
    """A receiver that keeps when it got what."""

    at: list[datetime] = field(default_factory=list)

    def deliver(self, message: Message, now: datetime, timeout: float) -> None:
        super().deliver(message, now, timeout)
        self.at.append(now)

    def most_in_a_minute(self) -> int:
        times = sorted(self.at)
        return max(
            (sum(start <= at < start + MINUTE for at in times) for start in times), default=0
        )

    def summaries(self) -> list[dict[str, Any]]:
        return [
            dict(message.document["summary"])
            for message in self.got
            if message.happening == Happening.SUMMARY
        ]

    def singles(self) -> list[Message]:
        return [message for message in self.got if message.happening != Happening.SUMMARY]


@pytest.fixture
def stormy(house: House) -> House:
    """A pager that takes 100 in a minute and a hook that takes 20."""
    house.pager, house.hook = Timed(), Timed()
    house.services.receivers["pager"] = house.pager  # type: ignore[index]
    house.services.receivers["hook"] = house.hook  # type: ignore[index]
    receivers = {
        "pager": Receiver("pager", "pagerduty", per_minute=100),
        "hook": Receiver("hook", "webhook", per_minute=20),
    }
    house.with_settings(
        receivers=receivers, routes=(Route(("pager",), page=True), Route(("hook",)))
    )
    return house


def batched(alerts: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    left = iter(alerts)
    while some := list(islice(left, BATCH)):
        yield some


def pour(house: House, alerts: Iterable[dict[str, Any]]) -> None:
    """Deliveries of many alerts each, triaged; nobody walks."""
    for some in batched(alerts):
        triage(house.services, house.post(*some).delivery)
    house.sql("DELETE FROM procrastinate_jobs")


def let_pass(house: House, minutes: int) -> None:
    """The watches of some minutes, each second."""
    for _ in range(minutes * 60):
        while deliver(house.services, page=True) + deliver(house.services, page=False):
            pass
        house.later(timedelta(seconds=1))


def waiting(house: House) -> list[dict[str, Any]]:
    return house.sql(
        "SELECT status, count(*) FROM notification"
        " WHERE status NOT IN ('sent', 'superseded') GROUP BY status"
    )


def one_fault(count: int) -> Iterator[dict[str, Any]]:
    for _ in range(count):
        yield alert("ShopifyQueueStuck", severity="critical")


def faults(count: int) -> Iterator[dict[str, Any]]:
    """All different, of all severities in turn, the gravest last in each batch."""
    for number in range(count):
        yield alert(f"Odd{number}", severity=WORDS[3 - number % 4], instance=str(number))


def test_many_notices_of_one_fault_are_one_incident_and_few_messages(stormy: House) -> None:
    house = stormy
    for some in batched(one_fault(MANY)):
        house.post(*some)
        house.settle()
    let_pass(house, 2)
    house.settle()
    assert len(house.incidents()) == 1
    assert house.pager.happenings() == ["opened"]
    assert len(house.hook.got) <= 3
    assert Counter(house.outcomes()) == {"opened": 1, "joined": MANY - 1}
    assert house.gap() == (0, 0)


def test_many_faults_at_once(stormy: House) -> None:
    """P0 first, never too many, and the counts add up to what was not told one by one."""
    house = stormy
    pour(house, faults(MANY))
    house.later(timedelta(seconds=1))
    let_pass(house, 6)
    assert waiting(house) == []
    assert house.gap()[0] == 0
    for receiver, expected, per_minute in (
        (house.pager, MANY // 2, 100),
        (house.hook, MANY, 20),
    ):
        assert isinstance(receiver, Timed)
        assert receiver.most_in_a_minute() <= per_minute
        told = [message.document["incident"] for message in receiver.singles()]
        summaries = receiver.summaries()
        assert len({incident["id"] for incident in told}) == len(told), "no incident twice"
        assert len(told) + sum(each["messages"] for each in summaries) == expected
        assert len(told) + sum(each["incidents"] for each in summaries) == expected
        severities = [incident["severity"] for incident in told]
        assert severities == sorted(severities)
        counted = Counter(severities)
        for each in summaries:
            counted.update(each["by_severity"])
        words = ("P0", "P1") if receiver is house.pager else ("P0", "P1", "P2", "P3")
        assert counted == dict.fromkeys(words, MANY // 4)


def test_the_first_minute_tells_the_gravest_one_by_one(stormy: House) -> None:
    house = stormy
    pour(house, faults(400))
    house.later(timedelta(seconds=1))
    while deliver(house.services, page=True) + deliver(house.services, page=False):
        pass
    assert isinstance(house.pager, Timed)
    assert isinstance(house.hook, Timed)
    assert [each.document["incident"]["severity"] for each in house.pager.singles()] == ["P0"] * 75
    assert [each.document["incident"]["severity"] for each in house.hook.singles()] == ["P0"] * 15
    (summary,) = house.pager.summaries()
    assert summary["messages"] == 125
    assert summary["by_severity"] == {"P0": 25, "P1": 100}
    assert summary["by_happening"] == {"opened": 125}
    (message,) = (each for each in house.pager.got if each.happening == Happening.SUMMARY)
    named = message.document["incidents"]
    assert len(named) == NAMED
    assert {each["severity"] for each in named} == {"P0"}
    superseded = house.sql(
        "SELECT count(*) FROM notification WHERE status = 'superseded' AND summary_id = %s",
        message.id,
    )
    assert superseded == [{"count": 125}]
    (event,) = house.sql(
        "SELECT details FROM audit_event WHERE subject = %s AND after = 'due'",
        f"notification {message.id}",
    )
    assert event["details"]["replaces"] == 125


def test_summaries_of_a_long_storm_are_spread_over_the_minute(stormy: House) -> None:
    """Each quarter of a minute some come; a person is told soon, and not too often."""
    house = stormy
    for number in range(24):
        pour(house, faults_of(number, 40))
        let_pass_seconds(house, 10)
    let_pass(house, 2)
    assert isinstance(house.hook, Timed)
    assert house.hook.most_in_a_minute() <= 20
    assert waiting(house) == []
    told = len(house.hook.singles()) + sum(each["messages"] for each in house.hook.summaries())
    assert told == 24 * 40
    times = [
        at
        for message, at in zip(house.hook.got, house.hook.at, strict=True)
        if message.happening == Happening.SUMMARY
    ]
    spacing = MINUTE / reserve(20)
    assert all(later - earlier >= spacing for earlier, later in pairwise(times))


def faults_of(round: int, count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield alert(f"Odd{round}-{number}", severity="info", instance=f"{round}-{number}")


def let_pass_seconds(house: House, seconds: int) -> None:
    for _ in range(seconds):
        while deliver(house.services, page=False):
            pass
        house.later(timedelta(seconds=1))


@pytest.mark.parametrize("count", [1, 14, 15, 20])
def test_what_the_rate_allows_is_told_one_by_one(count: int, stormy: House) -> None:
    house = stormy
    pour(house, (alert(f"Odd{number}", severity="info") for number in range(count)))
    let_pass_seconds(house, 1)
    let_pass(house, 2)
    assert isinstance(house.hook, Timed)
    assert len(house.hook.singles()) == min(count, 15)
    assert sum(each["messages"] for each in house.hook.summaries()) == max(0, count - 15)


def test_many_processes_at_once_tell_everything_once(stormy: House) -> None:
    """Counts are true, and nothing is told by two; what one had in hand may wait for a summary."""
    house = stormy
    pour(house, (alert(f"Odd{number}", severity="info") for number in range(200)))
    together = Barrier(6)

    def watch() -> None:
        together.wait()
        deliver(house.services, page=False)

    with ThreadPoolExecutor(6) as watches:
        for done in [watches.submit(watch) for _ in range(6)]:
            done.result()
    let_pass(house, 2)
    assert waiting(house) == []
    assert isinstance(house.hook, Timed)
    assert len(house.hook.singles()) + sum(s["messages"] for s in house.hook.summaries()) == 200
    assert len({message.id for message in house.hook.got}) == len(house.hook.got)
    assert house.hook.most_in_a_minute() <= 20


def test_the_end_of_what_a_summary_told_is_told_too(stormy: House) -> None:
    """Who was woken by a summary hears which of its incidents are over."""
    house = stormy
    pour(house, faults(400))
    house.later(timedelta(seconds=1))
    let_pass(house, 2)
    house.post(*map(ended, faults(400)))
    house.run_triage()
    let_pass(house, 6)
    assert {incident.status for incident in house.incidents()} == {"resolved"}
    assert waiting(house) == []
    assert isinstance(house.hook, Timed)
    ends = [each for each in house.hook.singles() if each.happening == Happening.RESOLVED]
    counted = sum(each["by_happening"].get("resolved", 0) for each in house.hook.summaries())
    assert len(ends) + counted == 400


def test_who_was_woken_one_by_one_hears_each_end(stormy: House) -> None:
    """Else a pager goes on waking people for what is over; a rate only makes it take longer."""
    house = stormy
    grave = [each for each in faults(280) if each["labels"]["severity"] == "critical"]
    for some in (grave[:35], grave[35:]):
        pour(house, some)
        house.later(timedelta(seconds=1))
        let_pass(house, 1)
    small_rate = replace(house.services.settings.receivers["pager"], per_minute=20)
    receivers = {**house.services.settings.receivers, "pager": small_rate}
    house.with_settings(receivers=receivers)
    house.post(*map(ended, grave))
    house.run_triage()
    let_pass(house, 1)
    pour(house, [alert("New", severity="critical")])
    house.later(timedelta(seconds=1))
    let_pass(house, 4)
    assert waiting(house) == []
    assert isinstance(house.pager, Timed)
    assert house.pager.summaries() == []
    happened = [message.happening for message in house.pager.got]
    assert Counter(happened) == {"opened": 71, "resolved": 70}
    assert house.pager.most_in_a_minute() <= 35
    new = next(n for n, m in enumerate(house.pager.got) if "New" in str(m.document["incident"]))
    assert new < len(happened) - 20, "who is to be woken comes before who may sleep"


def ended(firing: dict[str, Any]) -> dict[str, Any]:
    return {**firing, "status": "resolved", "endsAt": datetime.now(UTC).isoformat()}
