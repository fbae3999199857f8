"""Versions of our own secrets: who used which, how old they are, and which may be retired."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.secret import Secret, version_of
from responder.pipeline.accept import accept
from responder.pipeline.digest import next_digest
from responder.pipeline.secrets import InUse, ages, note_secrets, retire, versions
from responder.settings import secrets_of
from responder.sources import Request, Unauthenticated
from tests.house import BEARER, House, alert

ANN = Actor(ActorKind.PERSON, "ann")
KEY = "sources.prometheus.bearer"


@pytest.fixture
def noted(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house whose source takes two bearers, the older of which the sender still shows."""
    file = tmp_path / "bearer"
    file.write_text(f"the-new-one\n{BEARER}\n")
    monkeypatch.setenv("UNUSED", house.services.store.url)
    source = replace(
        house.services.settings.sources["prometheus"], bearer=Secret((f"file:{file}",))
    )
    house.with_settings(sources={"prometheus": source})
    secrets = dict(secrets_of(house.services.settings))
    house.services = replace(house.services, secrets=secrets)
    return house


def told(house: House, key: str = KEY) -> dict[str, dict[str, Any]]:
    """The versions of a key by their names."""
    with house.services.store.transaction() as tx:
        return {each["version"]: each for each in versions(tx) if each["key"] == key}


def retired(house: House, value: str) -> None:
    with house.services.store.transaction() as tx:
        retire(tx, ANN, KEY, version_of(KEY, value))


def test_each_version_is_known_and_the_one_that_opened_was_used(noted: House) -> None:
    noted.post(alert("Nobody"))
    with pytest.raises(Unauthenticated):
        shown = {"authorization": "Bearer no-such-one"}
        accept(noted.services, "prometheus", Request(shown, b"{}", datetime.now(UTC)))
    note_secrets(noted.services)
    found = told(noted)
    old, new = version_of(KEY, BEARER), version_of(KEY, "the-new-one")
    assert found.keys() == {old, new}
    assert found[old]["last_used"] is not None and found[new]["last_used"] is None
    assert {each["state"] for each in found.values()} == {"live"}
    (ours,) = told(noted, "database").values()
    assert ours["last_used"] is not None, "our database is used by telling it"
    events = noted.sql("SELECT * FROM audit_event WHERE what = 'secret'")
    assert {each["after"] for each in events} == {"live"}
    assert {each["actor"] for each in events} == {"settings"}
    everything = str(noted.sql("SELECT * FROM secret_version")) + str(events)
    assert BEARER not in everything and "the-new-one" not in everything
    before = len(events)
    first = found[old]["last_used"]
    noted.later(timedelta(minutes=5))
    note_secrets(noted.services)
    assert told(noted)[old]["last_used"] == first, "it was not used again"
    assert len(noted.sql("SELECT FROM audit_event WHERE what = 'secret'")) == before


def test_what_goes_out_uses_the_newest_alone(noted: House, tmp_path: Path) -> None:
    """A target's login that the server does not take was not used."""
    good = noted.services.settings.targets["shop_eu"].reading.value()
    file = tmp_path / "reading"
    file.write_text(f"{good.replace('responder_reading', 'nobody_at_all')}\n{good}\n")
    target = replace(noted.services.settings.targets["shop_eu"], reading=Secret((f"file:{file}",)))
    noted.with_settings(targets={"shop_eu": target})
    noted.post(alert("ShopifyQueueStuck"))
    noted.settle()
    assert target.reading.used() == {good}


def test_only_what_nobody_used_for_a_day_is_retired(noted: House) -> None:
    with pytest.raises(InUse, match="no running process has told of it"):
        retired(noted, BEARER)
    note_secrets(noted.services)
    with pytest.raises(InUse, match="known for 0 min only"):
        retired(noted, BEARER)
    noted.later(timedelta(days=3))
    noted.post(alert("Nobody"))
    note_secrets(noted.services)
    noted.later(timedelta(hours=23))
    with pytest.raises(InUse, match="was used 23 h ago"):
        retired(noted, BEARER)
    assert noted.sql("SELECT FROM audit_event WHERE after = 'retired'") == []
    noted.later(timedelta(hours=2))
    note_secrets(noted.services)
    retired(noted, BEARER)
    assert told(noted)[version_of(KEY, BEARER)]["state"] == "retired"
    (event,) = noted.sql("SELECT * FROM audit_event WHERE after = 'retired'")
    assert (event["actor"], event["subject"]) == ("ann", f"secret {KEY}")
    assert event["details"] == {"version": version_of(KEY, BEARER)}
    noted.later(timedelta(minutes=11))
    note_secrets(noted.services)
    assert told(noted)[version_of(KEY, BEARER)]["state"] == "live", "somebody has it still"


def test_people_are_told_at_75_and_85_days_and_each_day_from_90_on(noted: House) -> None:
    note_secrets(noted.services)
    reminded = []
    for day in range(1, 94):
        noted.sql("UPDATE housekeeping SET digested_at = %s", _now(noted))
        noted.later(timedelta(days=1))
        noted.sql("UPDATE secret_version SET seen_at = %s", _now(noted))
        with noted.services.store.transaction() as tx:
            parts = {each["name"]: each for each in next_digest(noted.services, tx)["parts"]}
        if "secrets" in parts:
            item = next(each for each in parts["secrets"]["items"] if each["key"] == KEY)
            assert (item["days"], item["overdue"]) == (day, day >= 90)
            reminded.append(day)
    assert reminded == [75, 85, 90, 91, 92, 93]
    with noted.services.store.transaction() as tx:
        assert round(ages(tx)[KEY]) == 93
    assert {each["state"] for each in told(noted).values()} == {"due"}
    noted.later(timedelta(hours=2))
    with noted.services.store.transaction() as tx:
        assert ages(tx) == {}, "what no process has is not live"


def _now(house: House) -> Any:
    with house.services.store.transaction() as tx:
        return tx.now
