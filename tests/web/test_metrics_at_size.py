"""A scrape stays cheap however much there is: it reads the newest rows alone, by an index.

Two months of deliveries, alerts, incidents, decisions, fixes, messages, and a queue of jobs. With a
million rows, ten times as many as here, the dearest query takes 16 ms and reads 1,200 pages.
"""

from pathlib import Path
from typing import Any

import psycopg

from responder.store.jobs import DEAD_AFTER
from responder.store.queries import QUERIES

ROWS = Path(__file__).parent / "two_months.sql"
QUERIES_OF_A_SCRAPE = (
    "queue_ages",
    "stage_seconds",
    "page_lateness",
    "deliveries_quarantined",
    "alert_outcomes",
    "incidents_by_stage",
    "incidents_by_rule",
    "fixes_by_outcome",
    "reviews_waiting",
    "verdicts",
    "notifications_by_status",
    "receivers_by_state",
    "sources_last_seen",
    "workers_alive",
    "autofix",
    "dead_man_pinged",
)
BIG = {"delivery_default", "alert_default", "incident", "decision", "fix", "notification"}
#: Of 8 kB; reading one of the tables from end to end takes more than a thousand.
PAGES = 150


def plan_of(connection: psycopg.Connection[Any], name: str) -> dict[str, Any]:
    parameters = {
        "receivers": ["r0", "r1"],
        "sources": ["s0", "s1", "s2", "never"],
        "dead_after": DEAD_AFTER,
        "now": connection.execute("SELECT now()").fetchone()[0],  # type: ignore[index]
    }
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {QUERIES[name].sql}"
    row = connection.execute(explain, parameters).fetchone()  # type: ignore[arg-type]
    assert row is not None
    (found,) = row[0]
    plan: dict[str, Any] = found["Plan"]
    return plan


def scanned_whole(plan: dict[str, Any]) -> list[str]:
    """Tables that were read from end to end."""
    found = [plan["Relation Name"]] if plan["Node Type"] == "Seq Scan" else []
    return found + [table for part in plan.get("Plans", []) for table in scanned_whole(part)]


def test_each_query_of_a_scrape_reads_what_is_new_alone(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(ROWS.read_bytes())
        plans = {name: plan_of(connection, name) for name in QUERIES_OF_A_SCRAPE}
    pages = {
        name: plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for name, plan in plans.items()
    }
    assert {name: count for name, count in pages.items() if count > PAGES} == {}
    whole = {name: set(scanned_whole(plan)) & BIG for name, plan in plans.items()}
    assert {name: tables for name, tables in whole.items() if tables} == {}
