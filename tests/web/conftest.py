"""A house behind its web door, and tokens for it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from responder.domain.actor import Actor, ActorKind
from responder.domain.ids import new_id
from responder.domain.review import Verdict
from responder.domain.secret import Secret
from responder.domain.settings import Item
from responder.pipeline.approval import Subject, approve_first
from responder.pipeline.maintenance import Window, open_window
from responder.pipeline.people import note
from responder.pipeline.review import judge
from responder.runbook.loader import LoadedRule
from responder.web import create_app
from responder.web.tokens import TokenKeys, new_keys
from tests.house import House, alert

ANN = Actor(ActorKind.PERSON, "ann")
Tokens = Mapping[str, Mapping[str, str]]
EXHAUSTED = """
INSERT INTO shopify_sync_queue
    (inventory_item_id, action, status, retry_count, max_retries, last_error, created_at)
SELECT gen_random_uuid(), 'update', 'failed', 3, 3, 'HTTP 503', now() - interval '20 minutes'
FROM generate_series(1, 3)
"""


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    path.write_text(new_keys(new_id()))
    return path


@pytest.fixture
def house(
    make_house: Callable[..., House], rules: Mapping[str, LoadedRule], key_file: Path
) -> House:
    made = make_house(token_keys=Secret((f"file:{key_file}",)))
    for rule in rules.values():
        made.promote(rule)
    return made


@pytest.fixture
def client(house: House) -> FlaskClient:
    return create_app(house.services).test_client()


@pytest.fixture
def tokens(key_file: Path) -> Tokens:
    """The headers of a caller by role."""
    keys = TokenKeys(Secret((f"file:{key_file}",)))
    return {
        role: {
            "Authorization": "Bearer "
            + keys.issue(f"{role}-ann", role, datetime.now(UTC), timedelta(hours=1), new_id())
        }
        for role in ("viewer", "operator", "admin")
    }


def approved(house: House) -> None:
    """One of two people says yes to something dangerous."""
    incident = house.incident()
    assert incident.decision_id is not None
    subject = Subject(incident.id, "clear_queued", {}, incident.decision_id)
    with house.services.store.transaction() as tx:
        approve_first(house.services, tx, incident, subject, ANN)


@pytest.fixture
def busy(house: House) -> House:
    """A house in which every part of an incident document has something in it."""
    house.shop.run(EXHAUSTED)
    announced = Window("a release", (), duration=timedelta(hours=1), page=False, fix=True)
    open_window(house.services, replace(announced, after=[Item("look")]), ANN)
    house.post(alert("ShopifyQueueStuck", severity="warning"), {"labels": {}})
    house.settle()
    note(house.services, house.incident().id, ANN, "I am looking.")
    approved(house)
    judge(house.services, house.incident().id, ANN, Verdict.USEFUL, "it proposed what I did")
    house.post(alert("DatabaseDown"), alert("Nobody"))
    house.settle()
    return house
