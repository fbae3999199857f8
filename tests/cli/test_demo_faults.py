"""What the demo's responder does, seen from outside; shop and stand-in are asked directly."""

import base64
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import requests

from responder.cli.demo.alerts import GrafanaAlarm, MonitorAlarm, PagerDutyIncident
from responder.domain.shipped import shipped
from responder.domain.statements import parse_statements
from tests.demo import World
from tests.site import eventually

PAGE_SECONDS = 3.0
FAIL = """
INSERT INTO shopify_sync_queue (inventory_item_id, status, retry_count, last_error, created_at)
SELECT id, 'failed', 3, 'HTTP 503 Service Unavailable', now() - interval '20 minutes'
FROM intake_items LIMIT %s RETURNING id
"""
SCENES = parse_statements((shipped("sql") / "demo" / "scenes.sql").read_text(), "scenes.sql")


def test_a_fault_is_repaired_at_p2_and_offered_at_p0(world: World) -> None:
    first = world.shop(FAIL, 7)
    incident = world.post(severity="warning")
    document = world.incident_when(
        incident,
        lambda found: (
            found["incident"]["stage"] == "watch"
            and [fix["verification"] for fix in found["fixes"]] == ["held"]
        ),
    )
    assert [finding["name"] for finding in document["findings"]] == ["exhausted"]
    assert document["decision"]["reason"] == "allowed"
    assert {row["id"] for row in document["fixes"][0]["before"]} >= set(map(str, first))
    trail = world.trail(incident)
    steps = [("opened", "open"), ("decision", "fix"), ("fix", "started"), ("fix", "recorded")]
    steps += [("fix", "committed"), ("verification", "held"), ("stage", "watch")]
    assert [step for step in trail if step in steps] == steps
    eventually(lambda: world.statuses(first) == {"completed"})

    second, posted = world.shop(FAIL, 5), datetime.now(UTC)
    assert world.post(severity="critical") == incident
    document = world.incident_when(
        incident, lambda found: found["decision"]["reason"] == "severity"
    )
    assert document["incident"]["severity"] == "P0"
    key = document["incident"]["dedup_key"]
    pages = eventually(
        lambda: [page for page in world.received()["pagerduty"] if page["dedup_key"] == key]
    )
    assert [page["event_action"] for page in pages] == ["trigger"]
    waited = datetime.fromisoformat(pages[0]["at"]) - posted
    assert waited.total_seconds() < PAGE_SECONDS
    assert "5 items failed" in pages[0]["payload"]["summary"]
    (option,) = [each for each in document["options"] if each["name"] == "retry_failed"]
    assert option["offered"] and not option["allowed"] and option["why_not"] == "severity"
    assert len(document["fixes"]) == 1
    assert world.statuses(second) == {"failed"}


def test_a_staging_alert_changes_staging_alone(world: World) -> None:
    production = world.shop(FAIL, 3)
    staged = world.shop(FAIL, 4, name="shop_staging")
    incident = world.post(severity="warning", env="staging")
    document = world.incident_when(incident, lambda found: found["fixes"])
    assert document["incident"]["target"] == "shop_staging"
    eventually(lambda: world.statuses(staged, "shop_staging") == {"completed"})
    assert world.statuses(production) == {"failed"}


def test_grafana_tells_the_same_fault_and_joins(world: World) -> None:
    incident = world.post(severity="critical")
    labels = {"alertname": "ShopifyQueueStuck", "env": "production", "severity": "warning"}
    body = GrafanaAlarm(labels, "The queue is stuck", datetime.now(UTC)).firing()
    assert world.incident_of(world.tell("grafana", body)) == incident
    assert world.get(f"/v1/incidents/{incident}")["incident"]["severity"] == "P0"


def test_a_person_tries_an_option_and_then_runs_it(world: World) -> None:
    items = world.shop(FAIL, 6)
    incident = world.post(severity="critical")
    document = world.incident_when(
        incident, lambda found: (found["decision"] or {}).get("reason") == "severity"
    )
    asked = {"option": "retry_failed", "seen": document["decision"]["id"]}
    stale = world.ask_for_fix(incident, option="retry_failed", seen=str(uuid4()))
    assert (stale.status_code, stale.json()["type"]) == (409, "urn:responder:stale")

    tried = world.ask_for_fix(incident, dry_run=True, **asked)
    assert tried.status_code == 202, tried.text
    fix = world.fix_when(tried.json()["id"], lambda found: found["status"] == "rolled_back")
    assert fix["dry_run"] and fix["counts"]["shopify_sync_queue"] >= 6
    assert world.statuses(items) == {"failed"}

    done = world.ask_for_fix(incident, **asked)
    fix = world.fix_when(done.json()["id"], lambda found: found["verification"] == "held")
    assert (fix["status"], fix["actor"]["kind"]) == ("committed", "person")
    eventually(lambda: world.statuses(items) == {"completed"})


def test_a_breaker_is_paged_and_looked_at_again(world: World) -> None:
    world.shop(SCENES["open_breaker"].sql + " RETURNING id")
    labels = {"alertname": "CircuitBreakerOpen", "function": "catalog-sync-justtcg"}
    posted = datetime.now(UTC)
    incident = world.post(severity="error", **labels)
    document = world.incident_when(incident, lambda found: found["decision"])
    assert (document["decision"]["action"], document["decision"]["reason"]) == (
        "wait",
        "look_again",
    )
    assert document["incident"]["severity"] == "P1"
    assert [each["name"] for each in document["findings"]] == ["opened"]
    (endpoint,) = [each for each in document["diagnosis"] if each["name"] == "endpoint"]
    assert endpoint["rows"][0]["status"] == 200
    (redeploy,) = [each for each in document["options"] if each["name"] == "redeploy"]
    assert redeploy["offered"] and redeploy["run"].startswith("supabase functions deploy")
    (page,) = eventually(lambda: world.pages(incident))
    waited = datetime.fromisoformat(page["at"]) - posted
    assert waited.total_seconds() < PAGE_SECONDS
    assert "breaker of catalog-sync-justtcg" in page["payload"]["summary"]
    assert ("decision", "wait") in world.trail(incident)


def test_the_health_of_a_shop_can_be_made_bad(world: World) -> None:
    door = world.told["health"]["shop_staging"]
    assert requests.post(door, params={"status": 503}, timeout=10).status_code == 200
    assert requests.head(door, timeout=10).status_code == 503
    labels = {"alertname": "CircuitBreakerOpen", "function": "other", "env": "staging"}
    incident = world.post(severity="error", **labels)
    document = world.incident_when(incident, lambda found: found["decision"])
    assert "endpoint_down" in [each["name"] for each in document["findings"]]


def test_slow_queries_are_told_by_a_monitor_and_wake_nobody(world: World) -> None:
    with psycopg.connect(world.told["databases"]["shop"], autocommit=True) as connection:
        for scene in ("slow_statements", "tell_statistics"):
            connection.execute(SCENES[scene].sql, {})
    body = MonitorAlarm("DatabaseSlow", "Pages are slow", "sluggish", datetime.now(UTC)).firing()
    forged = "whsec_" + base64.b64encode(bytes(32)).decode()
    assert world.tell("monitor", body, forged).status_code == 401
    incident = world.incident_of(world.tell("monitor", body))
    document = world.incident_when(incident, lambda found: found["decision"])
    assert document["incident"]["severity"] == "P3"
    names = [each["name"] for each in document["findings"]]
    assert names[:2] == ["slow_statements", "missing_index"]
    offered = {each["name"]: each["run"] for each in document["options"] if each["offered"]}
    assert offered["index_sku"] == ""
    assert document["decision"]["reason"] == "not_automatic"
    assert world.pages(incident) == []


def test_an_incident_of_pagerduty_is_answered_there(world: World) -> None:
    theirs, title = "QTHEIRS0000001", "[staging] DatabaseDown: no answer"
    details = {"severity": "critical", "body": {"details": {"host": "staging-db"}}}
    known = {"id": theirs, "alerts": [{"alert_key": "monitor-7", **details}]}
    requests.post(world.told["stand_in"]["known"], json=known, timeout=10).raise_for_status()
    body = PagerDutyIncident(theirs, title, "P1", datetime.now(UTC)).firing()
    oldest = world.told["sources"]["pagerduty"]["secrets"][-1]
    incident = world.incident_of(world.tell("pagerduty", body, oldest))
    document = world.incident_when(incident, lambda found: found["decision"])
    told = document["incident"]
    assert (told["rule"], told["severity"], told["target"]) == (
        "database_down",
        "P0",
        "shop_staging",
    )
    notes = eventually(
        lambda: [note for note in world.received()["notes"] if note["incident"] == theirs]
    )
    assert title in notes[0]["content"]
    assert world.pages(incident) == []


def test_a_pager_that_hangs_has_a_fallback(world: World) -> None:
    eventually(lambda: all(each["status"] != "due" for each in messages(world)))
    planned = {"path": "/v2/enqueue", "fault": "hang", "times": 1}
    requests.post(world.told["stand_in"]["faults"], json=planned, timeout=10).raise_for_status()
    posted = datetime.now(UTC)
    incident = world.post(alertname="PaymentsFail", severity="critical")
    on_call = urlsplit(world.told["receivers"]["slack_on_call"]["secret"]).path
    (woken,) = eventually(
        lambda: [each for each in world.received()["slack"] if each["path"] == on_call]
    )
    waited = datetime.fromisoformat(woken["at"]) - posted
    assert waited.total_seconds() < PAGE_SECONDS
    eventually(lambda: len(world.pages(incident)) == 1)
    assert ("notification", "fallback") in world.trail(incident)


def messages(world: World) -> list[Any]:
    """All messages to the pager, of all incidents."""
    incidents = world.get("/v1/incidents?limit=200")["items"]
    return [
        each
        for incident in incidents
        for each in world.get(f"/v1/incidents/{incident['id']}")["notifications"]
        if each["receiver"] == "pagerduty"
    ]


def test_the_webhook_is_told_the_document_and_its_end(world: World) -> None:
    labels = {"alertname": "NobodyKnows", "severity": "info"}
    incident = world.post(**labels)
    world.incident_when(incident, lambda found: found["decision"])
    assert world.post("resolved", **labels) == incident

    def told() -> list[Any]:
        heard = [
            event
            for event in world.received()["webhook"]
            if event["data"]["incident"]["id"] == incident
        ]
        return heard if heard and heard[-1]["type"] == "incident.resolved" else []

    heard = eventually(told)
    assert heard[0]["type"] == "incident.opened"
    assert heard[-1]["data"]["decision"]["reason"] == "no_rule"
    assert world.received()["refused"] == []
