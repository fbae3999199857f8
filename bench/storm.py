"""From 202 to an outcome: storms of ten thousand alerts, until whoever hears of them was told.

All of it on real processes: two web workers, one worker as `responder work` starts it, five targets
with a small rule, a stand-in for the receiver.
"""

import http.client
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from bench.lines import Chosen, Line
from bench.processes import cores
from bench.series import sampled
from bench.site import Site, open_site

DELIVERIES, EACH, KEYS, TARGETS = 500, 20, 50, 5
ALERTS = DELIVERIES * EACH
#: Of other faults, before the storm.
WAITING = 100_000
CLIENTS = 8
PATIENCE = 300.0
#: Accepted, and without an outcome yet.
_WAITING = (
    "SELECT coalesce(sum(alert_count), 0)::bigint AS count FROM delivery"
    " WHERE outcome = 'accepted' AND triaged_at IS NULL"
)

_RULE = '''"""A storm.

Symptoms: many alerts of few faults.
Prevention: none.
"""

from responder.runbook import Finding, Label, Rule, Sql


class Storm(Rule):
    answers = ['alertname=~"Storm|Other"']
    target = "shop"
    key = ("fault",)
    parameters = {"fault": Label("fault")}
    diagnostics = [
        Sql("activity", "What is going on?"),
        Sql("waiting", "Who waits for whom?"),
        Sql("size", "How large is it?"),
    ]

    def conclude(self, case):
        yield Finding("busy", "It is busy.")
'''
_STATEMENTS = """\
-- name: activity
-- Sessions by what they do.
SELECT state, count(*) AS sessions FROM pg_stat_activity GROUP BY state;

-- name: waiting
-- Locks that are not granted.
SELECT locktype, count(*) AS locks FROM pg_locks WHERE NOT granted GROUP BY locktype;

-- name: size
-- What the whole database takes.
SELECT pg_database_size(current_database()) AS bytes;
"""


def measure(chosen: Chosen) -> Iterator[Line]:
    """The lines of the report that are about storms."""
    with _runbook() as runbook:
        with open_site(targets=TARGETS, runbook=runbook) as site:
            yield from few_faults(site)
        yield from distinct_faults()
        if chosen.full:
            yield from behind_a_backlog(runbook)


@contextmanager
def _runbook() -> Iterator[Path]:
    with TemporaryDirectory(prefix="responder-storm-") as folder:
        root = Path(folder)
        for path, text in (("rules/p2/storm.py", _RULE), ("sql/rules/storm.sql", _STATEMENTS)):
            (root / path).parent.mkdir(parents=True)
            (root / path).write_text(text)
        yield root


def few_faults(site: Site) -> Iterator[Line]:
    """Ten thousand alerts of 50 faults, each of another instance, told by 500 deliveries."""
    bodies = [_body("Storm", _labels(number)) for number in range(DELIVERIES)]
    with cores(site.roles) as used, sampled(lambda: _count(site, _WAITING)) as waiting:
        began = time.monotonic()
        send(site, bodies)
        sent = time.monotonic()
        until(lambda: _count(site, "SELECT count(*) FROM alert") == ALERTS)
        triaged = time.monotonic()
        until(lambda: _at_rest(site, KEYS))
        told = time.monotonic()
    heard = {each.body["data"]["incident"]["id"] for each in site.receiver.received()}
    assert len(heard) == KEYS, f"the receiver heard of {len(heard)} incidents"
    outcomes = site.sql("SELECT outcome, count(*) AS n FROM alert GROUP BY outcome ORDER BY 1")
    counted = ", ".join(f"{row['n']:,} {row['outcome']}" for row in outcomes)
    yield Line(
        f"{ALERTS:,} alerts of {KEYS} faults: each has its outcome",
        triaged - began,
        "s",
        must=30,
        want=10,
        at_least=False,
        detail=f"{counted}; accepted in {sent - began:.1f} s",
        cpu=used,
        series={f"of {KEYS} faults": waiting},
    )
    yield Line(
        "... all diagnosed and every receiver told, after the last alert",
        max(0.0, told - sent),
        "s",
        must=10,
        want=3,
        at_least=False,
    )


def distinct_faults() -> Iterator[Line]:
    """Ten thousand faults that no rule answers, and a receiver for people: 20 messages a minute."""
    with open_site(per_minute=20) as site:
        bodies = [
            _body("Distinct", [{"instance": f"{number}-{each}"} for each in range(EACH)])
            for number in range(DELIVERIES)
        ]
        with cores(site.roles) as used, sampled(lambda: _count(site, _WAITING)) as waiting:
            began = time.monotonic()
            send(site, bodies)
            until(lambda: _count(site, "SELECT count(*) FROM incident") == ALERTS)
            recorded = time.monotonic()
            until(lambda: _at_rest(site, ALERTS))
            told = time.monotonic()
        (row,) = site.sql(
            "SELECT count(*) FILTER (WHERE happening = 'summary') AS summaries,"
            " count(*) FILTER (WHERE happening <> 'summary' AND status = 'sent') AS singles,"
            " count(*) FILTER (WHERE summary_id IS NOT NULL) AS covered,"
            " count(*) FILTER (WHERE status = 'dead') AS dead FROM notification"
        )
        assert not row["dead"]
        yield Line(
            f"{ALERTS:,} faults without a rule: recorded, covered by summaries",
            told - began,
            "s",
            must=90,
            want=30,
            at_least=False,
            detail=f"recorded after {recorded - began:.1f} s; {row['singles']} messages and"
            f" {row['summaries']} summaries for {row['covered']:,}",
            cpu=used,
            series={"each of its own, without a rule": waiting},
        )


def behind_a_backlog(runbook: Path) -> Iterator[Line]:
    """The same alerts alone, and with a hundred thousand others before them."""
    rates = {waiting: _drained(runbook, waiting) for waiting in (0, WAITING)}
    yield Line(
        f"outcomes/s of {ALERTS:,} alerts behind {WAITING:,} others, x those of them alone",
        rates[WAITING] / rates[0],
        "x",
        must=0.9,
        want=1.0,
        detail=f"{rates[WAITING]:,.0f}/s behind them, {rates[0]:,.0f}/s alone",
    )


def _drained(runbook: Path, waiting: int) -> float:
    """Alerts with an outcome in a second; no worker runs before all of them wait."""
    with open_site(targets=TARGETS, runbook=runbook) as site:
        (work,) = site.works
        work.stop()
        others = [_body("Other", _labels(number)) for number in range(waiting // EACH)]
        send(site, others)
        send(site, [_body("Storm", _labels(number)) for number in range(DELIVERIES)])
        work.start()
        all_of_them = waiting + ALERTS
        until(lambda: _count(site, "SELECT count(*) FROM alert") > 0)
        began, before = time.monotonic(), _count(site, "SELECT count(*) FROM alert")
        until(lambda: _count(site, "SELECT count(*) FROM alert") == all_of_them, every=0.1)
        return (all_of_them - before) / (time.monotonic() - began)


def _labels(number: int) -> list[dict[str, str]]:
    """Of a delivery's alerts: each of another instance, of one of the faults."""
    found = []
    for each in range(EACH):
        fault = (number * EACH + each) % KEYS
        labels = {"fault": str(fault), "shop": f"shop_{fault % TARGETS + 1}"}
        found.append({**labels, "instance": f"{number}-{each}"})
    return found


def _body(name: str, labels: Sequence[dict[str, str]]) -> bytes:
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": name, "severity": "warning", **each},
            "annotations": {"summary": f"{name} of {each.get('instance')}"},
            "startsAt": datetime.now(UTC).isoformat(),
        }
        for each in labels
    ]
    return json.dumps({"version": "4", "status": "firing", "alerts": alerts}).encode()


def send(site: Site, bodies: Sequence[bytes]) -> None:
    """Post all of them, a few at a time; each is accepted."""
    place = urlsplit(site.webhook())

    def client(own: Sequence[bytes]) -> None:
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        for body in own:
            connection.request("POST", place.path, body, site.headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 202, f"answered {answer.status}"
        connection.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, (bodies[offset::CLIENTS] for offset in range(CLIENTS))))


def _at_rest(site: Site, incidents: int) -> bool:
    """So many incidents wait for their end, and nothing that is due has not left."""
    (row,) = site.sql(
        "SELECT (SELECT count(*) FROM incident WHERE stage = 'watch' AND NOT walking) AS watched,"
        " EXISTS (SELECT FROM notification WHERE status IN ('due', 'sending')"
        " AND due_at <= clock_timestamp()) AS due"
    )
    return row["watched"] == incidents and not row["due"]


def _count(site: Site, statement: str) -> int:
    (row,) = site.sql(statement)
    return int(row["count"])


def until(condition: Callable[[], bool], every: float = 0.05) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it never happened")
        time.sleep(every)
