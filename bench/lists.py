"""What each list, search and page costs with a million alerts and ten million audit events.

Fills a PostgreSQL of its own (`at_size.sql`, some minutes; kept in build/at_size for the next run),
starts `responder serve` over it, and asks for each page over HTTP with filters, cursors and ids
that change: how long a caller waited, and the processor time of it in all processes, which depends
less on what else the machine does.
"""

import statistics
import sys
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import psycopg
import requests

from bench.lines import Chosen, Line
from bench.processes import cpu
from bench.site import POSTGRES, Site, open_site
from responder.embedded import LocalPostgres
from responder.store.migrations import migrate

#: Milliseconds, for 95 of 100 requests.
ENOUGH = 100.0
TIMES = 40
INCIDENTS = 100_000
ROWS = Path(__file__).parent / "at_size.sql"
#: The server's folder; 12 GB when it is filled.
FOLDER = Path(__file__).parent.parent / "build" / "at_size"
IDS = "SELECT id::text FROM {} WHERE {} > now() - interval '{}' ORDER BY random() LIMIT 50"


def fill(url: str, incidents: int = INCIDENTS) -> None:
    """Once, with ten alerts and a hundred audit events for each; one that is filled is left."""
    migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM responder.incident LIMIT 1").fetchone():
            return
        began = time.perf_counter()
        for name, value in (("incidents", incidents), ("alerts", 10), ("events", 100)):
            told = (f"bench.{name}", str(value))
            connection.execute("SELECT set_config(%s, %s, false)", told)
        connection.execute(ROWS.read_bytes())
        print(f"filled in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        connection.execute("VACUUM (ANALYZE)")


def some_ids(url: str) -> dict[str, list[str]]:
    """Of each kind, spread over the time that there is of it."""
    with psycopg.connect(url, options="-c search_path=responder") as connection:
        return {
            table: [
                row[0] for row in connection.execute(IDS.format(table, column, span)).fetchall()
            ]
            for table, column, span in (
                ("incident", "opened_at", "400 days"),
                ("delivery", "received_at", "30 days"),
                ("fix", "started_at", "400 days"),
            )
        }


def pages(ids: dict[str, list[str]]) -> dict[str, list[str]]:
    """What is asked, by what it is: the same page with other words and ids each time."""
    rules = ("shopify_queue_stuck", "slow_queries", "no_such_rule")
    words = ("host%20699", "certificate", "nothing%20like%20it", "Q")
    return {
        "incidents": ["/v1/incidents", "/v1/incidents?limit=200"],
        "incidents, by status": [
            f"/v1/incidents?status={each}" for each in ("open", "acknowledged", "resolved")
        ],
        "incidents, by severity": [f"/v1/incidents?severity=P{each}" for each in range(4)],
        "incidents, by rule": [f"/v1/incidents?rule={each}" for each in rules],
        "incidents, by words": [f"/v1/incidents?q={each}" for each in words],
        "incidents, by all of it": [
            f"/v1/incidents?rule={rule}&severity=P0&status=resolved&q={word}"
            for rule in rules
            for word in words
        ],
        "incident": [f"/v1/incidents/{each}" for each in ids["incident"]],
        "trail of an incident": [f"/v1/incidents/{each}/events" for each in ids["incident"]],
        "deliveries": ["/v1/deliveries", "/v1/deliveries?limit=200"],
        "deliveries, by outcome": [
            f"/v1/deliveries?outcome={each}" for each in ("accepted", "duplicate", "quarantined")
        ],
        "deliveries, by source": [
            f"/v1/deliveries?source={each}" for each in ("alertmanager", "silent")
        ],
        "delivery": [f"/v1/deliveries/{each}" for each in ids["delivery"]],
        "fix": [f"/v1/fixes/{each}" for each in ids["fix"]],
        "audit": ["/v1/audit", "/v1/audit?limit=200"],
        "audit, by person": [f"/v1/audit?actor=person%20{each}" for each in (7, 39, 99)],
        "audit, by what": [f"/v1/audit?what={each}" for each in ("fix", "note", "nothing")],
        "audit, by rule": [f"/v1/audit?rule={each}" for each in rules],
        "audit, by target": [f"/v1/audit?target={each}" for each in ("shop_1", "nowhere")],
        "audit, by incident": [f"/v1/audit?incident={each}" for each in ids["incident"]],
        "maintenance": ["/v1/maintenance"],
        "rules": ["/v1/rules"],
        "rule, with what it would have done": [f"/v1/rules/{each}" for each in rules[:2]],
        "health": ["/readyz"],
        "metrics": ["/metrics"],
        "console: now": ["/console/"],
        "console: incidents": [
            f"/console/?{each}" for each in ("status=resolved", "status=all", "q=certificate")
        ],
        "console: incident": [f"/console/incidents/{each}" for each in ids["incident"]],
        "console: audit": [
            f"/console/audit{each}"
            for each in ("", "?actor=person%207", "?what=note", "?rule=slow_queries")
        ],
        "console: rules": ["/console/rules"],
        "console: rule": [f"/console/rules/{each}" for each in rules[:2]],
        "console: senders": ["/console/senders"],
        "console: deliveries": ["/console/deliveries"],
        "console: delivery": [f"/console/deliveries/{each}" for each in ids["delivery"]],
        "console: maintenance": ["/console/maintenance"],
        "console: numbers": ["/console/numbers"],
    }


def asked(base: str, paths: list[str], session: requests.Session, times: int) -> Iterator[float]:
    """Milliseconds of each request; a list is also asked for its next page."""
    for path in islice(cycle(paths), max(times, len(paths))):
        for _ in range(2):
            began = time.perf_counter()
            answer = session.get(base + path, timeout=60)
            yield (time.perf_counter() - began) * 1000
            if answer.status_code != 200:
                raise SystemExit(f"{path} answered {answer.status_code}: {answer.text[:200]}")
            more = answer.json().get("next") if "json" in answer.headers["Content-Type"] else None
            if more is None:
                break
            path = f"{path.partition('&cursor')[0]}{'&' if '?' in path else '?'}cursor={more}"


def measure(_: Chosen) -> Iterator[Line]:
    settings = {**POSTGRES, "shared_buffers": "1GB"}
    with LocalPostgres(FOLDER, settings=settings, durable=False) as server:
        fill(server.url())
        ids = some_ids(server.url())
        with open_site(workers=0, server=server, database="postgres") as site:
            session = _logged_in(site)
            slowest = 0.0
            for name, paths in pages(ids).items():
                line = _measured(site, session, name, paths)
                slowest = max(slowest, line.value)
                yield line
            yield Line("the slowest list at size, p95", slowest, "ms", ENOUGH, at_least=False)


def _measured(site: Site, session: requests.Session, name: str, paths: list[str]) -> Line:
    list(asked(site.url, paths[:3], session, 3))
    before = _used(site)
    taken = sorted(asked(site.url, paths, session, TIMES))
    cost = (_used(site) - before) * 1000 / len(taken)
    middle = statistics.median(taken)
    detail = f"p50 {middle:.1f} ms, processor {cost:.1f} ms each, of {len(taken)}"
    return Line(name, taken[int(len(taken) * 0.95)], "ms", at_least=False, detail=detail)


def _used(site: Site) -> float:
    own = {name: pids for name, pids in site.roles().items() if name != "generator"}
    return sum(map(cpu, own.values()))


def _logged_in(site: Site) -> requests.Session:
    """Somebody who may look at all of it, by the API and in the console."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {site.token}"
    origin = {"Origin": site.url}
    session.post(f"{site.url}/console/login", {"token": site.token}, headers=origin, timeout=60)
    return session
