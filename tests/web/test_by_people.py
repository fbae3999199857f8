"""What people do through the API: fixes, notes, maintenance windows, the switch, revoked tokens."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from responder.domain.settings import RecurringWindow
from responder.pipeline.recurring import Planner
from responder.web import create_app
from responder.web.api.autofix import PATIENCE
from responder.web.tokens import TokenKeys
from tests.house import House, alert
from tests.walks import until

Tokens = Mapping[str, Mapping[str, str]]
STUCK = "ShopifyQueueStuck"
NOBODY = "00000000-0000-7000-8000-000000000000"
EXHAUSTED = """
INSERT INTO shopify_sync_queue
    (inventory_item_id, action, status, retry_count, max_retries, last_error, created_at)
SELECT gen_random_uuid(), 'update', 'failed', 3, 3, 'HTTP 503', now() - interval '20 minutes'
FROM generate_series(1, 3)
"""


def is_problem(answer: TestResponse, status: int, reason: str) -> dict[str, Any]:
    told: dict[str, Any] = answer.get_json()
    assert (answer.status_code, told["type"]) == (status, f"urn:responder:{reason}"), told
    assert answer.mimetype == "application/problem+json"
    return told


def by_people(house: House) -> list[tuple[str, str, str | None]]:
    """What people did, not what they were denied."""
    rows = house.sql(
        "SELECT actor, what, after FROM audit_event"
        " WHERE actor_kind = 'person' AND what <> 'denied' ORDER BY id"
    )
    return [(row["actor"], row["what"], row["after"]) for row in rows]


@pytest.fixture
def stuck(house: House) -> House:
    """A P0 incident with an option that the responder never takes by itself."""
    house.shop.run(EXHAUSTED)
    house.post(alert(STUCK, severity="critical"))
    house.settle()
    assert house.decision() == ("propose", "severity")
    return house


# Fixes

Ask = Callable[..., TestResponse]


@pytest.fixture
def ask(client: FlaskClient, tokens: Tokens, stuck: House) -> Ask:
    """Asks for the fix of the stuck queue; `key` is its Idempotency-Key."""

    def asked(role: str = "operator", key: str | None = None, **changes: Any) -> TestResponse:
        seen = str(stuck.incident().decision_id)
        body = {"option": "retry_failed", "seen": seen, **changes}
        headers = {**tokens[role], **({} if key is None else {"Idempotency-Key": key})}
        place = f"/v1/incidents/{stuck.incident().id}/fixes"
        return client.post(place, json=body, headers=headers)

    return asked


def test_a_fix_is_asked_for_and_followed(
    client: FlaskClient, tokens: Tokens, stuck: House, ask: Ask
) -> None:
    answer = ask()
    told = answer.get_json()
    assert (answer.status_code, told["status"], told["dry_run"]) == (202, "started", False)
    assert told["actor"] == {"kind": "person", "name": "operator-ann"}
    assert told["incident"] == str(stuck.incident().id)
    assert told["decision"] == str(stuck.incident().decision_id)
    place = answer.headers["Location"]
    assert place == f"/v1/fixes/{told['id']}"
    stuck.settle()
    done = client.get(place, headers=tokens["viewer"]).get_json()
    assert (done["status"], done["verification"], done["severity"]) == ("committed", "held", "P0")
    assert done["counts"] == {"shopify_sync_queue": 3}
    (shown,) = stuck.document()["fixes"]
    assert shown.items() <= done.items()
    assert by_people(stuck) == [
        ("operator-ann", "fix", "started"),
        ("operator-ann", "stage", "fix"),
        ("operator-ann", "fix", "recorded"),
        ("operator-ann", "fix", "committed"),
    ]


def test_a_dry_run(client: FlaskClient, tokens: Tokens, stuck: House, ask: Ask) -> None:
    place = ask(dry_run=True).headers["Location"]
    stuck.settle()
    done = client.get(place, headers=tokens["viewer"]).get_json()
    assert (done["status"], done["reason"], done["dry_run"]) == ("rolled_back", "dry run", True)
    assert done["counts"] == {"shopify_sync_queue": 3}
    assert len(done["before"]) == len(done["after"]) == 3
    failed = "SELECT count(*) FROM shopify_sync_queue WHERE status = 'failed'"
    assert stuck.shop.rows(failed) == [3]


def test_the_same_request_again(stuck: House, ask: Ask) -> None:
    first = ask(key="a key")
    again = ask(key="a key")
    assert (first.status_code, again.status_code) == (202, 200)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert again.get_json() == first.get_json()
    is_problem(ask(key="a key", dry_run=True), 409, "key_reused")
    is_problem(ask(role="admin", key="a key"), 409, "conflict")
    assert len(stuck.sql("SELECT id FROM fix")) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "schlüssel"])
def test_a_key_that_is_none(ask: Ask, key: str) -> None:
    told = is_problem(ask(key=key), 400, "wrong_parameters")
    assert list(told["errors"]) == ["Idempotency-Key"]


def test_a_stale_look_is_told_the_difference(stuck: House, ask: Ask) -> None:
    told = is_problem(ask(seen=None), 409, "stale")
    difference = told["difference"]
    assert difference["seen"] is None
    assert difference["now"]["id"] == str(stuck.incident().decision_id)
    assert difference["now"]["option"] == "retry_failed"
    assert set(difference["differs"]) == {"action", "reason", "option", "sentence"}


@pytest.mark.parametrize(
    ("role", "changes", "status", "reason"),
    [
        ("viewer", {}, 403, "forbidden"),
        ("operator", {"option": "clear_queued"}, 403, "forbidden"),
        ("admin", {"option": "clear_queued"}, 409, "not_possible"),
        ("admin", {"option": "nobody"}, 409, "not_possible"),
        ("admin", {"parameters": {"a": "b"}}, 400, "wrong_parameters"),
        ("admin", {"parameters": {"a": 7}}, 400, "wrong_parameters"),
        ("admin", {"parameters": []}, 400, "wrong_parameters"),
        ("admin", {"parameters": {"a": "b" * 1001}}, 400, "wrong_parameters"),
        ("admin", {"dry_run": "yes"}, 400, "wrong_parameters"),
        ("admin", {"dry_run": 1}, 400, "wrong_parameters"),
        ("admin", {"seen": "yesterday"}, 400, "wrong_parameters"),
        ("admin", {"option": ""}, 400, "wrong_parameters"),
        ("admin", {"option": None}, 400, "wrong_parameters"),
        ("admin", {"force": True}, 400, "wrong_parameters"),
    ],
)
def test_what_is_not_begun(
    stuck: House, ask: Ask, role: str, changes: Mapping[str, Any], status: int, reason: str
) -> None:
    before = stuck.trail()
    is_problem(ask(role=role, **changes), status, reason)
    denied = [("denied", None)] if status == 403 else []
    assert (stuck.sql("SELECT id FROM fix"), sorted(stuck.trail(), key=str)) == (
        [],
        sorted([*before, *denied], key=str),
    )


def test_what_was_seen_must_be_said(client: FlaskClient, tokens: Tokens, stuck: House) -> None:
    place = f"/v1/incidents/{stuck.incident().id}/fixes"
    answer = client.post(place, json={"option": "retry_failed"}, headers=tokens["operator"])
    assert list(is_problem(answer, 400, "wrong_parameters")["errors"]) == ["seen"]


@pytest.fixture
def colleague(house: House) -> House:
    """Somebody new has the role of staff, and no store."""
    house.shop.run(
        "INSERT INTO auth.users (email, confirmed_at) VALUES ('new@example.com', now());"
        " INSERT INTO user_roles (user_id, role)"
        " SELECT id, 'staff' FROM auth.users WHERE email = 'new@example.com'"
    )
    house.post(alert("UserCannotLogIn", email="new@example.com"))
    house.settle()
    return house


STORES = "SELECT store_key FROM user_shopify_assignments ORDER BY store_key"


def test_what_an_option_asks_for_is_told_and_bound(
    client: FlaskClient, tokens: Tokens, colleague: House
) -> None:
    place = f"/v1/incidents/{colleague.incident().id}"
    document = client.get(place, headers=tokens["viewer"]).get_json()
    (offered,) = [each for each in document["options"] if each["offered"]]
    assert (offered["name"], offered["role"]) == ("assign_store", "operator")
    assert set(offered["asks"]) == {"store_key", "location"}
    hostile = "x'); DROP TABLE system_logs; --"
    body = {
        "option": "assign_store",
        "seen": document["decision"]["id"],
        "parameters": {"store_key": hostile, "location": "80140001"},
    }
    answer = client.post(f"{place}/fixes", json=body, headers=tokens["operator"])
    assert answer.status_code == 202
    colleague.settle()
    done = client.get(answer.headers["Location"], headers=tokens["viewer"]).get_json()
    assert (done["status"], done["verification"]) == ("committed", "held")
    assert colleague.shop.rows(STORES).count(hostile) == 1
    assert colleague.shop.rows("SELECT count(*) > 0 FROM system_logs") == [True]
    assert by_people(colleague)[0] == ("operator-ann", "fix", "started")


def test_what_an_option_asks_for_is_needed(
    client: FlaskClient, tokens: Tokens, colleague: House
) -> None:
    before = colleague.shop.rows(STORES)
    place = f"/v1/incidents/{colleague.incident().id}/fixes"
    body = {
        "option": "assign_store",
        "seen": str(colleague.incident().decision_id),
        "parameters": {"store_key": "harbour"},
    }
    answer = client.post(place, json=body, headers=tokens["operator"])
    told = is_problem(answer, 400, "wrong_parameters")
    assert list(told["errors"]["parameters"]) == ["location"]
    assert colleague.shop.rows(STORES) == before


@pytest.mark.parametrize("claims", [True, False])
def test_an_option_that_needs_a_user_of_the_target(
    tokens: Tokens, stuck: House, claims: bool
) -> None:
    """The shop's own function asks who calls; the settings say as whom."""
    failed = "SELECT count(*) FROM shopify_sync_queue WHERE status = 'failed'"
    [admin] = stuck.shop.rows("SELECT id::text FROM auth.users WHERE email LIKE 'admin-01@%'")
    if claims:
        targets = stuck.services.settings.targets
        known = replace(targets["shop_eu"], claims={"sub": admin})
        stuck.with_settings(targets={"shop_eu": known})
    client = create_app(stuck.services).test_client()
    body = {"option": "clear_failed", "seen": str(stuck.incident().decision_id)}
    place = f"/v1/incidents/{stuck.incident().id}/fixes"
    answer = client.post(place, json=body, headers=tokens["operator"])
    if not claims:
        assert "do not say as whom" in is_problem(answer, 409, "not_possible")["detail"]
        assert stuck.shop.rows(failed) == [3]
        return
    assert answer.status_code == 202
    stuck.settle()
    done = client.get(answer.headers["Location"], headers=tokens["viewer"]).get_json()
    assert (done["status"], done["verification"]) == ("committed", "held")
    assert stuck.shop.rows(failed) == [0]


def test_a_command_is_told_not_run(client: FlaskClient, tokens: Tokens, house: House) -> None:
    house.post(alert("DatabaseDown"))
    house.settle()
    body = {"option": "look_at_provider", "seen": str(house.incident().decision_id)}
    place = f"/v1/incidents/{house.incident().id}/fixes"
    answer = client.post(place, json=body, headers=tokens["operator"])
    assert is_problem(answer, 409, "not_possible")["run"].startswith("curl")


@pytest.mark.parametrize(
    "method, path", [("post", "/v1/incidents/{}/fixes"), ("get", "/v1/fixes/{}")]
)
def test_what_is_not_there(client: FlaskClient, tokens: Tokens, method: str, path: str) -> None:
    body = {"json": {"option": "x", "seen": None}} if method == "post" else {}
    answer = client.open(path.format(NOBODY), method=method, headers=tokens["operator"], **body)
    is_problem(answer, 404, "not_found")


# Notes


def test_a_note(client: FlaskClient, tokens: Tokens, stuck: House) -> None:
    place = f"/v1/incidents/{stuck.incident().id}/notes"
    answer = client.post(place, json={"text": "I look\0 at it"}, headers=tokens["operator"])
    assert answer.status_code == 200
    (note,) = answer.get_json()["notes"]
    assert (note["actor"], note["text"]) == ("operator-ann", "I look\ufffd at it")
    assert by_people(stuck) == [("operator-ann", "note", "written")]
    is_problem(client.post(place, json={"text": "x"}, headers=tokens["viewer"]), 403, "forbidden")


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": "x" * 10_001}, {"text": 7}, [], None])
def test_what_is_no_note(client: FlaskClient, tokens: Tokens, stuck: House, body: Any) -> None:
    place = f"/v1/incidents/{stuck.incident().id}/notes"
    answer = client.post(place, json=body, headers=tokens["operator"])
    is_problem(answer, 400, "wrong_parameters")
    assert stuck.document()["notes"] == []


def test_a_note_about_nothing(client: FlaskClient, tokens: Tokens) -> None:
    place = f"/v1/incidents/{NOBODY}/notes"
    is_problem(client.post(place, json={"text": "x"}, headers=tokens["admin"]), 404, "not_found")


# Maintenance


def announce(client: FlaskClient, headers: Mapping[str, str], **changes: Any) -> TestResponse:
    body = {"reason": "a release", "matchers": ['env="production"'], "duration": "1h", **changes}
    kept = {name: value for name, value in body.items() if value is not ...}
    return client.post("/v1/maintenance", json=kept, headers=headers)


def test_a_window_is_announced_listed_and_ended(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    first = announce(client, tokens["operator"], diagnose=False)
    assert first.status_code == 201
    told = first.get_json()
    assert (told["page"], told["diagnose"], told["fix"]) == (True, False, False)
    assert (told["actor"], told["reason"], told["in_force"]) == ("operator-ann", "a release", True)
    second = announce(client, tokens["operator"], matchers=[]).get_json()
    place = f"/v1/maintenance/{told['id']}"
    page = client.get("/v1/maintenance?limit=1", headers=tokens["viewer"]).get_json()
    assert [item["id"] for item in page["items"]] == [second["id"]]
    rest = client.get(f"/v1/maintenance?cursor={page['next']}", headers=tokens["viewer"]).get_json()
    assert (rest["items"], rest["next"]) == ([told], None)
    is_problem(client.delete(place, headers=tokens["viewer"]), 403, "forbidden")
    for _ in range(2):
        ended = client.delete(place, headers=tokens["operator"])
        assert ended.status_code == 200
        assert (ended.get_json()["in_force"], ended.get_json()["ended_by"]) == (
            False,
            "operator-ann",
        )
    assert client.get(place, headers=tokens["viewer"]).get_json() == ended.get_json()
    assert [after for _, what, after in by_people(house) if what == "maintenance"] == [
        "announced",
        "announced",
        "ended",
    ]


def test_a_matcher_that_is_none_is_refused_with_the_reason(
    client: FlaskClient, tokens: Tokens
) -> None:
    refused = announce(client, tokens["operator"], matchers=['env="production"', "env"])
    told = is_problem(refused, 400, "wrong_parameters")
    assert "not a matcher: 'env'" in told["errors"]["matchers"]["1"][0]


def test_an_item_may_be_its_text_alone(client: FlaskClient, tokens: Tokens) -> None:
    """As in the settings."""
    made = announce(client, tokens["operator"], before=["Take a snapshot", {"item": "Tell them"}])
    items = made.get_json()["checklist"]
    assert [each["item"] for each in items] == ["Take a snapshot", "Tell them"]
    for wrong in ("", " ", "x" * 501, 7, None, ["x"]):
        refused = announce(client, tokens["operator"], before=["Take a snapshot", wrong])
        assert "1" in is_problem(refused, 400, "wrong_parameters")["errors"]["before"]


def test_a_window_keeps_fixes_off(client: FlaskClient, tokens: Tokens, house: House) -> None:
    house.shop.run(EXHAUSTED)
    assert announce(client, tokens["operator"]).status_code == 201
    house.post(alert(STUCK, severity="warning"))
    house.settle()
    assert house.decision() == ("propose", "window")


def moment(**ago: float) -> str:
    return (datetime.now(UTC) + timedelta(**ago)).isoformat()


@pytest.mark.parametrize(
    ("changes", "wrong", "status"),
    [
        ({"reason": " "}, "reason", 400),
        ({"reason": ...}, "reason", 400),
        ({"matchers": ...}, "matchers", 400),
        ({"matchers": ["env"]}, "matchers", 400),
        ({"matchers": ['env=~"("']}, "matchers", 400),
        ({"matchers": ['env=~"a{99999999999}"']}, "matchers", 400),
        ({"matchers": [7]}, "matchers", 400),
        ({"matchers": "env"}, "matchers", 400),
        ({"duration": ...}, "ends_at", 409),
        ({"duration": "an hour"}, "duration", 400),
        ({"duration": "99999999999999999999d"}, "duration", 400),
        ({"duration": "31d"}, "duration", 409),
        ({"duration": "0s"}, "ends_at", 409),
        ({"ends_at": moment(hours=1)}, "ends_at", 409),
        ({"duration": ..., "ends_at": moment(hours=-1)}, "ends_at", 409),
        ({"duration": ..., "ends_at": moment(days=32)}, "ends_at", 409),
        ({"duration": ..., "ends_at": "2026-01-01T00:00:00"}, "ends_at", 400),
        ({"duration": ..., "ends_at": "9999-12-31T23:59:59-14:00"}, "ends_at", 409),
        ({"starts_at": "0001-01-01T00:00:00+14:00"}, "ends_at", 409),
        ({"starts_at": "9999-12-31T23:59:59-14:00"}, "starts_at", 409),
        ({"starts_at": "soon"}, "starts_at", 400),
        ({"fix": True}, "fix", 409),
        ({"fix": "off"}, "fix", 400),
        ({"until": "tomorrow"}, "until", 400),
    ],
)
def test_what_is_no_window(
    client: FlaskClient,
    tokens: Tokens,
    house: House,
    changes: Mapping[str, Any],
    wrong: str,
    status: int,
) -> None:
    reason = "wrong_parameters" if status == 400 else "not_possible"
    told = is_problem(announce(client, tokens["operator"], **changes), status, reason)
    assert list(told["errors"]) == [wrong], told
    assert (house.sql("SELECT id FROM maintenance_window"), house.trail()) == ([], [])


SNAPSHOT = [{"item": "Take a snapshot"}]


def test_a_checklist_is_ticked_by_name(client: FlaskClient, tokens: Tokens, house: House) -> None:
    after = [{"item": "Smoke test", "check": "database_down.server", "expect": "rows"}]
    made = announce(client, tokens["operator"], before=SNAPSHOT, after=after, page=False)
    told = made.get_json()
    assert (told["state"], told["in_force"], told["ready_at"]) == ("waiting", False, None)
    assert [(each["position"], each["phase"]) for each in told["checklist"]] == [
        (1, "before"),
        (2, "after"),
    ]
    place = f"/v1/maintenance/{told['id']}/checklist"
    done = {"json": {"done": True}, "headers": tokens["operator"]}
    is_problem(client.put(f"{place}/2", **done), 409, "not_possible")
    is_problem(client.put(f"{place}/3", **done), 404, "not_found")
    for wrong in ({}, {"done": "yes"}, {"done": 1}):
        answer = client.put(f"{place}/1", json=wrong, headers=tokens["operator"])
        is_problem(answer, 400, "wrong_parameters")
    denied = client.put(f"{place}/1", json={"done": True}, headers=tokens["viewer"])
    is_problem(denied, 403, "forbidden")
    ticked = client.put(f"{place}/1", **done)
    assert ticked.status_code == 200
    told = ticked.get_json()
    first = told["checklist"][0]
    assert (told["state"], told["in_force"]) == ("in_force", True)
    assert (first["ticked_by"], first["ticked_kind"]) == ("operator-ann", "person")
    assert first["ticked_at"] is not None
    undone = client.put(f"{place}/1", json={"done": False}, headers=tokens["operator"])
    is_problem(undone, 409, "not_possible")
    assert ("operator-ann", "maintenance", "ticked") in by_people(house)


@pytest.mark.parametrize(
    ("changes", "wrong", "status"),
    [
        ({"before": [{"item": " "}]}, "before", 400),
        ({"before": [{"item": "x", "colour": "red"}]}, "before", 400),
        ({"before": "x"}, "before", 400),
        ({"before": SNAPSHOT * 51}, "before", 400),
        ({"after": [{"item": "x", "check": "nothing.here"}]}, "after", 409),
        ({"after": [{"item": "x", "check": "database_down.server", "target": "t"}]}, "after", 409),
        ({"after": [{"item": "x", "expect": "luck"}]}, "after", 400),
        ({"watch": "2d"}, "watch", 409),
    ],
)
def test_what_is_no_checklist(
    client: FlaskClient, tokens: Tokens, changes: Mapping[str, Any], wrong: str, status: int
) -> None:
    reason = "wrong_parameters" if status == 400 else "not_possible"
    told = is_problem(announce(client, tokens["operator"], **changes), status, reason)
    assert list(told["errors"]) == [wrong]


def test_what_comes_again_is_shown(house: House, tokens: Tokens) -> None:
    weekly = RecurringWindow(
        *("weekly", "Database maintenance", datetime(2026, 1, 4, 2), "FREQ=WEEKLY;BYDAY=SU"),
        *(timedelta(hours=2), ()),
    )
    house.with_settings(windows=(weekly,))
    client = create_app(house.services).test_client()
    told = client.get("/v1/maintenance/coming", headers=tokens["viewer"]).get_json()
    assert len(told["items"]) in (14, 15)
    assert {each["name"] for each in told["items"]} == {"weekly"}
    assert told["items"][0]["starts_at"].endswith("02:00:00+00:00")
    Planner()(house.services)
    (row,) = client.get("/v1/maintenance", headers=tokens["viewer"]).get_json()["items"]
    assert (row["name"], row["state"]) == ("weekly", "announced")
    assert row["starts_at"] == told["items"][0]["starts_at"]


@pytest.mark.parametrize("method", ["get", "delete"])
def test_a_window_that_is_not_there(client: FlaskClient, tokens: Tokens, method: str) -> None:
    answer = client.open(f"/v1/maintenance/{NOBODY}", method=method, headers=tokens["admin"])
    is_problem(answer, 404, "not_found")


# The switch


def test_who_may_turn_the_switch(client: FlaskClient, tokens: Tokens, house: House) -> None:
    def put(role: str, enabled: bool) -> TestResponse:
        body = {"enabled": enabled, "reason": "a release"}
        return client.put("/v1/autofix", json=body, headers=tokens[role])

    before = client.get("/v1/autofix", headers=tokens["viewer"]).get_json()
    assert (before["enabled"], before["recorded"]) == (True, [])
    is_problem(put("viewer", False), 403, "forbidden")
    off = put("operator", False)
    assert (off.status_code, off.get_json()["enabled"]) == (200, False)
    assert (off.get_json()["actor"], off.get_json()["reason"]) == ("operator-ann", "a release")
    is_problem(put("operator", True), 403, "forbidden")
    on = put("admin", True)
    assert (on.status_code, on.get_json()["enabled"]) == (200, True)
    assert by_people(house) == [("operator-ann", "autofix", "off"), ("admin-ann", "autofix", "on")]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"enabled": False}, "reason"),
        ({"enabled": False, "reason": ""}, "reason"),
        ({"enabled": False, "reason": "our_failover"}, "reason"),
        ({"enabled": "false", "reason": "x"}, "enabled"),
        ({"enabled": None, "reason": "x"}, "enabled"),
        ({"reason": "x"}, "enabled"),
    ],
)
def test_what_does_not_turn_the_switch(
    client: FlaskClient, tokens: Tokens, house: House, body: Mapping[str, Any], wrong: str
) -> None:
    answer = client.put("/v1/autofix", json=body, headers=tokens["admin"])
    assert list(is_problem(answer, 400, "wrong_parameters")["errors"]) == [wrong]
    assert house.trail() == []


@pytest.mark.parametrize("settled", [True, False])
def test_off_waits_for_what_was_decided_before(
    client: FlaskClient, tokens: Tokens, stuck: House, ask: Ask, settled: bool
) -> None:
    fix_id = ask().get_json()["id"]
    stuck.sql("UPDATE fix SET status = 'recorded'")
    client.application.config[PATIENCE] = 20.0 if settled else 0.3
    got: list[TestResponse] = []
    body = {"enabled": False, "reason": "stop"}

    def put() -> None:
        got.append(client.put("/v1/autofix", json=body, headers=tokens["operator"]))

    thread = Thread(target=put)
    thread.start()
    until(lambda: stuck.sql("SELECT enabled FROM autofix") == [{"enabled": False}])
    if settled:
        assert got == []
        stuck.sql("UPDATE fix SET status = 'committed'")
    thread.join(timeout=30)
    (answer,) = got
    assert answer.status_code == (200 if settled else 202)
    assert answer.get_json()["recorded"] == ([] if settled else [fix_id])
    assert answer.get_json()["enabled"] is False


# Tokens


def test_a_revoked_token_opens_nothing_on_any_host(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    other_host = create_app(house.services).test_client()
    places = ["/v1/incidents", "/v1/autofix", "/metrics"]
    for place in places:
        assert other_host.get(place, headers=tokens["admin"]).status_code == 200
    house.sql(
        "INSERT INTO token (id, name, role, issued_at, expires_at, revoked_at)"
        " VALUES (%s, '', 'viewer', now(), '9999-01-01', now())",
        claimed(client, tokens["admin"]),
    )
    for each in (client, other_host):
        for place in places:
            is_problem(each.get(place, headers=tokens["admin"]), 401, "unauthenticated")
        assert each.get("/v1/incidents", headers=tokens["viewer"]).status_code == 200


def claimed(client: FlaskClient, headers: Mapping[str, str]) -> str:
    issuers = client.application.extensions["responder.issuers"]
    return str(issuers.caller(headers["Authorization"].removeprefix("Bearer ")).token_id)


def test_no_token_is_taken_on_trust_when_our_database_is_away(
    client: FlaskClient, tokens: Tokens, house: House
) -> None:
    house.services.store.close()
    is_problem(client.get("/v1/rules", headers=tokens["admin"]), 503, "unavailable")
    is_problem(client.get("/v1/rules"), 401, "unauthenticated")


def test_a_token_whose_id_is_none_of_ours(client: FlaskClient, house: House) -> None:
    keys = TokenKeys(house.services.settings.token_keys)
    odd: Any = "seven"
    text = keys.issue("ann", "admin", datetime.now(UTC), timedelta(hours=1), odd)
    answer = client.get("/v1/rules", headers={"Authorization": f"Bearer {text}"})
    is_problem(answer, 401, "unauthenticated")
