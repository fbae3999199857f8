"""Processes and servers are killed at the worst moment; what was promised holds all the same."""

import os
import signal
import threading
import time
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
import requests

from responder.web.problems import RETRY_AFTER
from tests.house import alert
from tests.site import Site, eventually, kill, restart

EXHAUSTED = """
INSERT INTO shopify_sync_queue (inventory_item_id, status, retry_count, last_error, created_at)
SELECT id, 'failed', 3, 'HTTP 503 Service Unavailable', now() - interval '20 minutes'
FROM intake_items ORDER BY sku LIMIT 7
"""


def starts(site: Site) -> int:
    """How often a worker began to take jobs."""
    return site.work.log.read_text().count("worker is ready")


def start_worker(site: Site) -> None:
    before = starts(site)
    restart(site.work, lambda: starts(site) > before)


def diagnosing(shop: psycopg.Connection[Any]) -> bool:
    row = shop.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'responder_reading'"
        " AND wait_event_type = 'Lock'"
    ).fetchone()
    return row is not None and row[0] > 0


def test_a_worker_that_is_killed_in_a_diagnosis_is_replaced(site: Site) -> None:
    shop_url = site.world.shops["shop"].url
    with psycopg.connect(shop_url) as shop:
        shop.execute(EXHAUSTED)
    with psycopg.connect(shop_url) as holder, psycopg.connect(shop_url, autocommit=True) as shop:
        holder.execute("LOCK TABLE shopify_sync_queue IN ACCESS EXCLUSIVE MODE")
        site.post(alert("ShopifyQueueStuck", severity="warning"))
        eventually(lambda: diagnosing(shop))
        kill(site.work)
        (killed,) = site.sql("SELECT now() AS at")
        holder.rollback()
    start_worker(site)
    eventually(lambda: (site.incident("shopify_queue_stuck") or {}).get("stage") == "watch")
    incident = site.incident("shopify_queue_stuck")
    assert incident is not None
    events = site.get(f"/v1/incidents/{incident['id']}/events")["items"]
    diagnosed = next(event for event in events if event["after"] == "plan")
    assert datetime.fromisoformat(diagnosed["at"]) - killed["at"] < timedelta(seconds=15)
    assert [event["after"] for event in events if event["what"] == "fix"] == [
        "started",
        "recorded",
        "committed",
    ]
    assert site.gap() == (0, 0)


def building(shop: psycopg.Connection[Any]) -> bool:
    row = shop.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'responder_direct'"
        " AND query LIKE 'CREATE INDEX%' AND state = 'active'"
    ).fetchone()
    return row is not None and row[0] > 0


def test_a_worker_that_is_killed_in_the_middle_of_an_index_leaves_none(site: Site) -> None:
    """No transaction can hold it: the server ends it, and the next worker cleans up."""
    site.post(alert("SlowQueries", severity="info"))
    incident = eventually(
        lambda: (found := site.incident("slow_queries")) and found["stage"] == "watch" and found
    )
    shown = site.get(f"/v1/incidents/{incident['id']}")
    shop_url = site.world.shops["shop"].url
    with psycopg.connect(shop_url) as holder, psycopg.connect(shop_url, autocommit=True) as shop:
        holder.execute("LOCK TABLE intake_items IN ROW EXCLUSIVE MODE")
        asked = requests.post(
            f"{site.world.url}/v1/incidents/{incident['id']}/fixes",
            json={"option": "index_sku", "seen": shown["decision"]["id"]},
            headers={"Authorization": f"Bearer {site.world.tokens['operator']}"},
            timeout=30,
        )
        assert asked.status_code == 202, asked.text
        eventually(lambda: building(shop))
        kill(site.work)
        killed = time.monotonic()
        eventually(lambda: not building(shop))
        assert time.monotonic() - killed < 15, "it would wait for its lock no longer than 30 s"
        assert site.get(f"/v1/fixes/{asked.json()['id']}")["status"] == "recorded"
    start_worker(site)
    fix = eventually(
        lambda: (found := site.get(f"/v1/fixes/{asked.json()['id']}"))["ended_at"] and found
    )
    assert fix["status"] == "rolled_back"
    assert fix["reason"] == "interrupted; what it left half done is cleaned up"
    with psycopg.connect(shop_url) as shop:
        assert shop.execute("SELECT to_regclass('idx_intake_items_sku')").fetchone() == (None,)
    assert site.gap() == (0, 0)


def test_without_any_worker_the_page_leaves_once(site: Site) -> None:
    kill(site.work)
    accepted = time.monotonic()
    assert site.post(alert("CheckoutBroken", severity="critical")).status_code == 202
    eventually(lambda: site.pages("CheckoutBroken"))
    assert time.monotonic() - accepted < 3
    start_worker(site)
    eventually(
        lambda: site.sql(
            "SELECT FROM incident WHERE title LIKE 'CheckoutBroken%%' AND stage = 'watch'"
        )
    )
    time.sleep(1.5)  # a second page would leave within this time
    assert len(site.pages("CheckoutBroken")) == 1
    assert site.gap() == (0, 0)


def test_a_web_process_whose_master_was_killed_takes_nobody_any_more(site: Site) -> None:
    """Else it would hold its door open for half a minute, and nobody would be behind it."""
    with requests.Session() as caller:
        assert caller.get(f"{site.world.url}/healthz", timeout=30).ok
        os.kill(site.serve.pid, signal.SIGKILL)
        killed = time.monotonic()
        assert site.serve._process is not None
        site.serve._process.wait()
        eventually(lambda: _refused(site, caller))
        assert time.monotonic() - killed < 10, "gunicorn's own grace is 30 s"
    restart(site.serve, lambda: _ready(site))


def _refused(site: Site, caller: requests.Session) -> bool:
    """Whether the door is closed; who came in by it before goes on to ask."""
    with suppress(requests.RequestException):
        caller.get(f"{site.world.url}/healthz", timeout=5)
    try:
        requests.get(f"{site.world.url}/healthz", timeout=1)
    except requests.ConnectionError as error:
        return "refused" in str(error)
    except requests.RequestException:
        return False
    return False


def test_our_postgresql_is_stopped(site: Site) -> None:
    before = site.sql("SELECT count(*) AS deliveries FROM delivery")
    site.world.ours.stop(keep=True)
    try:
        answer = site.post(alert("WhileAway", severity="warning"))
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) in RETRY_AFTER
        assert answer.json()["type"] == "urn:responder:unavailable"
        assert requests.get(f"{site.world.url}/readyz", timeout=30).status_code == 503
        assert requests.get(f"{site.world.url}/healthz", timeout=30).status_code == 200
    finally:
        site.world.ours.start()
    eventually(lambda: requests.get(f"{site.world.url}/readyz", timeout=30).ok)
    assert site.sql("SELECT count(*) AS deliveries FROM delivery") == before
    assert site.post(alert("WhileAway", severity="warning")).status_code == 202
    eventually(
        lambda: site.sql("SELECT FROM incident WHERE title LIKE 'WhileAway%%' AND stage = 'watch'")
    )
    assert site.gap() == (0, 0)


def test_a_worker_goes_on_soon_after_an_outage_of_our_postgresql(site: Site) -> None:
    """By itself: nobody starts it again, and jobs do not wait for half a minute."""
    process, before = site.work.pid, starts(site)
    ends = "the job engine has ended"
    told = site.work.log.read_text().count(ends)
    site.world.ours.stop(keep=True)
    try:
        eventually(lambda: site.work.log.read_text().count(ends) > told)
        time.sleep(3)  # its first attempts to come back are over
    finally:
        site.world.ours.start()
    back = time.monotonic()
    eventually(lambda: starts(site) > before)
    assert time.monotonic() - back < 10
    assert (site.work.pid, site.work.running) == (process, True)
    site.post(alert("AfterOutage", severity="info"))
    eventually(
        lambda: site.sql(
            "SELECT FROM incident WHERE title LIKE 'AfterOutage%%' AND stage = 'watch'"
        )
    )


def test_everything_is_killed_while_alerts_come_in(site: Site) -> None:
    """What was answered 202 has its outcome in the end, whatever died meanwhile."""
    accepted: list[str] = []

    def post(number: int) -> None:
        for each in range(12):
            try:
                answer = site.post(alert("Storm", severity="info", instance=f"{number}-{each}"))
            except requests.RequestException:
                continue
            if answer.status_code == 202:
                accepted.append(answer.json()["delivery"])

    threads = [threading.Thread(target=post, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(accepted) > 15)
    kill(site.work)
    kill(site.serve)
    for thread in threads:
        thread.join()
    restart(site.serve, lambda: _ready(site))
    start_worker(site)
    assert len(accepted) > 15
    eventually(lambda: not site.sql("SELECT FROM delivery WHERE triaged_at IS NULL"))
    outcomes = site.sql(
        "SELECT delivery_id::text FROM alert WHERE delivery_id = ANY(%s::uuid[])", accepted
    )
    assert sorted(row["delivery_id"] for row in outcomes) == sorted(accepted)
    eventually(lambda: site.gap() == (0, 0))


def _ready(site: Site) -> bool:
    try:
        return requests.get(f"{site.world.url}/readyz", timeout=5).ok
    except requests.RequestException:
        return False


@pytest.fixture(autouse=True)
def _all_runs_afterwards(site: Site) -> Any:
    yield
    if not site.work.running:
        start_worker(site)
