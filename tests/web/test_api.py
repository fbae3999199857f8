"""The API: who may do what, lists without gaps, the document's shape, explain without a trace."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from responder.domain.ids import new_id
from responder.domain.secret import Secret
from responder.web import create_app
from responder.web.tokens import new_keys, read_keys
from tests.house import BEARER, House, alert

Tokens = Mapping[str, Mapping[str, str]]
STUCK = "ShopifyQueueStuck"
NOBODY = "00000000-0000-7000-8000-000000000000"
EXHAUSTED = """
INSERT INTO shopify_sync_queue
    (inventory_item_id, action, status, retry_count, max_retries, last_error, created_at)
SELECT gen_random_uuid(), 'update', 'failed', 3, 3, 'HTTP 503', now() - interval '20 minutes'
FROM generate_series(1, 3)
"""


def is_problem(answer: TestResponse, status: int, reason: str) -> None:
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert answer.get_json()["type"] == f"urn:responder:{reason}"


def ids(items: list[Mapping[str, Any]]) -> list[str]:
    return [item["id"] for item in items]


# Tokens


def coded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def token(
    key_id: str, sign: Callable[[bytes], bytes], algorithm: str = "EdDSA", **changes: Any
) -> str:
    """A token with these claims changed; None takes one away."""
    now = int(datetime.now(UTC).timestamp())
    claims = {
        "iss": "responder",
        "aud": "responder",
        "sub": "ann",
        "role": "viewer",
        "iat": now,
        "exp": now + 600,
        "jti": str(new_id()),
    } | changes
    header = {"alg": algorithm, "typ": "JWT", "kid": key_id}
    kept = {name: value for name, value in claims.items() if value is not None}
    signed = ".".join(coded(json.dumps(part).encode()) for part in (header, kept))
    return f"{signed}.{coded(sign(signed.encode()))}"


def status_with(client: FlaskClient, told: str) -> int:
    answer = client.get("/v1/incidents", headers={"Authorization": f"Bearer {told}"})
    assert "Traceback" not in answer.get_data(as_text=True)
    return answer.status_code


@pytest.fixture
def key(key_file: Path) -> tuple[str, Ed25519PrivateKey]:
    (pair,) = read_keys(key_file.read_text()).items()
    return pair


@pytest.mark.parametrize(
    "changes, status",
    [
        ({}, 200),
        ({"exp": 1}, 401),
        ({"exp": "soon"}, 401),
        ({"iat": 9_999_999_999}, 401),
        ({"nbf": 9_999_999_999}, 401),
        ({"aud": "somebody-else"}, 401),
        ({"iss": "somebody-else"}, 401),
        ({"role": "root"}, 401),
        ({"role": ["admin"]}, 401),
        ({"role": {"admin": 1}}, 401),
        ({"sub": 5}, 401),
        *(({name: None}, 401) for name in ("iss", "aud", "sub", "role", "iat", "exp", "jti")),
    ],
)
def test_the_claims_of_a_token(
    client: FlaskClient,
    key: tuple[str, Ed25519PrivateKey],
    changes: Mapping[str, Any],
    status: int,
) -> None:
    key_id, private = key
    assert status_with(client, token(key_id, private.sign, **changes)) == status


def test_only_our_own_keys_and_algorithm_open(
    client: FlaskClient, key: tuple[str, Ed25519PrivateKey]
) -> None:
    key_id, private = key
    public = private.public_key().public_bytes_raw()
    good, raised = token(key_id, private.sign), token(key_id, private.sign, role="admin")
    forged = {
        "another key under our name": token(key_id, Ed25519PrivateKey.generate().sign),
        "a key that is not ours": token("other", private.sign),
        "no signature": token(key_id, lambda _: b"", "none"),
        "no algorithm, our signature": token(key_id, private.sign, "none"),
        "the public key as a shared secret": token(
            key_id, lambda text: hmac.digest(public, text, hashlib.sha256), "HS256"
        ),
        "a changed claim": f"{raised.rpartition('.')[0]}.{good.rpartition('.')[2]}",
        "no token": "",
        "nonsense": "a.b.c",
        "half": good.rpartition(".")[0],
    }
    assert status_with(client, good) == 200
    assert {name: status_with(client, told) for name, told in forged.items()} == {
        name: 401 for name in forged
    }


@pytest.mark.parametrize("header", [None, "Basic YTpi", "Bearer", BEARER, f"Bearer {BEARER}"])
def test_without_a_token_nothing_is_told(client: FlaskClient, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    for path in ("/v1/incidents", "/v1/deliveries", "/v1/rules", "/metrics"):
        answer = client.get(path, headers=headers)
        is_problem(answer, 401, "unauthenticated")
        assert "WWW-Authenticate" in answer.headers
    is_problem(client.post("/v1/explain/prometheus", headers=headers), 401, "unauthenticated")
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200


def test_all_live_keys_open_and_a_withdrawn_one_does_not(house: House, tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    for path in (old, new):
        path.write_text(new_keys(new_id()))
    house.with_settings(token_keys=Secret((f"file:{new}", f"file:{old}")))
    client = create_app(house.services).test_client()
    told = [
        token(key_id, private.sign)
        for path in (old, new)
        for key_id, private in read_keys(path.read_text()).items()
    ]
    assert [status_with(client, each) for each in told] == [200, 200]
    old.write_text(new_keys(new_id()))
    assert [status_with(client, each) for each in told] == [401, 200]


def test_a_missing_key_file_is_503(client: FlaskClient, tokens: Tokens, key_file: Path) -> None:
    key_file.unlink()
    answer = client.get("/v1/incidents", headers=tokens["viewer"])
    is_problem(answer, 503, "unavailable")
    assert str(key_file) not in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    "written", ['{"keys": [{"kid"', "[]", '{"keys": [{"kid": "a", "d": "c2hvcnQ"}]}']
)
def test_a_key_file_that_is_being_written_is_503(
    client: FlaskClient, tokens: Tokens, key_file: Path, written: str
) -> None:
    key_file.write_text(written)
    answer = client.get("/v1/incidents", headers=tokens["viewer"])
    is_problem(answer, 503, "unavailable")
    assert answer.headers["Retry-After"]


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
@pytest.mark.parametrize("role, status", [("viewer", 403), ("operator", 200), ("admin", 200)])
def test_who_may_act(
    client: FlaskClient, tokens: Tokens, house: House, action: str, role: str, status: int
) -> None:
    house.post(alert(STUCK))
    house.settle()
    before = house.trail()
    answer = client.post(f"/v1/incidents/{house.incident().id}/{action}", headers=tokens[role])
    assert answer.status_code == status
    if status == 403:
        is_problem(answer, 403, "forbidden")
        assert sorted(house.trail(), key=str) == sorted([*before, ("denied", None)], key=str)


# Lists


def walk(client: FlaskClient, path: str, headers: Mapping[str, str], limit: int) -> list[list[str]]:
    """The ids of each page of a list."""
    pages: list[list[str]] = []
    cursor = ""
    while True:
        query = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        answer = client.get(path, headers=headers, query_string=query).get_json()
        pages.append(ids(answer["items"]))
        cursor = answer["next"]
        if cursor is None:
            return pages


@pytest.mark.parametrize("limit, pages", [(4, [4, 4, 4]), (5, [5, 5, 2]), (200, [12])])
def test_a_list_has_no_gaps_and_no_repeats(
    client: FlaskClient, tokens: Tokens, house: House, limit: int, pages: list[int]
) -> None:
    """Also where many incidents were opened at the very same time."""
    for batch in range(3):
        house.post(*(alert(f"A{batch}{number}") for number in range(4)))
    house.settle()
    rows = house.sql("SELECT id FROM incident ORDER BY opened_at DESC, id DESC")
    walked = walk(client, "/v1/incidents", tokens["viewer"], limit)
    assert [len(page) for page in walked] == pages
    assert [each for page in walked for each in page] == [str(row["id"]) for row in rows]

    deliveries = walk(client, "/v1/deliveries", tokens["viewer"], 2)
    newest = house.sql("SELECT id FROM delivery ORDER BY received_at DESC")
    assert [each for page in deliveries for each in page] == [str(row["id"]) for row in newest]


def test_what_comes_in_meanwhile_does_not_shift_the_pages(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    house.post(*(alert(f"A{number}") for number in range(4)))
    house.settle()
    query = {"limit": 2}
    first = client.get("/v1/incidents", headers=tokens["viewer"], query_string=query).get_json()
    house.post(alert("New"))
    house.settle()
    query = {"limit": 2, "cursor": first["next"]}
    second = client.get("/v1/incidents", headers=tokens["viewer"], query_string=query).get_json()
    assert len({*ids(first["items"]), *ids(second["items"])}) == 4
    assert second["next"] is None


@pytest.mark.parametrize(
    "filters, titles",
    [
        ({}, ["DatabaseDown", "Else", STUCK]),
        ({"status": "open"}, ["DatabaseDown", "Else"]),
        ({"status": "resolved"}, [STUCK]),
        ({"status": "acknowledged"}, []),
        ({"severity": "P0"}, ["DatabaseDown"]),
        ({"severity": "P2"}, ["Else", STUCK]),
        ({"rule": "shopify_queue_stuck"}, [STUCK]),
        ({"rule": "shopify"}, []),
        ({"q": "STUCK in"}, [STUCK]),
        ({"q": "%"}, []),
        ({"q": "in the shop", "severity": "P2", "status": "open"}, ["Else"]),
    ],
)
def test_filters(
    client: FlaskClient,
    tokens: Tokens,
    house: House,
    filters: Mapping[str, str],
    titles: list[str],
) -> None:
    house.post(alert(STUCK))
    house.post(alert(STUCK, "resolved"))
    house.post(alert("DatabaseDown"), alert("Else", severity="warning"))
    house.settle()
    answer = client.get("/v1/incidents", headers=tokens["viewer"], query_string=filters)
    found = sorted(
        item["title"].removesuffix(" in the shop") for item in answer.get_json()["items"]
    )
    assert found == titles


def cursor(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "query, wrong",
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": "1.5"}, "limit"),
        ({"status": "closed"}, "status"),
        ({"severity": "P9"}, "severity"),
        ({"sort": "title"}, "sort"),
        ({"q": "a\0b"}, "q"),
        ({"rule": "a\0b"}, "rule"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": cursor(5)}, "cursor"),
        ({"cursor": cursor(["yesterday", str(new_id())])}, "cursor"),
        ({"cursor": cursor([1, 2])}, "cursor"),
        ({"cursor": cursor(["2026-01-01T00:00:00+00:00", 7])}, "cursor"),
        ({"cursor": cursor(["2026-01-01T00:00:00+00:00"])}, "cursor"),
        ({"cursor": base64.urlsafe_b64encode(b"[" * 3000).decode()}, "cursor"),
    ],
)
def test_a_wrong_query_says_what_is_wrong(
    client: FlaskClient, tokens: Tokens, query: Mapping[str, str], wrong: str
) -> None:
    answer = client.get("/v1/incidents", headers=tokens["viewer"], query_string=query)
    is_problem(answer, 400, "wrong_parameters")
    assert list(answer.get_json()["errors"]) == [wrong]


@pytest.mark.parametrize(
    "path",
    [
        f"/v1/incidents/{NOBODY}",
        f"/v1/incidents/{NOBODY}/events",
        f"/v1/deliveries/{NOBODY}",
        "/v1/incidents/nonsense",
        "/v1/rules/nobody",
        "/v1/rules/a%00b",
        "/v1/nowhere",
    ],
)
def test_what_is_not_there_is_404(client: FlaskClient, tokens: Tokens, path: str) -> None:
    answer = client.get(path, headers=tokens["admin"])
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


# One incident


PARTS: Mapping[str, set[str]] = {
    "incident": {
        *("id", "title", "status", "stage", "severity", "declared_severity", "key", "rule"),
        *("rule_checksum", "target", "opened_at"),
    },
    "alerts": {"name", "source", "status", "outcome", "labels", "starts_at"},
    "diagnosis": {
        *("name", "question", "target", "status", "asked_at", "ms", "shared", "rows", "row_count"),
        *("truncated", "error", "sql", "parameters"),
    },
    "findings": {"name", "summary", "rows", "offers"},
    "decision": {"id", "action", "reason", "sentence"},
    "fixes": {"id", "option", "actor", "status", "counts", "before", "after", "verification"},
    "options": {
        "name",
        "title",
        "automatic",
        "caution",
        "asks",
        "role",
        "run",
        "allowed",
        "why_not",
    },
    "escalation": {"level", "next_at", "contacts", "sentence"},
    "links": {"self", "console", "runbook", "dashboard", "panel", "silence"},
}


def test_the_document_has_every_part(client: FlaskClient, tokens: Tokens, house: House) -> None:
    house.shop.run(EXHAUSTED)
    house.post(alert(STUCK, severity="warning"))
    house.settle()
    answer = client.get(f"/v1/incidents/{house.incident().id}", headers=tokens["viewer"])
    told = answer.get_json()

    assert told["version"] == 1
    assert told["updates"] == house.incident().updates
    assert set(told) >= {"version", "updates", *PARTS}
    for part, names in PARTS.items():
        assert told[part], part
        for each in told[part] if isinstance(told[part], list) else [told[part]]:
            assert set(each) >= names, part
    assert [option["name"] for option in told["options"] if option["allowed"]] == ["retry_failed"]
    assert told["links"]["self"].endswith(f"/v1/incidents/{house.incident().id}")
    assert house.document() == told, "the same is answered, forwarded and shown"


def test_what_is_forwarded_is_what_is_answered(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    house.post(alert(STUCK, severity="warning"))
    house.settle()
    told = client.get(f"/v1/incidents/{house.incident().id}", headers=tokens["viewer"]).get_json()
    forwarded = json.loads(json.dumps(house.hook.got[-1].document))
    del told["notifications"], forwarded["notifications"]
    assert forwarded == told


def test_the_trail_reads_as_a_story(client: FlaskClient, tokens: Tokens, house: House) -> None:
    house.post(alert(STUCK, severity="warning"))
    house.settle()
    place = f"/v1/incidents/{house.incident().id}"
    for action in ("acknowledge", "resolve"):
        answer = client.post(f"{place}/{action}", headers=tokens["operator"])
        assert answer.status_code == 200
        assert answer.get_json()["incident"]["status"] == f"{action.rstrip('e')}ed"

    items = client.get(f"{place}/events", headers=tokens["viewer"]).get_json()["items"]
    assert [(item["what"], item["after"]) for item in items] == house.trail()
    assert items[0]["what"] == "opened"
    assert [item["at"] for item in items] == sorted(item["at"] for item in items)
    by_person = [item for item in items if item["actor_kind"] == "person"]
    assert [(item["actor"], item["before"], item["after"]) for item in by_person] == [
        ("operator-ann", "open", "acknowledged"),
        ("operator-ann", "acknowledged", "resolved"),
    ]
    assert all(item["code_version"] for item in items)


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_nothing_happens_to_what_is_not_there(
    client: FlaskClient, tokens: Tokens, house: House, action: str
) -> None:
    answer = client.post(f"/v1/incidents/{new_id()}/{action}", headers=tokens["operator"])
    is_problem(answer, 404, "not_found")
    assert client.get(f"/v1/incidents/{new_id()}/{action}").status_code == 405
    assert house.trail() == []


def test_a_delivery_tells_what_became_of_its_alerts(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    accepted = house.post(alert(STUCK), {"labels": {}})
    place = f"/v1/deliveries/{accepted.delivery}"
    waiting = client.get(place, headers=tokens["viewer"]).get_json()
    assert (waiting["outcome"], waiting["triaged_at"], waiting["alerts"]) == ("accepted", None, [])
    house.settle()
    told = client.get(place, headers=tokens["viewer"]).get_json()
    assert [each["outcome"] for each in told["alerts"]] == ["opened", "quarantined"]
    assert told["alerts"][0]["incident_id"] == str(house.incident().id)
    assert told["alert_count"] == 2
    assert BEARER not in json.dumps(told)


# Explain and rules


def counts(house: House) -> dict[str, int]:
    tables = house.sql(
        "SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname IN ('responder', 'responder_jobs') AND c.relkind IN ('r', 'p')"
    )
    return {
        table["name"]: house.sql(f'SELECT count(*) AS rows FROM "{table["name"]}"')[0]["rows"]
        for table in tables
    }


def test_explain_touches_nothing_and_says_what_would_happen(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    payload = {"alerts": [alert(STUCK, severity="critical"), 7, alert("Nobody")]}
    before = counts(house)
    answer = client.post("/v1/explain/prometheus", json=payload, headers=tokens["viewer"])
    assert answer.status_code == 200
    assert counts(house) == before
    stuck, broken, nobody = answer.get_json()["alerts"]
    assert broken == {"malformed": "the alert is not an object"}
    assert (stuck["rule"], stuck["severity"], stuck["target"]) == (
        "shopify_queue_stuck",
        "P0",
        "shop_eu",
    )
    assert [trial["rule"] for trial in stuck["rules"] if trial["failed"] is None] == [stuck["rule"]]
    assert (nobody["rule"], nobody["trouble"]) == (None, "no_rule")
    assert STUCK in next(
        trial["failed"] for trial in nobody["rules"] if trial["rule"] == "shopify_queue_stuck"
    )

    house.post(*payload["alerts"][::2])
    house.settle()
    assert {incident.key for incident in house.incidents()} == {stuck["key"], nobody["key"]}


@pytest.mark.parametrize(
    "source, body, status, reason",
    [
        ("nobody", b"{}", 404, "unknown_source"),
        ("prometheus", b"not json", 400, "not_json"),
        ("prometheus", b'{"hello": 1}', 422, "not_understood"),
    ],
)
def test_explain_says_what_is_wrong(
    client: FlaskClient, tokens: Tokens, source: str, body: bytes, status: int, reason: str
) -> None:
    answer = client.post(f"/v1/explain/{source}", data=body, headers=tokens["viewer"])
    is_problem(answer, status, reason)


def test_rules(client: FlaskClient, tokens: Tokens, busy: House) -> None:
    listed = client.get("/v1/rules", headers=tokens["viewer"]).get_json()
    by_name = {item["name"]: item for item in listed["items"]}
    assert listed["next"] is None
    order = [item["severity"] for item in listed["items"]]
    assert (order, set(order)) == (sorted(order), {"P0", "P1", "P2", "P3"})
    assert by_name["shopify_queue_stuck"]["autonomy"] == "act"
    assert by_name["shopify_queue_stuck"]["automatic"] == ["retry_failed"]
    assert by_name["database_down"]["automatic"] == []

    whole = client.get("/v1/rules/shopify_queue_stuck", headers=tokens["viewer"]).get_json()
    assert whole.items() >= by_name["shopify_queue_stuck"].items()
    assert "Symptoms:" in whole["text"]
    assert {part["name"] for part in whole["diagnostics"]} <= set(whole["statements"])
    assert whole["options"][0]["name"] == "retry_failed"
    told = whole["agreement"]["this_version"]
    assert (told["would_have_acted"], told["acted"], told["acted_held"]) == (0, 1, 1)


# Metrics


def metric(client: FlaskClient, tokens: Tokens, name: str) -> float:
    answer = client.get("/metrics", headers=tokens["viewer"])
    assert answer.status_code == 200
    lines = [line for line in answer.get_data(as_text=True).splitlines() if line[:1] != "#"]
    values = dict(line.rsplit(" ", 1) for line in lines)
    return float(values[f"responder_{name}"])


def test_metrics_carry_the_gap(client: FlaskClient, tokens: Tokens, house: House) -> None:
    house.post(alert(STUCK), alert("Else", severity="warning"))
    assert metric(client, tokens, "ledger_alerts_untriaged") == 2
    house.settle()
    assert metric(client, tokens, "ledger_alerts_untriaged") == 0
    assert metric(client, tokens, "ledger_alerts_gap") == 0
    assert metric(client, tokens, "ledger_incidents_gap") == 0
    assert metric(client, tokens, 'incidents{severity="P2",stage="watch"}') == 2
    assert metric(client, tokens, 'source_last_seen_timestamp_seconds{source="prometheus"}') > 0

    house.sql("DELETE FROM alert WHERE name = 'Else'")
    house.sql("DELETE FROM timer WHERE incident_id = %s", house.incidents()[0].id)
    assert metric(client, tokens, "ledger_alerts_gap") == 1
    assert metric(client, tokens, "ledger_incidents_gap") == 1


def test_an_admin_holds_an_incident_and_releases_it(
    house: House, client: FlaskClient, tokens: Tokens
) -> None:
    house.post(alert("Nobody"))
    house.settle()
    path = f"/v1/incidents/{house.incident().id}/hold"
    asked = {"held": True, "reason": "the case of 14 March"}
    assert client.put(path, json=asked, headers=tokens["operator"]).status_code == 403
    for held in (True, True, False):
        answer = client.put(path, json={**asked, "held": held}, headers=tokens["admin"])
        assert (answer.status_code, answer.json["held"]) == (200, held)
        (*items,) = client.get("/v1/holds", headers=tokens["viewer"]).json["items"]
        told = [(each["incident_id"], each["actor"], each["reason"]) for each in items]
        assert told == [(str(house.incident().id), "admin-ann", asked["reason"])] * held
    nobody = "/v1/incidents/01a20ad2-bca4-7fa8-ba05-03c8dec0e51e/hold"
    assert client.put(nobody, json=asked, headers=tokens["admin"]).status_code == 404
    assert [each for each in house.trail() if each[0] == "hold"] == [
        ("hold", "held"),
        ("hold", "released"),
    ]
