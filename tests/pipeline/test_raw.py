"""Raw bodies: encrypted, for so many days, read by people under their names, never in the way."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.secret import Secret
from responder.pipeline.accept import Overloaded, accept
from responder.pipeline.raw import encrypt_bodies, read_body
from responder.pipeline.redrive import NotRedriven, redrive_delivery
from responder.sources import Request
from responder.store.vault import Locked, Vault, new_key
from responder.worker import tidy
from tests.house import BEARER, House, alert

ANN = Actor(ActorKind.PERSON, "ann")
DAY = timedelta(days=1)


def odd(house: House) -> Request:
    """A delivery that nobody understands."""
    return Request({"authorization": f"Bearer {BEARER}"}, b'{"odd": "canary"}', datetime.now(UTC))


def rows(house: House, table: str) -> int:
    (row,) = house.sql(f"SELECT count(*) AS rows FROM {table}")
    return int(row["rows"])


def in_the_open(house: House) -> str:
    told = house.sql(
        "SELECT to_jsonb(d)::text || encode(r.encrypted, 'escape') AS all"
        " FROM delivery d JOIN raw_body r ON r.delivery_id = d.id"
    )
    return json.dumps(told)


def test_a_body_is_read_by_name_and_stands_nowhere_in_the_open(house: House) -> None:
    delivery = accept(house.services, "prometheus", odd(house)).delivery
    assert "canary" not in in_the_open(house)
    assert read_body(house.services, delivery, ANN) == b'{"odd": "canary"}'
    (event,) = house.sql("SELECT * FROM audit_event WHERE after = 'read'")
    assert (event["actor"], event["subject"]) == ("ann", f"delivery {delivery}")
    (row,) = house.sql(
        "SELECT body, body_bytes, body_sha256 = sha256(%s) AS same FROM delivery",
        b'{"odd": "canary"}',
    )
    assert row == {"body": None, "body_bytes": 17, "same": True}


@pytest.mark.parametrize("ahead", [0, 30], ids=["its day's partition", "the default one"])
def test_a_body_is_gone_after_its_days_and_its_digest_stays(house: House, ahead: int) -> None:
    house.later(ahead * DAY)
    delivery = accept(house.services, "prometheus", odd(house)).delivery
    house.later(13 * DAY)
    tidy(house.services)
    assert house.body(delivery) is not None
    house.later(DAY + timedelta(minutes=1))
    assert read_body(house.services, delivery, ANN) is None, "before it is tidied up, too"
    with pytest.raises(NotRedriven, match="its body is deleted: bodies are kept for 14 days"):
        redrive_delivery(house.services, delivery, ANN)
    house.later(DAY)
    tidy(house.services)
    assert (rows(house, "raw_body"), rows(house, "delivery")) == (0, 1)
    assert rows(house, "audit_event WHERE after = 'read'") == 0


def test_days_are_dropped_later_when_somebody_is_in_the_way(house: House) -> None:
    accept(house.services, "prometheus", odd(house))
    (row,) = house.sql("SELECT tableoid::regclass::text AS day FROM raw_body")
    house.later(16 * DAY)
    with house.services.store.transaction() as tx:
        tx.connection.execute(f"SELECT FROM {row['day']}")  # type: ignore[call-overload]
        tidy(house.services)
        assert rows(house, row["day"]) == 1
    house.later(timedelta(hours=2))
    tidy(house.services)
    assert rows(house, "raw_body") == 0


def test_what_an_earlier_release_kept_in_the_open_is_encrypted_or_deleted(house: House) -> None:
    young = accept(house.services, "prometheus", odd(house)).delivery
    old = accept(house.services, "prometheus", odd(house)).delivery
    house.sql("UPDATE delivery SET body = 'in the open', body_bytes = NULL")
    house.sql("TRUNCATE raw_body")
    earlier = "UPDATE delivery SET received_at = received_at - interval '20 days' WHERE id = %s"
    house.sql(earlier, old)
    assert house.body(young) == house.body(old) == b"in the open"
    for _ in range(3):
        encrypt_bodies(house.services)
    assert (house.body(young), house.body(old)) == (b"in the open", None)
    assert rows(house, "delivery WHERE body IS NOT NULL") == 0
    assert rows(house, "delivery WHERE body_bytes = 11") == 2
    (row,) = house.sql(
        "SELECT now() - encrypted_to < interval '2 minutes' AS at_the_end FROM housekeeping"
    )
    assert row["at_the_end"], "it is not searched from the beginning again"


@pytest.fixture
def locked(house: House, tmp_path: Path) -> House:
    """The key is nowhere, and never was."""
    house.services = replace(house.services, vault=Vault(Secret((f"file:{tmp_path}/absent",))))
    return house


def test_a_page_leaves_without_the_key(locked: House, capfd: pytest.CaptureFixture[str]) -> None:
    accepted = locked.post(alert("DatabaseDown", severity="critical"))
    locked.settle()
    assert locked.pager.happenings() == ["opened"]
    assert locked.outcomes() == ["opened"]
    assert (locked.body(accepted.delivery), rows(locked, "raw_body")) == (None, 0)
    assert "nothing can be encrypted, so a raw body is not kept" in capfd.readouterr().err


def test_what_is_not_understood_is_sent_again_without_the_key(locked: House) -> None:
    with pytest.raises(Overloaded):
        accept(locked.services, "prometheus", odd(locked))
    assert rows(locked, "delivery") == 0


def test_another_key_is_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = accept(house.services, "prometheus", odd(house)).delivery
    monkeypatch.setenv("TEST_OTHER", new_key())
    house.services = replace(house.services, vault=Vault(Secret(("env:TEST_OTHER",))))
    with pytest.raises(Locked, match=r"not one of vault\.keys"):
        read_body(house.services, delivery, ANN)
    with pytest.raises(NotRedriven, match=r"cannot be read: .+ not one of vault\.keys"):
        redrive_delivery(house.services, delivery, ANN)
