"""What a sender is answered: each status fits the retry rules of those who send."""

import json
import time
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from responder import __version__
from responder.embedded import LocalPostgres
from responder.store import Store
from responder.store.migrations import migrate
from responder.web import create_app
from tests.house import BEARER, House, alert

DOOR = "/v1/webhooks/prometheus"
GOOD = {"alerts": [alert("ShopifyQueueStuck", severity="warning")]}


def post(
    client: FlaskClient, payload: Any = GOOD, path: str = DOOR, token: str = BEARER
) -> TestResponse:
    """A webhook's answer, in which nothing secret stands, whatever it is."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    answer = client.post(path, data=body, headers={"Authorization": f"Bearer {token}"})
    told = f"{answer.headers} {answer.get_data(as_text=True)}"
    for secret in (BEARER, "postgresql:", "TEST_TOKEN", "Traceback", "INSERT", "constraint"):
        assert secret not in told
    return answer


def is_problem(answer: TestResponse, status: int, reason: str) -> None:
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    told = answer.get_json()
    assert told["type"] == f"urn:responder:{reason}"
    assert told["status"] == status
    assert told["title"] and told["detail"]
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


def test_202_means_that_it_is_committed(client: FlaskClient, house: House) -> None:
    answer = post(client)
    assert answer.status_code == 202
    told = answer.get_json()
    (row,) = house.sql("SELECT * FROM delivery")
    assert told == {
        "delivery": str(row["id"]),
        "alerts": 1,
        "quarantined": 0,
        "duplicate": False,
        "links": {"self": f"http://127.0.0.1:8000/v1/deliveries/{row['id']}"},
    }
    assert house.body(row["id"]) == json.dumps(GOOD).encode()


@pytest.mark.parametrize(
    "payload, alerts, quarantined",
    [
        ({"hello": "world"}, 0, 1),
        ([], 0, 1),
        ({"alerts": []}, 0, 0),
        ({"alerts": [alert("A"), 7, alert("B")]}, 2, 1),
    ],
)
def test_what_is_not_understood_is_202_all_the_same(
    client: FlaskClient, payload: Any, alerts: int, quarantined: int
) -> None:
    answer = post(client, payload)
    assert answer.status_code == 202
    told = answer.get_json()
    assert (told["alerts"], told["quarantined"]) == (alerts, quarantined)


@pytest.mark.parametrize(
    "payload, path, token, status, reason",
    [
        (GOOD, DOOR, "wrong", 401, "unauthenticated"),
        (GOOD, DOOR, "", 401, "unauthenticated"),
        (b"not json", DOOR, "wrong", 401, "unauthenticated"),
        (GOOD, "/v1/webhooks/nobody", BEARER, 404, "unknown_source"),
        (GOOD, "/v1/webhooks/a%00b", BEARER, 404, "unknown_source"),
        (GOOD, "/v1/webhooks/a%FFb", BEARER, 404, "unknown_source"),
        (b"not json", DOOR, BEARER, 400, "not_json"),
        (b"", DOOR, BEARER, 400, "not_json"),
        (b"\xff\xfe", DOOR, BEARER, 400, "not_json"),
        (b"[1,", DOOR, BEARER, 400, "not_json"),
    ],
)
def test_what_is_refused(
    client: FlaskClient,
    house: House,
    payload: Any,
    path: str,
    token: str,
    status: int,
    reason: str,
) -> None:
    is_problem(post(client, payload, path, token), status, reason)
    assert house.sql("SELECT * FROM delivery") == []
    (event,) = house.sql("SELECT * FROM audit_event")
    assert (event["what"], event["details"]["address"]) == ("refused", "127.0.0.1")


def test_too_large_is_413(house: House) -> None:
    house.with_settings(max_body=1_000)
    client = create_app(house.services).test_client()
    large = {"alerts": [alert("A", filler="x" * 1_000)]}
    is_problem(post(client, large), 413, "too_large")
    assert house.sql("SELECT * FROM delivery") == []


@pytest.mark.parametrize("method, path", [("GET", DOOR), ("PATCH", DOOR), ("POST", "/nowhere")])
def test_other_methods_and_places_are_problems_too(
    client: FlaskClient, method: str, path: str
) -> None:
    answer = client.open(path, method=method)
    assert answer.status_code in (404, 405)
    assert answer.mimetype == "application/problem+json"


def test_a_missing_credential_of_ours_is_503(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_TOKEN")
    is_problem(post(client), 503, "unavailable")


def test_our_own_mistake_is_500_and_tells_nothing(client: FlaskClient, house: House) -> None:
    house.sql("ALTER TABLE delivery ADD CONSTRAINT a_constraint CHECK (false) NOT VALID")
    answer = post(client)
    assert answer.status_code == 500
    assert answer.mimetype == "application/problem+json"


def test_a_session_that_breaks_in_the_middle_is_503(client: FlaskClient, house: House) -> None:
    """As when our database is stopped in the middle of it."""
    house.sql(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END'"
    )
    for table in ("delivery", "raw_body"):
        house.sql(
            f"CREATE TRIGGER die BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION die()"
        )
        is_problem(post(client), 503, "unavailable")
        house.sql(f"DROP TRIGGER die ON {table}")
    assert house.sql("SELECT * FROM delivery") == []
    assert post(client).status_code == 202


def test_our_database_away_is_503_and_all_is_well_when_it_is_back(house: House) -> None:
    with LocalPostgres(durable=False) as server:
        migrate(server.url())
        store = Store(server.url(), 2, __version__)
        store.open()
        client = create_app(replace(house.services, store=store)).test_client()
        assert post(client).status_code == 202

        server.stop(keep=True)
        started = time.monotonic()
        is_problem(post(client), 503, "unavailable")
        assert time.monotonic() - started < 5, "a sender does not wait longer"
        assert client.get("/healthz").status_code == 200
        is_problem(client.get("/readyz"), 503, "unavailable")

        server.start()
        for _ in range(50):
            if (answer := post(client)).status_code == 202:
                break
            time.sleep(0.1)
        assert answer.status_code == 202
        with psycopg.connect(server.url()) as connection:
            (row,) = connection.execute("SELECT count(*) FROM responder.delivery")
            assert row == (2,)
        store.close()
