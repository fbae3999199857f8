"""What each list, search and page costs with a million alerts and ten million audit events.

    python bench/lists.py [--folder FOLDER] [--incidents 100000] [--times 40]

Fills a PostgreSQL of its own (`at_size.sql`, some minutes; kept in FOLDER for the next run), starts
`responder serve` over it, asks for each page over HTTP with filters, cursors and ids that change,
and prints a line for each: how long a caller waited, and the processor time of it in all processes,
which depends less on what else the machine does. Exit status 1: one takes over 100 ms at p95.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path

import psycopg
import requests

from responder.cli.demo.children import Child
from responder.cli.demo.world import _answers, _free_port
from responder.domain.ids import new_id
from responder.domain.secret import Secret
from responder.embedded import LocalPostgres
from responder.store.migrations import migrate
from responder.store.vault import new_key
from responder.web.tokens import TokenKeys, new_keys

ENOUGH = 100.0
ROWS = Path(__file__).parent / "at_size.sql"
SETTINGS = """
token_keys = "file:{folder}/keys.json"
[vault]
keys = "file:{folder}/vault_key"
[sources.alertmanager]
type = "alertmanager"
bearer = "env:BENCH_BEARER"
"""
IDS = "SELECT id::text FROM {} WHERE {} > now() - interval '{}' ORDER BY random() LIMIT 50"


def fill(url: str, incidents: int) -> None:
    """Once; a database that has incidents is left as it is."""
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


def processor_ms(roots: tuple[int, ...]) -> float:
    """What these processes and all that they started have used so far; of Linux."""
    tick = 1000 / os.sysconf("SC_CLK_TCK")
    parents, used = {}, {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            told = place.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        pid = int(place.parent.name)
        parents[pid], used[pid] = int(told[1]), sum(map(int, told[11:15])) * tick
    ours = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return sum(used.get(pid, 0.0) for pid in ours)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the filled database is kept")
    parser.add_argument("--incidents", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=40)
    chosen = parser.parse_args()
    with ExitStack() as stack:
        own = stack.enter_context(tempfile.TemporaryDirectory(prefix="responder-bench-"))
        settings = {"shared_buffers": "1GB", "max_wal_size": "8GB"}
        server = LocalPostgres(chosen.folder, settings=settings, durable=False, port=0)
        stack.enter_context(server)
        fill(server.url(), chosen.incidents)
        ids = some_ids(server.url())
        base, session, web = start(stack, Path(own), server.url())
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        slow = False
        for name, paths in pages(ids).items():
            list(asked(base, paths[:3], session, 3))
            before = processor_ms((server.pid, web))
            taken = sorted(asked(base, paths, session, chosen.times))
            cost = (processor_ms((server.pid, web)) - before) / len(taken)
            p95 = taken[int(len(taken) * 0.95)]
            slow = slow or p95 > ENOUGH
            mark = "  TOO SLOW" if p95 > ENOUGH else ""
            middle = statistics.median(taken)
            waited = f"p50 {middle:6.1f} ms  p95 {p95:6.1f} ms"
            print(f"{name:<36} {waited}  processor {cost:5.1f} ms  of {len(taken)}{mark}")
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    sys.exit(slow)


def start(stack: ExitStack, folder: Path, url: str) -> tuple[str, requests.Session, int]:
    """`responder serve`, somebody who may look at all of it, and its process."""
    keys = folder / "keys.json"
    keys.write_text(new_keys(new_id()))
    (folder / "vault_key").write_text(new_key())
    (folder / "responder.toml").write_text(SETTINGS.format(folder=folder))
    bind = f"127.0.0.1:{_free_port()}"
    told = {
        "RESPONDER_CONFIG": str(folder / "responder.toml"),
        "DATABASE_URL": url,
        "BENCH_BEARER": "bench",
    }
    child = Child(["serve", "--bind", bind], told, folder / "serve.log")
    stack.callback(child.stop)
    child.start()
    child.wait_until(lambda: _answers(f"http://{bind}/healthz"))
    issue: Callable[..., str] = TokenKeys(Secret((f"file:{keys}",))).issue
    token = issue("bench", "admin", datetime.now(UTC), timedelta(hours=1), new_id())
    base, session = f"http://{bind}", requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    session.post(f"{base}/console/login", {"token": token}, headers={"Origin": base}, timeout=60)
    return base, session, child.pid


if __name__ == "__main__":
    main()
