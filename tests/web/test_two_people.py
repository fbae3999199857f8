"""A dangerous option through the API: who two people are, and what each of them is answered."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from responder.domain.ids import new_id
from responder.domain.secret import Secret
from responder.web import create_app
from responder.web.tokens import TokenKeys
from tests.house import House, alert

Tokens = Mapping[str, Mapping[str, str]]
Ask = Callable[..., TestResponse]
QUEUED = "SELECT count(*) FROM shopify_sync_queue WHERE status = 'queued'"
STUCK = """
INSERT INTO shopify_sync_queue
    (inventory_item_id, action, status, retry_count, max_retries, created_at)
SELECT gen_random_uuid(), 'update', 'queued', 0, 3, now() - interval '20 minutes'
FROM generate_series(1, 3)
"""


@pytest.fixture
def stuck(house: House) -> House:
    """A queue that an admin may empty, in the name of an admin of the shop's."""
    house.shop.run(STUCK)
    [admin] = house.shop.rows("SELECT id::text FROM auth.users WHERE email LIKE 'admin-01@%'")
    known = replace(house.services.settings.targets["shop_eu"], claims={"sub": admin})
    house.with_settings(targets={"shop_eu": known})
    house.post(alert("ShopifyQueueStuck", severity="critical"))
    house.settle()
    return house


@pytest.fixture
def ask(stuck: House, key_file: Path) -> Ask:
    """Asks for the queue to be emptied, with a new token of this name for each call."""
    keys, client = (
        TokenKeys(Secret((f"file:{key_file}",))),
        create_app(stuck.services).test_client(),
    )

    def asked(who: str, role: str = "admin", key: str = "", **changes: Any) -> TestResponse:
        token = keys.issue(who, role, datetime.now(UTC), timedelta(hours=1), new_id())
        headers = {"Authorization": f"Bearer {token}", **({"Idempotency-Key": key} if key else {})}
        body = {"option": "clear_queued", "seen": str(stuck.incident().decision_id), **changes}
        place = f"/v1/incidents/{stuck.incident().id}/fixes"
        return client.post(place, json=body, headers=headers)

    return asked


def test_the_first_waits_and_the_second_fixes(stuck: House, ask: Ask) -> None:
    before = stuck.shop.rows(QUEUED)
    first = ask("ann")
    told = first.get_json()
    assert (first.status_code, told["option"], told["actor"]) == (202, "clear_queued", "ann")
    span = datetime.fromisoformat(told["expires_at"]) - datetime.fromisoformat(told["at"])
    assert span == timedelta(minutes=30)
    place = f"/v1/incidents/{stuck.incident().id}"
    assert first.headers["Location"] == place
    assert stuck.document()["approvals"] == [told]
    second = ask("bea")
    fix = second.get_json()
    assert (second.status_code, fix["status"], fix["actor"]["name"]) == (202, "started", "bea")
    assert second.headers["Location"] == f"/v1/fixes/{fix['id']}"
    assert stuck.shop.rows(QUEUED) == before
    stuck.settle()
    assert stuck.shop.rows(QUEUED) == [0]
    assert [each["status"] for each in stuck.document()["fixes"]] == ["committed"]


def test_two_tokens_of_one_name_are_one_person(stuck: House, ask: Ask) -> None:
    first = ask("ann", key="one")
    for again in (ask("ann", key="two"), ask("ann")):
        assert (again.status_code, again.get_json()) == (202, first.get_json())
    stuck.settle()
    assert stuck.sql("SELECT id FROM fix") == []


def test_a_replay_is_told_the_same_and_later_what_came_of_it(stuck: House, ask: Ask) -> None:
    first, again = ask("ann", key="k"), ask("ann", key="k")
    assert (again.status_code, again.get_json()) == (200, first.get_json())
    assert again.headers["Idempotency-Replayed"] == "true"
    fix = ask("bea", key="k").get_json()
    stuck.settle()
    later = ask("ann", key="k")
    assert (later.status_code, later.get_json()["id"]) == (200, fix["id"])
    assert later.headers["Location"] == f"/v1/fixes/{fix['id']}"


def test_a_lesser_role_is_no_second_person(stuck: House, ask: Ask) -> None:
    ask("ann")
    assert ask("bea", role="operator").status_code == 403
    stuck.settle()
    assert stuck.sql("SELECT id FROM fix") == []


def test_a_proposal_of_yesterday_is_looked_at_anew(stuck: House, ask: Ask) -> None:
    stuck.later(timedelta(hours=24))
    late = ask("ann")
    assert (late.status_code, late.get_json()["type"]) == (409, "urn:responder:not_possible")
    assert "older than 24 hours; it diagnoses anew now" in late.get_json()["detail"]
    stuck.settle()
    assert ask("ann").status_code == 202
