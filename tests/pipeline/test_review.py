"""An engineer's verdict: which incidents wait for one, and what it does."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.decision import Autonomy
from responder.domain.ids import uuid7
from responder.domain.incident import Stage
from responder.domain.review import ReviewSettings, Verdict
from responder.pipeline import STAGES
from responder.pipeline.digest import next_digest
from responder.pipeline.people import close
from responder.pipeline.promotion import Harmful, agreement, promote
from responder.pipeline.review import judge, reviews_waiting
from responder.store.incidents import incident_from_row
from tests.house import House, alert
from tests.undoing import ANN, undo_of, undoable
from tests.walks import fixes, reasons

BEA = Actor(ActorKind.PERSON, "bea")
Start = Callable[..., House]


def fixed(house: House, status: str = "resolved") -> House:
    """It broke, was fixed by itself, and is over."""
    house.shop.run("UPDATE thing SET state = 'bad' WHERE id = 1")
    house.post(alert("Thing"))
    house.settle()
    assert fixes(house)[-1]["status"] == "committed"
    house.post(alert("Thing", status))
    house.settle()
    return house


def review(house: House) -> dict[str, Any] | None:
    return dict(told) if (told := house.document()["review"]) else None


def waiting(house: House) -> tuple[int, int]:
    with house.services.store.transaction() as tx:
        return reviews_waiting(tx)


def events(house: House, what: str = "review") -> list[dict[str, Any]]:
    return house.sql("SELECT * FROM audit_event WHERE what = %s ORDER BY id", what)


def the_rule(house: House) -> Any:
    return house.services.catalogue.rules["thing"]


def test_what_was_fixed_waits_from_its_end_on(start: Start) -> None:
    house = fixed(start(), status="firing")
    assert (review(house), waiting(house)) == (None, (0, 0)), "it is not over"
    house.post(alert("Thing", "resolved"))
    house.settle()
    told = review(house)
    assert told is not None
    assert (told["waiting"], told["picked"], told["verdict"]) == (True, "fixed", None)
    assert events(house, "stage")[-1]["details"] == {"review": "fixed"}
    assert waiting(house) == (1, 0)
    messages = len(house.hook.got) + len(house.pager.got)
    house.later(timedelta(hours=73))
    house.settle()
    assert waiting(house) == (1, 1)
    assert len(house.hook.got) + len(house.pager.got) == messages, "nobody is written to for it"
    with house.services.store.transaction() as tx:
        parts = {part["name"]: part for part in next_digest(house.services, tx)["parts"]}
    assert parts["reviews"]["count"] == 1
    (item,) = parts["reviews"]["items"]
    assert (item["overdue"], item["picked"]) == (True, "fixed")


def test_what_fires_again_waits_for_nothing_until_it_is_over(start: Start) -> None:
    house = fixed(start())
    house.post(alert("Thing", starts_at=datetime.now(UTC)))
    house.settle()
    assert (house.incident().status, waiting(house)) == ("open", (0, 0))
    house.later(timedelta(minutes=5))
    house.post(alert("Thing", "resolved"))
    house.settle()
    assert (house.incident().status, waiting(house)) == ("resolved", (1, 0))


@pytest.mark.parametrize(
    ("change", "waits"),
    [
        ("UPDATE fix SET dry_run = true", False),
        ("UPDATE fix SET status = 'rolled_back'", False),
        ("UPDATE fix SET status = 'refused'", False),
        ("UPDATE fix SET status = 'unknown'", True),
        ("UPDATE fix SET status = 'undone'", True),
        ("UPDATE fix SET actor_kind = 'person', actor = 'ann'", True),
    ],
)
def test_what_counts_as_fixed(start: Start, change: str, waits: bool) -> None:
    house = fixed(start(), status="firing")
    house.later(timedelta(minutes=5))
    house.settle()
    house.sql(change)
    assert close(house.services, house.incident().id, ANN)
    house.settle()
    assert waiting(house) == (int(waits), 0)


def test_one_in_so_many_of_the_rest_waits_too(start: Start) -> None:
    """By its id alone: each host, and each test, says the same."""
    ids = [uuid7(number, number * 7919) for number in range(2000)]
    assert 80 < sum(map(ReviewSettings(20).samples, ids)) < 120
    assert not any(map(ReviewSettings(0).samples, ids))
    assert all(map(ReviewSettings(1).samples, ids))
    house = start()
    house.with_settings(review=ReviewSettings(sample=1))
    house.post(alert("Nobody"))
    house.settle()
    house.post(alert("Nobody", "resolved"))
    house.settle()
    told = review(house)
    assert told is not None and told["picked"] == "sample"


def test_a_verdict_is_kept_and_may_be_changed(start: Start) -> None:
    house = fixed(start())
    incident = house.incident()
    assert judge(house.services, incident.id, ANN, Verdict.WRONG, "it was the other queue")
    told = review(house)
    assert told is not None
    assert (told["waiting"], told["verdict"], told["actor"]) == (False, "wrong", "ann")
    assert (told["note"], told["own"], told["took_back"]) == (
        "it was the other queue",
        False,
        False,
    )
    assert waiting(house) == (0, 0)
    assert house.incident().updates == incident.updates + 1
    assert judge(house.services, incident.id, BEA, Verdict.USEFUL)
    first, second = events(house)
    assert (first["before"], first["after"], second["before"]) == (None, "wrong", "wrong")
    assert first["details"]["sha256"] == sha256(b"it was the other queue").hexdigest()
    assert "the other queue" not in str(events(house)), "what somebody wrote is not in the trail"
    assert not judge(house.services, UUID(int=0), ANN, Verdict.USEFUL)


def test_harm_takes_the_promotion_back_at_once(start: Start) -> None:
    house = fixed(start())
    assert judge(house.services, house.incident().id, ANN, Verdict.HARMFUL, "twice the stock")
    told = review(house)
    assert told is not None and told["took_back"]
    (event,) = events(house, "promotion")
    assert (event["before"], event["after"], event["actor"]) == ("act", "propose", "ann")
    assert event["details"]["checksum"] == the_rule(house).checksum
    house.later(timedelta(hours=1))
    house.shop.run("UPDATE thing SET state = 'bad' WHERE id = 1")
    house.post(alert("Thing"))
    house.settle()
    assert reasons(house) == ["allowed", "autonomy"]
    with pytest.raises(Harmful, match="--despite"):
        promote(house.services, the_rule(house), Autonomy.ACT, ANN)
    promote(house.services, the_rule(house), Autonomy.ACT, ANN, despite="the stock was mended")
    assert events(house, "promotion")[-1]["details"]["despite"] == "the stock was mended"
    with house.services.store.transaction() as tx:
        report = agreement(tx, the_rule(house))
    counts = {each: report["this_version"][each] for each in Verdict}
    assert counts == {"useful": 0, "wrong": 0, "harmful": 1}
    assert [each["note"] for each in report["against"]] == ["twice the stock"]


def test_it_holds_for_a_fix_that_is_decided_and_not_past_its_gate(start: Start) -> None:
    house = fixed(start())
    judged = house.incident().id
    house.later(timedelta(hours=1))
    house.sql("UPDATE incident SET key = 'another'")  # so there is no cool-down
    house.shop.run("UPDATE thing SET state = 'bad' WHERE id = 1")
    house.post(alert("Thing"))
    house.run_triage()
    with house.services.store.transaction() as tx:
        walking = incident_from_row(tx.one("take_walk", id=house.incidents()[-1].id))
    while walking.stage != Stage.FIX:
        walking = STAGES[walking.stage](walking, house.services)
    assert judge(house.services, judged, ANN, Verdict.HARMFUL)
    house.run_walks()
    assert [fix["status"] for fix in fixes(house)] == ["committed", "refused"]
    assert reasons(house)[1:] == ["allowed", "autonomy"]


def test_a_person_chose_the_fix_themselves(start: Start) -> None:
    """Then nothing automatic was at fault; who ran it may judge it, and that is shown."""
    house = fixed(start())
    house.sql("UPDATE fix SET actor_kind = 'person', actor = 'ann'")
    assert judge(house.services, house.incident().id, ANN, Verdict.HARMFUL)
    told = review(house)
    assert told is not None and (told["own"], told["took_back"]) == (True, False)
    assert events(house, "promotion") == []


def test_an_undo_is_the_consequence_of_a_verdict(start: Start) -> None:
    """Only what is fixed after a verdict asks for another one, and the first stands until then."""
    house = fixed(start(**undoable()))
    assert judge(house.services, house.incident().id, ANN, Verdict.HARMFUL)
    house.later(timedelta(seconds=1))
    undo_of(house)
    house.settle()
    assert fixes(house)[0]["status"] == "undone"
    assert (waiting(house), house.document()["review"]["verdict"]) == ((0, 0), "harmful")
