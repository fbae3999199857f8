"""What people write about an incident: kept, told, in the trail without its words."""

import hashlib
import json
from collections.abc import Callable

from responder.domain.actor import Actor, ActorKind
from responder.domain.ids import new_id
from responder.pipeline.people import note
from tests.house import House, alert

ANN = Actor(ActorKind.PERSON, "ann")
TEXT = "Called kim: the token has expired. <b>Not</b> ours."


def test_a_note_is_in_the_document_and_receivers_hear_of_it(start: Callable[..., House]) -> None:
    house = start(promoted=False)
    house.post(alert("Thing"))
    house.settle()
    before, told = house.document(), len(house.hook.got)
    assert note(house.services, house.incident().id, ANN, TEXT)
    assert note(house.services, house.incident().id, ANN, "Solved.")
    house.send()
    document = house.document()
    assert [(each["actor"], each["text"]) for each in document["notes"]] == [
        ("ann", TEXT),
        ("ann", "Solved."),
    ]
    assert before["notes"] == []
    assert document["updates"] == before["updates"] + 2
    heard = house.hook.got[told:]
    assert {message.happening for message in heard} == {"updated"}
    assert heard[-1].document["notes"] == document["notes"]


def test_the_trail_proves_a_note_without_its_words(start: Callable[..., House]) -> None:
    """What is never deleted holds no personal data."""
    house = start(promoted=False)
    house.post(alert("Thing"))
    house.settle()
    note(house.services, house.incident().id, ANN, TEXT)
    (event,) = house.sql("SELECT * FROM audit_event WHERE what = 'note'")
    (written,) = house.sql("SELECT id FROM note")
    assert (event["actor_kind"], event["actor"], event["after"]) == ("person", "ann", "written")
    assert event["details"] == {
        "note": str(written["id"]),
        "sha256": hashlib.sha256(TEXT.encode()).hexdigest(),
    }
    assert "kim" not in json.dumps(event["details"])


def test_a_note_about_nothing(start: Callable[..., House]) -> None:
    house = start()
    assert not note(house.services, new_id(), ANN, TEXT)
    assert house.sql("SELECT id FROM note") == []
