"""Undo through the API: who may ask for it, what it answers, and what it says when it cannot be."""

from collections.abc import Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.house import House, alert
from tests.walks import fixes
from tests.web.test_by_people import EXHAUSTED, NOBODY, STUCK, is_problem

Tokens = Mapping[str, Mapping[str, str]]
FAILED = "SELECT to_jsonb(q)::text FROM shopify_sync_queue q WHERE status = 'failed' ORDER BY 1"


@pytest.fixture
def retried(house: House) -> House:
    """Failed items were queued again, and that held."""
    house.shop.run(EXHAUSTED)
    house.post(alert(STUCK))
    house.settle()
    (fix,) = fixes(house)
    assert (fix["status"], fix["verification"]) == ("committed", "held")
    return house


def undo(
    client: FlaskClient, tokens: Tokens, fix: Any, role: str = "operator", **more: Any
) -> TestResponse:
    headers = {**tokens[role], **more.pop("headers", {})}
    return client.post(f"/v1/fixes/{fix}/undo", headers=headers, **more)


def test_an_undo_is_asked_for_and_followed(
    client: FlaskClient, tokens: Tokens, retried: House
) -> None:
    (fix,) = fixes(retried)
    answer = undo(client, tokens, fix["id"])
    told = answer.get_json()
    assert (answer.status_code, told["status"], told["undoes"]) == (202, "started", str(fix["id"]))
    assert told["actor"] == {"kind": "person", "name": "operator-ann"}
    retried.settle()
    done = client.get(answer.headers["Location"], headers=tokens["viewer"]).get_json()
    assert (done["status"], done["left"], done["counts"]) == (
        "committed",
        [],
        {"shopify_sync_queue": 3},
    )
    first = client.get(f"/v1/fixes/{fix['id']}", headers=tokens["viewer"]).get_json()
    assert (first["status"], first["undoes"]) == ("undone", None)
    assert len(retried.shop.rows(FAILED)) == 3
    told = is_problem(undo(client, tokens, fix["id"]), 409, "not_possible")
    assert (told["detail"], told["fix"]) == ("it was undone by operator-ann", done["id"])


def test_a_dry_run_and_the_same_request_again(
    client: FlaskClient, tokens: Tokens, retried: House
) -> None:
    (fix,) = fixes(retried)
    key = {"Idempotency-Key": "a key"}
    first = undo(client, tokens, fix["id"], json={"dry_run": True}, headers=key)
    again = undo(client, tokens, fix["id"], json={"dry_run": True}, headers=key)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.headers["Idempotency-Replayed"] == "true"
    is_problem(undo(client, tokens, fix["id"], headers=key), 409, "key_reused")
    is_problem(undo(client, tokens, fix["id"]), 409, "conflict")
    retried.settle()
    done = client.get(first.headers["Location"], headers=tokens["viewer"]).get_json()
    assert (done["reason"], len(done["after"])) == ("dry run", 3)
    assert retried.shop.rows(FAILED) == []


def test_the_exact_rows_are_for_admins_and_the_audit_says_who_looked(
    client: FlaskClient, tokens: Tokens, retried: House
) -> None:
    (fix,) = fixes(retried)
    place = f"/v1/fixes/{fix['id']}/images"
    for role in ("viewer", "operator"):
        is_problem(client.get(place, headers=tokens[role]), 403, "forbidden")
    told = client.get(place, headers=tokens["admin"]).get_json()
    assert (told["before"], told["after"]) == (fix["before_rows"], fix["after_rows"])
    assert told["expires_at"] > fix["ended_at"].isoformat()
    events = retried.sql("SELECT actor, details FROM audit_event WHERE after = 'read'")
    assert [(each["actor"], each["details"]["fix"]) for each in events] == [
        ("admin-ann", str(fix["id"]))
    ]
    is_problem(client.get(f"/v1/fixes/{NOBODY}/images", headers=tokens["admin"]), 404, "not_found")
    retried.sql("UPDATE fix_image SET encrypted = encrypted || 'x'")
    is_problem(client.get(place, headers=tokens["admin"]), 409, "not_possible")
    retried.sql("DELETE FROM fix_image")
    is_problem(client.get(place, headers=tokens["admin"]), 404, "not_found")


def test_who_may_not_and_what_is_not_there(
    client: FlaskClient, tokens: Tokens, retried: House
) -> None:
    (fix,) = fixes(retried)
    is_problem(undo(client, tokens, fix["id"], role="viewer"), 403, "forbidden")
    is_problem(undo(client, tokens, NOBODY), 404, "not_found")
    wrong = undo(client, tokens, fix["id"], json={"dry_run": "perhaps"})
    is_problem(wrong, 400, "wrong_parameters")
    assert len(fixes(retried)) == 1
