"""The web door on a real socket, and before our database was ever migrated."""

import http.client
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Thread

import pytest
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from responder.store import Store
from responder.web import create_app
from tests.house import BEARER, House, alert

LIMIT = 2000


def test_not_ready_before_our_database_is_migrated(house: House, empty_database: str) -> None:
    store = Store(empty_database, 2, "test")
    store.open()
    client = create_app(replace(house.services, store=store)).test_client()
    answer = client.get("/readyz")
    store.close()
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert answer.get_json()["type"] == "urn:responder:unavailable"
    assert "Retry-After" in answer.headers


def test_ready_when_it_is(client: FlaskClient) -> None:
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("path", ["/nowhere", "/v1/nowhere", "/v1/webhooks", "/v1/webhooks/a/b"])
def test_an_unknown_url_is_not_found(client: FlaskClient, path: str) -> None:
    answer = client.post(path)
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
    assert answer.get_json()["type"] == "urn:responder:not_found"


def test_an_unknown_source_is_told_as_such(client: FlaskClient) -> None:
    answer = client.post("/v1/webhooks/nobody", data=b"{}")
    assert (answer.status_code, answer.get_json()["type"]) == (404, "urn:responder:unknown_source")


Post = Callable[[bytes, bool], tuple[int, str]]


@pytest.fixture
def post(house: House) -> Iterator[Post]:
    """Over a socket, in chunks or with a length; the status and the problem's type."""
    house.with_settings(max_body=LIMIT)
    server = make_server("127.0.0.1", 0, create_app(house.services), threaded=True)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()

    def posted(body: bytes, chunked: bool) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        headers = {"Authorization": f"Bearer {BEARER}", "Content-Type": "application/json"}
        sent = (body[at : at + 500] for at in range(0, len(body), 500)) if chunked else body
        connection.request("POST", "/v1/webhooks/prometheus", sent, headers, encode_chunked=chunked)
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        return answer.status, told.get("type", "")

    yield posted
    server.shutdown()
    thread.join()
    server.server_close()


def padded(size: int) -> bytes:
    """A good webhook of so many bytes."""
    body = {"version": "4", "groupKey": "{}", "status": "firing", "alerts": [alert("Thing")]}
    return json.dumps(body).encode().ljust(size)


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize(
    ("size", "told"),
    [
        (LIMIT, (202, "")),
        (LIMIT + 1, (413, "urn:responder:too_large")),
        (LIMIT + 2, (413, "urn:responder:too_large")),
        (LIMIT * 10, (413, "urn:responder:too_large")),
    ],
)
def test_a_body_that_is_too_long_is_413_however_it_is_sent(
    house: House, post: Post, size: int, told: tuple[int, str], chunked: bool
) -> None:
    assert post(padded(size), chunked) == told
    kept = house.sql("SELECT body_bytes AS bytes FROM delivery")
    assert kept == ([{"bytes": size}] if told[0] == 202 else [])
