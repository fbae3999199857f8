"""Deliveries that wait: many at a time, the gravest first, and nobody pays for another's poison."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from responder.domain.ids import new_id
from responder.pipeline.drain import DELIVERIES, STAND_BACK, TRIES, Drain, Drains
from responder.pipeline.triage import triage
from tests.house import House, alert
from tests.small_rules import small_rule

Make = Callable[..., House]


@pytest.fixture
def house(make_house: Make) -> House:
    return make_house([])


def triaged(house: House) -> list[UUID]:
    rows = house.sql("SELECT id FROM delivery WHERE triaged_at IS NOT NULL ORDER BY received_at")
    return [row["id"] for row in rows]


def test_many_deliveries_are_triaged_in_one_transaction(house: House) -> None:
    for number in range(20):
        house.post(alert("A", instance=str(number % 3)), alert("B", instance=str(number)))
    assert Drain(house.services).once() == 20
    assert Counter(house.outcomes()) == {"opened": 23, "joined": 17}
    assert len(house.sql("SELECT DISTINCT xmin FROM alert")) == 1
    assert house.gap() == (0, 0)


def test_the_gravest_go_first_and_do_not_wait_for_others(house: House) -> None:
    mild = house.post(alert("Mild", severity="info")).delivery
    middling = house.post(alert("Middling", severity="warning")).delivery
    grave = house.post(alert("Grave", severity="critical")).delivery
    strange = house.post(alert("Strange", severity="nobody knows this")).delivery
    drain = Drain(house.services)
    assert drain.once() == 2
    assert triaged(house) == [grave, strange]
    assert drain.once() == 2
    assert set(triaged(house)) == {mild, middling, grave, strange}
    assert drain.once() == 0


def test_one_drain_takes_what_is_urgent_alone(house: House) -> None:
    house.post(alert("Mild", severity="info"))
    drain = Drain(house.services, urgent=True)
    assert drain.once() == 0
    grave = house.post(alert("Grave", severity="critical")).delivery
    assert drain.once() == 1
    assert triaged(house) == [grave]


def test_what_wakes_nobody_stands_back_for_a_moment(house: House) -> None:
    """P0 come, whose diagnosis needs the processor; then the others go on by themselves."""
    for number in range(DELIVERIES + 1):
        house.post(alert("Mild", severity="info", instance=str(number)))
    drains, came = Drains(house.services, slots=4), [monotonic()] * 2
    drains._wake(urgent=True)
    drains.start()
    while len(triaged(house)) < DELIVERIES:
        came.append(monotonic())
        drains._wake(urgent=True)
    while len(triaged(house)) <= DELIVERIES:
        sleep(0.01)
    seen = monotonic()
    drains.stop()
    # the last of them may have come when the drain had looked already
    assert seen - came[-2] >= STAND_BACK


def test_what_somebody_else_has_in_hand_is_passed_by(house: House) -> None:
    theirs = house.post(alert("A")).delivery
    ours = house.post(alert("B")).delivery
    with psycopg.connect(house.services.store.url) as other:
        other.execute("SELECT FROM responder.delivery WHERE id = %s FOR UPDATE", (theirs,))
        assert Drain(house.services).once() == 1
        assert triaged(house) == [ours]


def test_several_drains_at_once_neither_double_nor_lose(house: House) -> None:
    for number in range(120):
        house.post(*(alert(f"A{(number + n) % 7}", instance="same") for n in range(5)))
    with ThreadPoolExecutor(3) as pool:
        drains = [Drain(house.services) for _ in range(3)]
        taken = list(pool.map(lambda drain: sum(iter(drain.once, 0)), drains))
    assert sum(taken) >= 120, "one that was overtaken begins again"
    assert Counter(house.outcomes()) == {"opened": 7, "joined": 593}
    assert len(house.incidents()) == 7
    assert house.gap() == (0, 0)


def poison(house: House) -> UUID:
    """A delivery that our database refuses whenever it is triaged."""
    house.sql("ALTER TABLE incident ADD CHECK (title NOT LIKE 'Poison%%') NOT VALID")
    return house.post(alert("Poison")).delivery


def test_poison_is_quarantined_and_costs_nobody_else_anything(house: House) -> None:
    before = [house.post(alert(f"Before{number}")).delivery for number in range(3)]
    poisoned = poison(house)
    after = [house.post(alert(f"After{number}")).delivery for number in range(3)]
    house.run_triage()
    rows = {row["id"]: row for row in house.sql("SELECT id, outcome, note, failures FROM delivery")}
    assert rows.pop(poisoned) == {
        "id": poisoned,
        "outcome": "quarantined",
        "note": "triage failed three times",
        "failures": TRIES,
    }
    assert {row["outcome"] for row in rows.values()} == {"accepted"}
    assert set(rows) == {*before, *after}
    assert Counter(house.outcomes()) == {"opened": 6, "quarantined": 1}
    assert ("delivery", "quarantined") in house.trail()
    assert house.gap() == (0, 0)
    assert house.sql("SELECT * FROM in_hand WHERE deliveries @> ARRAY[%s]", poisoned) == []


def died_with(house: House, *deliveries: UUID) -> None:
    """What a worker leaves that dies in the middle: its locks are gone, its hand stays."""
    with house.services.store.transaction() as tx:
        tx.run("take_in_hand", drain=new_id(), deliveries=deliveries)


def test_only_who_has_the_lock_has_it_in_hand(house: House) -> None:
    """Else many who look at one delivery at once would be taken for as many that died of it."""
    delivery = house.post(alert("Grave", severity="critical")).delivery
    with psycopg.connect(house.services.store.url) as other:
        other.execute("SELECT FROM responder.delivery WHERE id = %s FOR UPDATE", (delivery,))
        assert not triage(house.services, delivery, hurry=True, hand=new_id())
    assert house.sql("SELECT FROM in_hand") == []
    assert triage(house.services, delivery, hurry=True, hand=new_id())
    assert house.sql("SELECT FROM in_hand") == []
    assert house.outcomes() == ["opened"]


def test_what_a_worker_died_with_is_triaged_alone(house: House) -> None:
    deliveries = [house.post(alert(f"A{number}")).delivery for number in range(4)]
    died_with(house, *deliveries[:2])
    drain = Drain(house.services)
    assert [drain.once() for _ in range(4)] == [1, 1, 2, 0]
    assert house.outcomes() == ["opened"] * 4
    assert house.gap() == (0, 0)


def test_what_kills_its_workers_is_quarantined(house: House) -> None:
    killer = house.post(alert("Killer")).delivery
    harmless = house.post(alert("Harmless")).delivery
    died_with(house, killer, harmless)
    for _ in range(TRIES - 1):
        died_with(house, killer)
    house.run_triage()
    rows = house.sql("SELECT id, outcome FROM delivery")
    assert {row["id"]: row["outcome"] for row in rows} == {
        killer: "quarantined",
        harmless: "accepted",
    }
    assert ("delivery", "quarantined") in house.trail()
    assert house.gap() == (0, 0)


def test_a_lock_that_is_not_given_fails_nobody(house: House, make_house: Make) -> None:
    """Somebody stuck holds an incident; its alert waits, the others do not, and none is blamed."""
    house.post(alert("Stuck"))
    house.run_jobs()
    (incident,) = house.incidents()
    held = house.post(alert("Stuck")).delivery
    free = [house.post(alert(f"Free{number}")).delivery for number in range(3)]
    drain = Drain(house.services)
    with psycopg.connect(house.services.store.url) as other:
        other.execute("SELECT FROM responder.incident WHERE id = %s FOR UPDATE", (incident.id,))
        while drain.once():
            pass
        rows = house.sql("SELECT id, failures FROM delivery WHERE triaged_at IS NULL")
        assert rows == [{"id": held, "failures": 0}]
        assert set(free) < set(triaged(house))
    assert Drain(house.services).once() == 1
    assert house.outcomes().count("joined") == 1
    assert house.gap() == (0, 0)


def test_a_job_of_the_release_before_is_done(house: House) -> None:
    """Its web processes enqueue one for each delivery, and do not say how grave it is."""
    for number in range(3):
        house.post(alert(f"Mild{number}", severity="info"))
    grave = house.post(alert("Grave", severity="critical")).delivery
    house.sql("UPDATE delivery SET priority = DEFAULT")
    assert triage(house.services, grave)
    assert triaged(house) == [grave]


def test_many_drains_take_turns_at_a_large_delivery(house: House) -> None:
    """Whoever has done his part of it has not failed on it, whatever he does next."""
    delivery = house.post(*(alert(f"A{number}") for number in range(650))).delivery
    drains = [Drain(house.services) for _ in range(7)]
    assert [drain.once() for drain in drains] == [1] * 7
    assert Counter(house.outcomes()) == {"opened": 650}
    assert triaged(house) == [delivery]
    assert house.sql("SELECT outcome, failures FROM delivery") == [
        {"outcome": "accepted", "failures": 0}
    ]
    assert house.sql("SELECT FROM in_hand") == []


def test_what_begins_and_ends_in_one_turn_is_over(make_house: Make, tmp_path: Path) -> None:
    """Also where the end's labels lead to another key, which comes before the beginning's."""
    house = make_house([small_rule(tmp_path / "runbook", name) for name in ("Thing", "Another")])
    for name, status in (("Thing", "firing"), ("Another", "resolved")):
        house.post({**alert(name, status), "fingerprint": "of one thing"})
    assert Drain(house.services).once() == 2
    assert house.outcomes() == ["opened", "cleared"]
    ((incident,),) = [house.incidents()]
    assert (incident.status, incident.resolved_by) == ("resolved", "sender")
    assert ("status", "resolved") in house.trail()


#: Who fires or not, in which minute it began or ended, how grave, and whether a delivery ends here.
STORY = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.booleans(), st.integers(0, 3), st.booleans(), st.booleans()
    ),
    min_size=1,
    max_size=10,
)
#: Of one turn: what wakes people goes before what says that it is over.
WORDS = ("info", "warning")


def test_together_or_one_by_one_is_the_same(house: House) -> None:
    """Outcomes, conditions and incidents, whatever came in whatever order.

    Walks may differ: what ends and begins again in one turn was never over, so none is begun anew.
    """

    @given(story=STORY)
    @settings(max_examples=25, deadline=None)
    def holds(story: list[tuple[str, bool, int, bool, bool]]) -> None:
        assert _after(house, story, together=True) == _after(house, story, together=False)

    holds()


def _after(house: House, story: Any, together: bool) -> list[Any]:
    """What is left of a story; its alerts are of nobody else."""
    prefix = str(new_id())
    deliveries: list[list[dict[str, Any]]] = [[]]
    for who, fires, minute, graver, ends in story:
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
        told = alert(prefix + who, "firing" if fires else "resolved", at, severity=WORDS[graver])
        if not fires:
            told["endsAt"] = told["startsAt"]
        deliveries[-1].append(told)
        if ends:
            deliveries.append([])
    taken = [house.post(*alerts).delivery for alerts in deliveries if alerts]
    if together:
        house.run_triage()
    else:
        for delivery in taken:
            triage(house.services, delivery)
    return _left(house, prefix)


def _left(house: House, prefix: str) -> list[Any]:
    alerts = house.sql(
        "SELECT right(name, 1) AS name, a.status, outcome, note, i.severity FROM alert a"
        " LEFT JOIN incident i ON i.id = a.incident_id WHERE starts_with(name, %s) ORDER BY a.id",
        prefix,
    )
    incidents = house.sql(
        "SELECT right(labels ->> 'alertname', 1) AS name, status, severity,"
        " declared_severity, severity_unreadable FROM incident"
        " WHERE starts_with(labels ->> 'alertname', %s) ORDER BY name, declared_severity",
        prefix,
    )
    conditions = house.sql(
        "SELECT firing, fired_at, ended_at FROM condition"
        " WHERE position(%s in latest::text) > 0"
        " ORDER BY (latest ->> 'notice')::jsonb #>> '{labels,alertname}',"
        " (latest ->> 'notice')::jsonb #>> '{labels,severity}'",
        prefix,
    )
    return [alerts, incidents, conditions]
