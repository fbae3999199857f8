"""A replica that lacks a part of a fix is promoted: of the target, or of our own database.

What nobody can know is unknown and handed over, and the fix is never made a second time.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.incident import Incident, Stage
from responder.embedded import LocalPostgres
from responder.pipeline import switch, walk
from responder.pipeline.by_hand import Asked, ask
from responder.store import Store
from responder.store.migrations import migrate
from responder.store.slots import Slots
from tests.conftest import _memory
from tests.faults.replica import Replica, replica_of
from tests.faults.worlds import ROLES, STATEMENTS, TARGET
from tests.house import House, alert
from tests.sessions import Sessions
from tests.shop import Shop
from tests.small_rules import small_rule
from tests.walks import dies, fixes, meanwhile, refusing, until, walk_to

ANN = Actor(ActorKind.PERSON, "ann")
#: Long enough that a replica can be stopped in the middle of the change.
SLOWLY = (
    "SELECT id, applied FROM thing WHERE id = 1 AND (SELECT pg_sleep(3)) IS NOT NULL FOR UPDATE"
)
SETTINGS = {"wal_keep_size": "64MB", "max_connections": "50"}


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="failover-", dir=_memory()) as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def ours(folder: Path) -> Iterator[LocalPostgres]:
    with LocalPostgres(folder / "ours", settings=SETTINGS) as server:
        yield server


@pytest.fixture
def database(ours: LocalPostgres) -> str:
    migrate(ours.url())
    return ours.url()


@pytest.fixture
def shop(folder: Path) -> Iterator[Shop]:
    with (
        LocalPostgres(folder / "target", settings=SETTINGS) as server,
        closing(Sessions()) as sessions,
    ):
        shop = Shop(server, "postgres", sessions)
        shop.run(ROLES)
        shop.run(TARGET)
        yield shop


@pytest.fixture
def house(make_house: Callable[..., House], folder: Path, request: pytest.FixtureRequest) -> House:
    """With one rule whose every fix leaves its mark; parameters: other statements."""
    statements = {**STATEMENTS, **getattr(request, "param", {})}
    rule = small_rule(folder / "runbook", statements=statements, within="1m")
    made = make_house([rule])
    made.promote(rule)
    return made


def applied(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT applied FROM thing WHERE id = 1").fetchone()
    assert row is not None
    return int(row[0])


def goes_on(house: House) -> None:
    """A person allows automatic fixes again; time passes, it is told again and again."""
    switch.start(house.services.store, ANN, "it is the right server")
    for _ in range(3):
        house.later(timedelta(minutes=40))
        house.post(alert("Thing"))
        house.settle()


# The target


@pytest.fixture
def target_replica(shop: Shop, folder: Path) -> Iterator[Replica]:
    with replica_of(shop.server, folder / "replica") as replica:
        yield replica


def lose_target(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the target's address leads to what was its replica."""
    replica.promote()
    monkeypatch.setenv("TEST_READING", replica.url("postgres", "responder_reading"))
    monkeypatch.setenv("TEST_WRITING", replica.url("postgres", "responder_writing"))


def stopped_before_fix(house: House, replica: Replica) -> Incident:
    incident = walk_to(house, Stage.FIX)
    replica.follow()
    replica.stop()
    return incident


def test_a_target_is_promoted_without_the_fix(
    house: House, target_replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commit was made on the old server, and nobody noted it: the new one cannot say."""
    incident = stopped_before_fix(house, target_replica)
    with refusing(house, "fix", "NEW.status = 'committed'"):
        dies(lambda: walk(house.services, incident.id, 0))
    lose_target(target_replica, monkeypatch)
    walk(house.services, incident.id, 1)
    (fix,) = fixes(house)
    assert (fix["status"], fix["before_rows"]) == ("unknown", [{"id": 1, "applied": 0}])
    assert house.decision() == ("hand_over", "unknown")
    goes_on(house)
    assert [fix["status"] for fix in fixes(house)] == ["unknown"]
    assert applied(target_replica.url("postgres")) == 0
    assert house.trail().count(("fix", "unknown")) == 1
    assert house.pager.happenings() == ["opened"]


def test_a_fix_that_was_noted_and_is_lost_is_not_verified(
    house: House, target_replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident = stopped_before_fix(house, target_replica)
    with refusing(house, "fix", "NEW.verification = 'held'"):
        dies(lambda: walk(house.services, incident.id, 0))
    assert [fix["verification"] for fix in fixes(house)] == ["waiting"]
    lose_target(target_replica, monkeypatch)
    house.later(timedelta(minutes=2))
    walk(house.services, incident.id, 1)
    assert [(fix["status"], fix["verification"]) for fix in fixes(house)] == [
        ("committed", "failed")
    ]
    assert house.decision() == ("hand_over", "not_verified")
    assert applied(target_replica.url("postgres")) == 0


def test_a_standby_is_not_asked(
    house: House, target_replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address leads to a replica for a while: it is waited for, then the primary knows."""
    incident = walk_to(house, Stage.FIX)
    with refusing(house, "fix", "NEW.status = 'committed'"):
        dies(lambda: walk(house.services, incident.id, 0))
    with monkeypatch.context() as patch:
        patch.setenv("TEST_WRITING", target_replica.url("postgres", "responder_writing"))
        walk(house.services, incident.id, 1)
        assert [fix["status"] for fix in fixes(house)] == ["recorded"]
    house.later(timedelta(minutes=1))
    house.settle()
    assert [fix["status"] for fix in fixes(house)] == ["committed"]
    assert applied(house.shop.url("postgres")) == 1


# Our own database


@pytest.fixture
def our_replica(database: str, ours: LocalPostgres, folder: Path) -> Iterator[Replica]:
    with replica_of(ours, folder / "replica") as replica:
        yield replica


def lose_ours(house: House, replica: Replica) -> Iterator[House]:
    """A new process of ours on what was its replica."""
    replica.promote()
    url, old = replica.url("postgres"), house.services.store
    store = Store(url, 4, "test", old.offset)
    store.open()
    slots = Slots(url)
    house.services = replace(house.services, store=store, slots=slots)
    yield house
    slots.close()
    store.close()


def begin(house: House, by: str) -> Incident:
    """Its walk is about to make the fix; a person has asked for it, or it was decided."""
    if by == "responder":
        return walk_to(house, Stage.FIX)
    incident = walk_to(house, Stage.WATCH)
    house.sql("UPDATE incident SET walking = false")
    ask(house.services, Asked(incident.id, "mend", incident.decision_id), ANN, "operator")
    return incident


@pytest.mark.parametrize("house", [{"mend_before": SLOWLY}], indirect=True)
@pytest.mark.parametrize("by", ["responder", "person"])
def test_ours_is_promoted_without_the_decision(house: House, our_replica: Replica, by: str) -> None:
    """It knows that a fix was begun, not that it was decided and committed."""
    if by == "person":
        house.sql("DELETE FROM promotion")
    incident = begin(house, by)
    with meanwhile(lambda: walk(house.services, incident.id, 0)):
        until(lambda: fixes(house))
        our_replica.follow()
        our_replica.stop()
    assert [fix["status"] for fix in fixes(house)] == ["committed"]
    for after in lose_ours(house, our_replica):
        assert [fix["status"] for fix in fixes(after)] == ["started"]
        after.later(timedelta(minutes=1))
        walk(after.services, incident.id, 0)
        assert [fix["status"] for fix in fixes(after)] == ["unknown"]
        assert after.decision() == ("hand_over", "unknown")
        assert ("autofix", "off") in after.trail()
        goes_on(after)
        assert [fix["status"] for fix in fixes(after)] == ["unknown"]
        assert applied(after.shop.url("postgres")) == 1


@pytest.mark.parametrize("switched_on", [False, True])
def test_ours_is_promoted_without_the_intent(
    house: House, our_replica: Replica, switched_on: bool
) -> None:
    """It knows the decision alone: automatic fixes are off, and this one stays with people."""
    incident = stopped_before_fix(house, our_replica)
    walk(house.services, incident.id, 0)
    assert [fix["status"] for fix in fixes(house)] == ["committed"]
    for after in lose_ours(house, our_replica):
        assert fixes(after) == []
        if switched_on:
            switch.start(after.services.store, ANN, "it is the right server")
        walk(after.services, incident.id, 0)
        assert after.decision() == ("hand_over", "our_failover")
        assert switch.standing(after.services.store)["enabled"] is switched_on
        goes_on(after)
        assert applied(after.shop.url("postgres")) == 1
        assert {fix["status"] for fix in fixes(after)} <= {"refused"}
