"""What a person on call does at a terminal: the switch, notes, tokens; each leaves its event."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import psycopg
import pytest
from click.testing import Result

from responder.domain.ids import new_id
from responder.domain.secret import Secret
from responder.web import create_app
from tests.house import House, alert

Run = Callable[..., Result]
STUCK = """
INSERT INTO shopify_sync_queue
    (inventory_item_id, action, status, retry_count, max_retries, last_error, created_at)
SELECT gen_random_uuid(), 'update', 'failed', 3, 3, 'HTTP 503', now() - interval '20 minutes'
FROM generate_series(1, 3)
"""


def events(house: House, what: str) -> list[dict[str, Any]]:
    return house.sql(
        "SELECT actor_kind, actor, after, details FROM audit_event WHERE what = %s ORDER BY id",
        what,
    )


def test_fixes_are_stopped_listed_and_started(run: Run, house: House) -> None:
    house.shop.run(STUCK)
    house.post(alert("ShopifyQueueStuck", severity="warning"))
    house.settle()
    (fix,) = json.loads(run("fixes", "list", "--json").output)["items"]
    assert (fix["option"], fix["status"], fix["dry_run"]) == ("retry_failed", "committed", False)
    assert fix["incident"] == str(house.incident().id)
    assert "automatic fixes are on (migration)" in run("fixes", "list").output
    stopped = run("fixes", "stop", "--reason", "a release", "--as", "kim")
    assert (stopped.exit_code, stopped.output) == (0, "automatic fixes are off\n")
    assert "automatic fixes are off: a release (kim)" in run("fixes", "list").output
    started = run("fixes", "start", "--reason", "it is over", "--as", "kim")
    assert (started.exit_code, started.output) == (0, "automatic fixes are on\n")
    told = [(each["actor_kind"], each["actor"], each["after"]) for each in events(house, "autofix")]
    assert told == [("person", "kim", "off"), ("person", "kim", "on")]


def test_a_runbook_that_cannot_be_loaded_does_not_keep_fixes_from_being_stopped(
    run: Run, house: House, tmp_path: Path
) -> None:
    (tmp_path / "rules" / "p2").mkdir(parents=True)
    (tmp_path / "rules" / "p2" / "broken.py").write_text("nonsense(")
    config = tmp_path / "responder.toml"
    config.write_text(f'runbook = "{tmp_path}"\n' + config.read_text())
    assert run("rules", "list").exit_code == 1
    assert run("fixes", "stop", "--reason", "that rule").exit_code == 0
    assert house.sql("SELECT enabled FROM autofix") == [{"enabled": False}]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["fixes", "list"], 0, "there are no fixes"),
        (["fixes", "stop"], 2, "--reason"),
        (["fixes", "stop", "--reason", " "], 2, "say something"),
        (["fixes", "stop", "--reason", "a\0b"], 2, "no UTF-8 text"),
        (["fixes", "stop", "--reason", "a\udcffb"], 2, "no UTF-8 text"),
        (["fixes", "start", "--reason", "our_failover"], 2, "in other words"),
        (["incidents", "note", str(new_id()), "hello"], 1, "no such incident"),
        (["incidents", "note", str(new_id()), "x" * 10_001], 2, "at most 10000 characters"),
        (["token", "list"], 0, "there are no tokens"),
        (["token", "revoke", "seven"], 2, "not a valid UUID"),
        (["token", "revoke"], 2, "name a token's ID, or --person"),
        (["token", "revoke", str(new_id()), "--person", "kim"], 2, "or --person"),
        (["token", "revoke", "--person", ""], 2, "say something"),
        (["token", "issue", "--name", "k", "--role", "viewer", "--scope", "x"], 2, "not one of"),
        (["token", "issue", "--name", "company:kim", "--role", "viewer"], 2, "issuer's people"),
        (["token", "issue", "--name", "", "--role", "viewer"], 2, "say something"),
        (["token", "issue", "--name", "kim", "--role", "viewer", "--for", "9999999d"], 2, "long"),
    ],
)
def test_what_it_says_and_its_exit_status(
    run: Run, house: House, arguments: list[str], status: int, said: str
) -> None:
    result = run(*arguments)
    assert (result.exit_code, said in result.output) == (status, True), result.output
    assert house.trail() == []


def test_a_note_is_written_and_shown(run: Run, house: House) -> None:
    house.post(alert("ShopifyQueueStuck", severity="warning"))
    house.settle()
    incident = str(house.incident().id)
    noted = run("incidents", "note", incident, "I look at it", "--as", "kim")
    assert (noted.exit_code, noted.output) == (0, "noted by kim\n")
    assert "\nNotes\n  kim: I look at it\n" in run("incidents", "show", incident).output


# Tokens


@pytest.fixture
def status_of(house: House, run: Run, tmp_path: Path) -> Callable[[str], int]:
    """What the API says to a token."""
    house.with_settings(token_keys=Secret((f"file:{tmp_path}/keys.json",)))
    client = create_app(house.services).test_client()

    def status(text: str) -> int:
        return client.get("/v1/rules", headers={"Authorization": f"Bearer {text}"}).status_code

    return status


def issued(run: Run, name: str = "kim", *more: str) -> tuple[str, str]:
    """A token's text and its id."""
    made = run("token", "issue", "--name", name, "--role", "viewer", "--as", "ann", *more)
    assert made.exit_code == 0, made.output
    text = made.output.strip()
    return text, jwt.decode(text, options={"verify_signature": False})["jti"]


def test_a_token_opens_until_it_is_revoked(
    run: Run, house: House, status_of: Callable[[str], int]
) -> None:
    (text, token_id), (other, _) = issued(run), issued(run, "lee")
    assert (status_of(text), status_of(other)) == (200, 200)
    assert run("token", "revoke", token_id, "--as", "ann").output == "revoked by ann\n"
    assert (status_of(text), status_of(other)) == (401, 200)
    assert run("token", "revoke", token_id, "--as", "bea").output == "it was revoked before\n"
    told = json.loads(run("token", "list", "--json").output)["items"]
    assert [(each["name"], each["status"], each["revoked_by"]) for each in told] == [
        ("lee", "valid", None),
        ("kim", "revoked", "ann"),
    ]
    assert text not in json.dumps(told)
    trail = events(house, "token")
    assert [(each["actor_kind"], each["actor"], each["after"]) for each in trail] == [
        ("person", "ann", "issued"),
        ("person", "ann", "issued"),
        ("person", "ann", "revoked"),
    ]
    assert trail[0]["details"].keys() == {"name", "role", "scope", "expires_at"}


def test_a_token_that_was_issued_elsewhere_can_be_revoked_too(
    run: Run, house: House, status_of: Callable[[str], int]
) -> None:
    text, token_id = issued(run)
    house.sql("DELETE FROM token")
    assert status_of(text) == 200, "what we do not know is valid"
    assert run("token", "revoke", token_id).exit_code == 0
    assert status_of(text) == 401
    (told,) = json.loads(run("token", "list", "--json").output)["items"]
    unknown = ("name", "role", "issued_at", "expires_at")
    assert [told[name] for name in unknown] == [None] * 4
    assert (told["id"], told["status"]) == (token_id, "revoked")


def test_all_that_a_person_has_is_revoked_at_once(
    run: Run, house: House, status_of: Callable[[str], int]
) -> None:
    first, second, (other, _) = issued(run)[0], issued(run)[0], issued(run, "lee")
    house.sql("DELETE FROM token WHERE id = (SELECT id FROM token WHERE name = 'kim' LIMIT 1)")
    browser = create_app(house.services).test_client()
    assert browser.post("/console/login", data={"token": first}).status_code == 303
    said = run("token", "revoke", "--person", "kim", "--as", "ann").output
    assert said.startswith("revoked by ann: 1 tokens and 1 sessions that we know of")
    assert [status_of(text) for text in (first, second, other)] == [401, 401, 200]
    assert browser.get("/console/").status_code == 303
    assert status_of(issued(run)[0]) == 401, "clocks may differ by half a minute"
    house.sql("UPDATE person_revoked SET at = at - interval '31 seconds'")
    assert status_of(issued(run)[0]) == 200, "a new one opens"
    (event,) = events(house, "person")
    assert (event["actor"], event["after"]) == ("ann", "revoked")
    assert event["details"] == {"tokens": 1, "sessions": 1}


def test_a_token_is_for_its_scope(run: Run, house: House, status_of: Callable[[str], int]) -> None:
    text, _ = issued(run, "bot", "--scope", "rules", "--scope", "metrics")
    assert status_of(text) == 200
    assert status_of(issued(run, "bot", "--scope", "metrics")[0]) == 403
    assert "rules metrics" in run("token", "list").output


def test_when_a_token_was_last_used_is_known_to_the_minute(
    run: Run, house: House, status_of: Callable[[str], int]
) -> None:
    text, token_id = issued(run)
    assert used(house) == [None]
    assert status_of(text) == 200
    (first,) = used(house)
    assert first is not None
    assert status_of(text) == 200
    assert used(house) == [first], "written once a minute"
    house.later(timedelta(seconds=61))
    with psycopg.connect(house.services.store.url) as busy:
        busy.execute("SELECT FROM responder.token WHERE id = %s FOR UPDATE", (token_id,))
        assert status_of(text) == 200, "it waits for nobody"
    assert used(house) == [first]
    assert status_of(text) == 200
    assert used(house) > [first]
    (told,) = json.loads(run("token", "list", "--json").output)["items"]
    assert told["last_used_at"] is not None


def used(house: House) -> list[Any]:
    return [row["last_used_at"] for row in house.sql("SELECT last_used_at FROM token")]


def test_a_token_whose_time_is_over_is_listed_as_such(run: Run, house: House) -> None:
    issued(run)
    house.sql("UPDATE token SET expires_at = now()")
    assert "expired" in run("token", "list").output


def test_no_token_is_issued_that_cannot_be_listed(
    run: Run, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLI_DATABASE", empty_database)
    refused = run("token", "issue", "--name", "kim", "--role", "viewer")
    assert (refused.exit_code, "run: responder migrate" in refused.output) == (1, True)
    assert refused.output.count(".") < 5, "no token is printed"
    monkeypatch.setenv("CLI_DATABASE", "postgresql://nobody:secret@127.0.0.1:1/none")
    away = run("token", "issue", "--name", "kim", "--role", "viewer")
    assert (away.exit_code, "cannot be reached" in away.output) == (1, True)
    assert "secret" not in away.output
