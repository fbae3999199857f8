"""A failover lost the newest seals, and an admin states it: that much is no alarm, and no more."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from responder.domain.actor import RESPONDER
from responder.domain.seal import Seal, seal_from_json
from responder.pipeline.audit.forks import NoFork, state_fork
from responder.pipeline.audit.keys import SigningKeys
from tests.audit.conftest import ANN, Scene, make_settings, scene_of, seal_now
from tests.house import House


@pytest.fixture
def lost(make_house: Callable[..., House], tmp_path: Path) -> House:
    """Three seals, the first on this server; the copy has a second and a third one of another."""
    house = make_house([], seal=make_settings(tmp_path))
    record(house, "one")
    scene = scene_of(house)
    first = seals_of(scene)[0]
    elsewhere = replace(first, timeline=first.timeline + 7, previous=first.digest)
    with scene.copy.open("a") as copy:
        for number in (2, 3):
            copy.write(
                json.dumps(signed(scene, replace(elsewhere, number=number)).to_json()) + "\n"
            )
    record(house, "two")
    return house


def record(house: House, subject: str) -> None:
    with house.services.store.transaction() as tx:
        tx.record("test", RESPONDER, subject)
    seal_now(house)


def signed(scene: Scene, seal: Seal) -> Seal:
    keys = SigningKeys(scene.settings.key)
    return replace(seal, signature=keys.sign(replace(seal, kid=keys.kid).text), kid=keys.kid)


def seals_of(scene: Scene) -> list[Seal]:
    return [seal_from_json(json.loads(line)) for line in scene.copy.read_text().splitlines()]


def fork(house: House) -> list[Seal]:
    scene = scene_of(house)
    with house.services.store.transaction() as tx:
        keys = SigningKeys(scene.settings.key)
        return state_fork(tx, keys, [scene.copy], ANN, "the primary was lost")


def test_it_is_an_alarm_until_it_is_stated(lost: House) -> None:
    scene = scene_of(lost)
    before = scene.verify()
    assert [trouble.subject for trouble in before.troubles] == ["seal 2", "seal 3"]
    assert [seal.number for seal in fork(lost)] == [2, 3]
    seal_now(lost)
    report = scene.verify()
    assert report.ok, report.troubles
    said = "2 seals of it were lost in a failover, said ann"
    assert any(said in note and "the primary was lost" in note for note in report.notes)
    (event,) = lost.sql("SELECT actor_kind, actor, subject FROM audit_event WHERE what = 'fork'")
    assert event == {"actor_kind": "person", "actor": "ann", "subject": "seals 2 to 3"}
    with pytest.raises(NoFork, match="no seal that our database lacks"):
        fork(lost)


def test_what_is_lost_later_is_an_alarm_again(lost: House) -> None:
    fork(lost)
    seal_now(lost)
    record(lost, "three")
    scene = scene_of(lost)
    scene.superuser(
        "DELETE FROM audit_event WHERE id IN (SELECT unnest(ids) FROM seal WHERE number = 4)",
        "DELETE FROM seal WHERE number = 4",
    )
    assert [trouble.subject for trouble in scene.verify().troubles] == ["seal 4"]
    with pytest.raises(NoFork, match="seal 4 was made on the very server"):
        fork(lost)


@pytest.fixture(params=["another key", "another reason", "another seal", "no text"])
def forged(request: pytest.FixtureRequest, lost: House) -> House:
    """Who owns our database edits the statement before it is sealed."""
    fork(lost)
    edits = {
        "another key": "jsonb_set(details, '{kid}', '\"mine\"')",
        "another reason": "jsonb_set(details, '{reason}', '\"why not\"')",
        "another seal": "jsonb_set(details, '{digests,0}', to_jsonb(repeat('00', 32)))",
        "no text": "jsonb_set(details, '{digests}', '7')",
    }
    edit = edits[request.param]
    scene_of(lost).superuser(f"UPDATE audit_event SET details = {edit} WHERE what = 'fork'")
    return lost


def test_a_statement_that_we_have_not_signed_says_nothing(forged: House) -> None:
    seal_now(forged)
    subjects = [trouble.subject for trouble in scene_of(forged).verify().troubles]
    assert subjects == ["seal 2", "seal 3"]
