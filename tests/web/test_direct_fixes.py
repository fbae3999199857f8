"""What no transaction can hold, asked for over the API: the shipped indexes and the vacuum."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from responder.domain.secret import Secret
from responder.pipeline.document import NO_DIRECT
from tests.house import House, alert
from tests.web.test_by_people import by_people, is_problem

Tokens = Mapping[str, Mapping[str, str]]
Ask = Callable[..., TestResponse]
INDEX = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('idx_intake_items_sku')"


@pytest.fixture
def direct_url() -> Secret | None:
    return Secret(("env:TEST_DIRECT",))


@pytest.fixture
def house(house: House, direct_url: Secret | None) -> House:
    """With a direct connection to its target."""
    (target,) = house.services.settings.targets.values()
    house.with_settings(targets={target.name: replace(target, direct_url=direct_url)})
    return house


@pytest.fixture
def slow(house: House) -> House:
    house.post(alert("SlowQueries", severity="info"))
    house.settle()
    return house


@pytest.fixture
def ask(client: FlaskClient, tokens: Tokens, slow: House) -> Ask:
    def asked(role: str = "operator", **changes: Any) -> TestResponse:
        seen = str(slow.incident().decision_id)
        place = f"/v1/incidents/{slow.incident().id}/fixes"
        body = {"option": "index_sku", "seen": seen, **changes}
        return client.post(place, json=body, headers=tokens[role])

    return asked


def outcome(client: FlaskClient, tokens: Tokens, answer: TestResponse) -> dict[str, Any]:
    told: dict[str, Any] = client.get(answer.headers["Location"], headers=tokens["viewer"]).json
    return told


def test_an_index_is_built(client: FlaskClient, tokens: Tokens, slow: House, ask: Ask) -> None:
    answer = ask()
    assert (answer.status_code, answer.get_json()["status"]) == (202, "started")
    slow.settle()
    done = outcome(client, tokens, answer)
    assert (done["status"], done["verification"]) == ("committed", "held")
    assert slow.shop.rows(INDEX) == [True]
    assert by_people(slow) == [
        ("operator-ann", "fix", "started"),
        ("operator-ann", "stage", "fix"),
        ("operator-ann", "fix", "recorded"),
        ("operator-ann", "fix", "committed"),
    ]
    again = ask()
    slow.settle()
    assert outcome(client, tokens, again)["reason"] == "it is done already"


def test_tables_are_vacuumed(client: FlaskClient, tokens: Tokens, slow: House, ask: Ask) -> None:
    with psycopg.connect(slow.shop.url("postgres"), autocommit=True) as shop:
        shop.execute("ALTER TABLE intake_items SET (autovacuum_enabled = off)")
        shop.execute("UPDATE intake_items SET price = price + 1")
        shop.execute("SELECT pg_stat_force_next_flush()")
    answer = ask(option="vacuum_tables")
    slow.settle()
    done = outcome(client, tokens, answer)
    assert (done["status"], done["verification"]) == ("committed", "held")
    dead = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'intake_items'"
    assert slow.shop.rows(dead) == [0]


def test_a_dry_run_only_checks(client: FlaskClient, tokens: Tokens, slow: House, ask: Ask) -> None:
    answer = ask(dry_run=True)
    slow.settle()
    done = outcome(client, tokens, answer)
    assert (done["status"], done["reason"]) == (
        "rolled_back",
        "dry run, which only checks: it is not done",
    )
    assert slow.shop.rows(INDEX) == []


def test_a_viewer_may_not(slow: House, ask: Ask) -> None:
    is_problem(ask(role="viewer"), 403, "forbidden")
    assert slow.sql("SELECT FROM fix") == []


@pytest.mark.parametrize("direct_url", [None])
def test_without_a_direct_url_the_statement_is_told(ask: Ask) -> None:
    told = is_problem(ask(), 409, "not_possible")
    assert told["detail"] == NO_DIRECT
    assert told["run"].startswith("CREATE INDEX CONCURRENTLY idx_intake_items_sku ON intake_items")
