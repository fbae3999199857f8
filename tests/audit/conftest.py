"""A responder whose audit is sealed, and the scene of a crime: its database, to be cloned."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from responder import __version__
from responder.domain.actor import Actor, ActorKind
from responder.domain.ids import new_id
from responder.domain.secret import Secret
from responder.domain.settings import SealSettings
from responder.embedded import LocalPostgres
from responder.pipeline.audit.copies import copy_seals
from responder.pipeline.audit.report import Report
from responder.pipeline.audit.sealing import seal_events
from responder.pipeline.audit.sources import RuleSources
from responder.pipeline.audit.verify import verify_all
from responder.pipeline.people import note
from responder.store import Store
from responder.web.tokens import new_keys
from tests.house import House, alert
from tests.small_rules import TABLE, small_rule

ANN = Actor(ActorKind.PERSON, "ann")
_numbers = count(1)


@dataclass
class Scene:
    """A database with seals, their key and their copy outside."""

    url: str
    settings: SealSettings

    @property
    def copy(self) -> Path:
        return Path(self.settings.copy_to[0])

    def verify(self, **asked: Any) -> Report:
        with closing(Store(self.url, 1, __version__)) as store, store.snapshot() as tx:
            return verify_all(tx, self.settings, **asked)

    def superuser(self, *statements: str, triggers: bool = False) -> list[Any]:
        """As somebody who may do everything, whom no trigger hinders; the last statement's rows."""
        with psycopg.connect(self.url) as connection:
            connection.execute("SET search_path = responder")
            if not triggers:
                connection.execute("SET session_replication_role = replica")
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


def make_settings(folder: Path) -> SealSettings:
    """A new key and a copy in this folder."""
    key = folder / "seal.json"
    key.write_text(new_keys(new_id()), encoding="utf-8")
    return SealSettings(Secret((f"file:{key}",)), (str(folder / "seals.jsonl"),))


def seal_now(house: House) -> None:
    """What waits is sealed, though the last seal was made this moment, and copied."""
    settings = house.services.settings
    assert settings.seal is not None
    at_once = replace(settings.seal, every=settings.seal.every * 0)
    seal_events(replace(house.services, settings=replace(settings, seal=at_once)))
    copy_seals(house.services)


@pytest.fixture
def sealed(make_house: Callable[..., House], tmp_path: Path) -> House:
    """A house with one small rule that fixes, and with seals."""
    rule = small_rule(tmp_path)
    house = make_house([rule], seal=make_settings(tmp_path))
    house.shop.run(TABLE)
    house.promote(rule)
    return house


def scene_of(house: House) -> Scene:
    """The house's own database."""
    assert house.services.settings.seal is not None
    return Scene(house.services.store.url, house.services.settings.seal)


def fixed_and_noted(house: House) -> None:
    """An incident with answers, a decision, a fix and a note, in a few seals."""
    RuleSources()(house.services)
    house.post(alert("Thing"))
    house.run_jobs()
    seal_now(house)
    house.settle()
    seal_now(house)
    note(house.services, house.incident().id, ANN, "It was the cache.")
    seal_now(house)
    note(house.services, house.incident().id, ANN, "Not the cache after all.")
    house.send()
    seal_now(house)


@dataclass
class Kept:
    """A template, once it is made."""

    cluster: LocalPostgres
    folder: Path
    settings: SealSettings | None = None
    name: str = "template_scene"

    def make(self, house: House) -> None:
        fixed_and_noted(house)
        assert house.services.settings.seal is not None
        house.services.slots.close()
        house.services.store.close()
        house.sessions.close()
        url = house.services.store.url
        administer(self.cluster, "CREATE DATABASE {} TEMPLATE {}", self.name, name_in(url))
        for each in ("seal.json", "seals.jsonl"):
            shutil.copy(Path(house.services.settings.seal.copy_to[0]).parent / each, self.folder)
        key = Secret((f"file:{self.folder / 'seal.json'}",))
        self.settings = SealSettings(key, (str(self.folder / "seals.jsonl"),))


@pytest.fixture(scope="module")
def kept(cluster: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """What is made once for the tests of a module."""
    folder = tmp_path_factory.mktemp("scene")
    kept = Kept(cluster, folder)
    yield kept
    if kept.settings is not None:
        administer(cluster, "DROP DATABASE {}", kept.name)


@pytest.fixture
def scene(kept: Kept, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    """A clone of what was kept; whoever changes its copy outside changes no other test's."""
    if kept.settings is None:
        kept.make(request.getfixturevalue("sealed"))
    assert kept.settings is not None
    copy = Path(shutil.copy(kept.settings.copy_to[0], tmp_path / "outside.jsonl"))
    with cloned(kept.cluster, kept.name) as url:
        yield Scene(url, replace(kept.settings, copy_to=(str(copy),)))


@contextmanager
def cloned(cluster: LocalPostgres, name: str) -> Iterator[str]:
    """A database like this one, to which nobody is connected."""
    clone = f"clone_{next(_numbers)}"
    administer(cluster, "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", clone, name)
    yield cluster.url(clone)
    administer(cluster, "DROP DATABASE {} WITH (FORCE)", clone)


def administer(cluster: LocalPostgres, command: Any, *names: str) -> None:
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        connection.execute(sql.SQL(command).format(*map(sql.Identifier, names)))


def name_in(url: str) -> str:
    """The database that a URL names."""
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
