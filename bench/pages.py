"""How long people wait for an enriched page: when nothing else happens, and behind a storm."""

import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import requests

from bench.lines import Chosen, Line
from bench.processes import cores
from bench.site import Site, open_site

#: What waits for triage when the pages of a storm are sent.
BACKLOG, IN_A_DELIVERY = 100_000, 200
_PAUSE = 0.35
#: Seconds after which what has not come is not waited for.
_NEVER = 60.0
_SLEEPS = 0.05
_MODULE = '''"""The till is silent.

Symptoms:   nobody can pay.
Prevention: none.
"""

from responder.runbook import Finding, Label, Rule, Sql


class TillSilent(Rule):
    answers = ['alertname="TillSilent"']
    target = "shop"
    key = ("till",)
    parameters = {"till": Label("till")}
    diagnostics = [
        Sql("slow", "Which items wait?"),
        Sql("locks", "Who waits for whom?"),
        Sql("sessions", "Who is there?"),
    ]

    def conclude(self, case):
        yield Finding("silent", f"Till {case.parameters['till']} is silent: see the rows.")
'''
_SQL = f"""\
-- name: slow
-- Items that wait; it takes its time.
SELECT id, sku, %(till)s AS till FROM intake_items, pg_sleep({_SLEEPS}) LIMIT 20;

-- name: locks
-- Locks that are waited for.
SELECT count(*) AS waiting, %(till)s AS till FROM pg_locks WHERE NOT granted;

-- name: sessions
-- Sessions by state.
SELECT state, count(*) AS sessions, %(till)s AS till FROM pg_stat_activity GROUP BY state;
"""


def measure(chosen: Chosen) -> Iterator[Line]:
    with TemporaryDirectory(prefix="responder-bench-pages-") as folder:
        runbook = _write_runbook(Path(folder))
        with open_site(runbook=runbook, targets=1) as site:
            yield from _idle(site, 200 if chosen.full else 100)
        with open_site(runbook=runbook, targets=1) as site:
            yield from _behind_a_storm(site)


def _write_runbook(root: Path) -> Path:
    for place, text in (("rules/p0/till_silent.py", _MODULE), ("sql/rules/till_silent.sql", _SQL)):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text)
    return root


def _idle(site: Site, count: int) -> Iterator[Line]:
    for number in range(3):
        _post(site, f"warm-{number}")
        time.sleep(1)
    with cores(site.roles) as used:
        sent = _post_many(site, "idle", count, _PAUSE)
    took, bare = _waited(site, sent)
    assert not bare, f"{bare} pages left without their diagnosis"
    over = sorted(each - slowest for each, slowest in zip(took, _slowest(site, sent), strict=True))
    detail = (
        f"{count} alerts one by one; min {over[0]:.0f}, max {over[-1]:.0f};"
        f" medians of its way, in ms: {_way(site, sent)}"
    )
    name = "idle: alert to enriched page, over the slowest question"
    p50, p99 = median(over), over[int(len(over) * 0.99)]
    yield Line(f"{name}, p50", p50, "ms", 50, 20, at_least=False, detail=detail, cpu=used)
    yield Line(f"{name}, p99", p99, "ms", 150, 60, at_least=False)


def _behind_a_storm(site: Site) -> Iterator[Line]:
    _post(site, "warm")
    time.sleep(2)
    site.works[0].stop()
    for first in range(0, BACKLOG, IN_A_DELIVERY):
        _post_storm(site, first)
    site.start_working()
    waiting = [_waiting(site)]
    with cores(site.roles) as used:
        sent = _post_many(site, "storm", 100, _PAUSE)
        waiting.append(_waiting(site))
    took, bare = _waited(site, sent)
    took.sort()
    detail = (
        f"first page p50 {median(took) / 1000:.2f} s, p99 {took[98] / 1000:.2f} s;"
        f" {bare} left with what was known, without their diagnosis;"
        f" alerts that waited at the first {waiting[0]:,}, at the last {waiting[1]:,}"
    )
    yield Line(
        "a P0 behind 100,000 alerts: to the enriched page, p99 of 100",
        _NEVER if bare else took[98] / 1000,
        "s",
        2.5,
        1.0,
        at_least=False,
        detail=detail,
        cpu=used,
    )


def _post_many(site: Site, word: str, count: int, pause: float) -> dict[str, float]:
    """When each was sent, by its till."""
    sent = {}
    for number in range(count):
        till = f"{word}-{number}"
        sent[till] = time.time()
        _post(site, till)
        time.sleep(pause)
    return sent


def _post(site: Site, till: str) -> None:
    labels = {"alertname": "TillSilent", "till": till, "shop": "shop_1", "severity": "critical"}
    alert = {"status": "firing", "labels": labels, "startsAt": datetime.now(UTC).isoformat()}
    answer = requests.post(
        site.webhook(), json={"alerts": [alert]}, headers=site.headers, timeout=30
    )
    assert answer.status_code == 202, answer.text


def _post_storm(site: Site, first: int) -> None:
    """What no rule answers, of 50 keys."""
    now = datetime.now(UTC).isoformat()
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": "Noise", "instance": f"i{number % 50}", "severity": "info"},
            "startsAt": now,
        }
        for number in range(first, first + IN_A_DELIVERY)
    ]
    answer = requests.post(
        site.webhook(), json={"alerts": alerts}, headers=site.headers, timeout=60
    )
    assert answer.status_code == 202, answer.text


def _waiting(site: Site) -> int:
    statement = "SELECT coalesce(sum(alert_count), 0) AS n FROM delivery WHERE triaged_at IS NULL"
    return int(site.sql(statement)[0]["n"])


def _waited(site: Site, sent: dict[str, float]) -> tuple[list[float], int]:
    """Milliseconds until the page of each was at the pager, and how many were not enriched."""
    until = time.monotonic() + _NEVER
    while len(found := _pages(site, sent)) < len(sent):
        if time.monotonic() > until:
            raise SystemExit(f"{len(sent) - len(found)} pages never came")
        time.sleep(0.5)
    bare = sum(not enriched for _, enriched in found.values())
    return [(found[till][0] - at) * 1000 for till, at in sent.items()], bare


def _pages(site: Site, sent: Sequence[str] | dict[str, float]) -> dict[str, tuple[float, bool]]:
    """The first page of each: when it came, and whether it had the finding."""
    found: dict[str, tuple[float, bool]] = {}
    for arrival in site.receiver.received():
        if arrival.body.get("event_action") == "trigger":
            text = json.dumps(arrival.body)
            for till in sent:
                if f'"{till}"' in text or f"Till {till} is" in text:
                    found.setdefault(till, (arrival.at, f"Till {till} is silent" in text))
    return found


def _way(site: Site, sent: dict[str, float]) -> str:
    """Where the time goes, by when each transaction on the way began."""
    rows = site.sql(
        "SELECT i.labels ->> 'till' AS till, extract(epoch FROM a.received_at)::float8 AS accepted,"
        "       extract(epoch FROM i.opened_at)::float8 AS triaged,"
        "       extract(epoch FROM min(e.at) FILTER (WHERE e.after = 'plan'))::float8 AS answered,"
        "       extract(epoch FROM min(e.at) FILTER (WHERE e.before = 'plan'))::float8 AS decided,"
        "       extract(epoch FROM min(n.sent_at))::float8 AS paged"
        " FROM incident i JOIN alert a ON a.incident_id = i.id"
        " JOIN audit_event e ON e.incident_id = i.id AND e.what = 'stage'"
        " JOIN notification n ON n.incident_id = i.id AND n.page"
        " GROUP BY i.id, i.labels, i.opened_at, a.received_at"
    )
    steps = ("accepted", "triaged", "answered", "decided", "paged")
    ways = [
        [sent[row["till"]], *(row[step] for step in steps)] for row in rows if row["till"] in sent
    ]
    gaps = zip(*([b - a for a, b in pairwise(way)] for way in ways), strict=True)
    return ", ".join(
        f"{step} {median(gap) * 1000:.0f}" for step, gap in zip(steps, gaps, strict=True)
    )


def _slowest(site: Site, sent: dict[str, float]) -> list[float]:
    """What the slowest question of each took, as it is told beside its answer."""
    rows = site.sql(
        "SELECT i.labels ->> 'till' AS till, max((a.answer ->> 'ms')::float8) AS ms"
        " FROM incident i JOIN answer a ON a.incident_id = i.id GROUP BY 1"
    )
    took = {row["till"]: row["ms"] for row in rows}
    return [took[till] for till in sent]
