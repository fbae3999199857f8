"""What questions cost the one who asks and the one who is asked."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import psycopg
import requests

from bench.lines import Chosen, Line
from bench.site import Site, open_site
from responder.app import build
from responder.domain.answer import AnswerStatus
from responder.pipeline.diagnose import ask_all
from responder.settings import load as load_settings

_NAMES = ("one", "two", "three", "four", "five", "six")
_MODULE = '''"""{word} is asked.

Symptoms:   it is measured.
Prevention: none.
"""

from responder.runbook import Finding, Label, Rule, Sql


class Asked(Rule):
    answers = ['alertname="{word}"']
    target = "shop"
    key = ("number",)
    parameters = {{"salt": Label("salt", default="0")}}
    diagnostics = [Sql(name, "How many?") for name in {names}]

    def conclude(self, case):
        yield Finding("asked", "It was asked.")
'''
#: more: columns, by which the target tells the questions apart when it counts them.
_STATEMENT = """\
-- name: {name}
-- It takes its time, and no processor's.
SELECT %(salt)s AS {name}{more} FROM pg_sleep({seconds});
"""
_ALERTS = 500


def measure(chosen: Chosen) -> Iterator[Line]:
    with TemporaryDirectory(prefix="responder-bench-questions-") as folder:
        runbook = _write_runbook(Path(folder))
        with open_site(runbook=runbook, targets=1) as site:
            yield from _side_by_side(site, 15 if chosen.full else 7)
            yield from _many_alerts(site)


def _write_runbook(root: Path) -> Path:
    """`AskOne` and `AskSix` ask questions that take as long; `AskShared` the same for all."""
    rules = {"AskOne": (_NAMES[:1], 0.1), "AskSix": (_NAMES, 0.1), "AskShared": (_NAMES[:5], 0.05)}
    for word, (names, seconds) in rules.items():
        name = word.lower()
        places = {
            f"rules/p1/{name}.py": _MODULE.format(word=word, names=names),
            f"sql/rules/{name}.sql": "\n".join(
                _STATEMENT.format(name=each, seconds=seconds, more=", 1" * place)
                for place, each in enumerate(names)
            ),
        }
        for place, text in places.items():
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).write_text(text)
    return root


def _side_by_side(site: Site, rounds: int) -> Iterator[Line]:
    """The stage as a worker runs it, in this process; each round asks what nobody has asked."""
    settings = load_settings(site.folder / "responder.toml")
    services = build(settings, pool_size=12)
    services.store.open()
    target = settings.targets["shop_1"]
    taken: dict[str, list[float]] = {"askone": [], "asksix": []}
    for number in range(rounds + 1):
        for name, seconds in taken.items():
            rule = services.catalogue.rules[name]
            began = time.perf_counter()
            asked = ask_all(services, rule, target, {"salt": f"round {number}"}, urgent=True)
            if number:  # the first one warms
                seconds.append(time.perf_counter() - began)
            assert all(each.answer.status == AnswerStatus.OK for each in asked), asked
    services.slots.close()
    services.store.close()
    one, six = (median(seconds) for seconds in taken.values())
    yield Line(
        "six questions of equal cost on 4 connections, of one of them",
        six / one,
        "x",
        must=2.2,
        at_least=False,
        detail=f"{six * 1000:.0f} ms of {one * 1000:.0f} ms, of which the question waits 100",
    )


def _many_alerts(site: Site) -> Iterator[Line]:
    """So many incidents of one rule at once; the target itself counts who is there."""
    assert site.shops is not None
    url = site.shops.url("shop_1")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = public, extensions")
        connection.execute("SELECT pg_stat_statements_reset()")
    over = threading.Event()
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(_most_sessions, url, over)
        for first in range(0, _ALERTS, 20):
            _post(site, range(first, first + 20))
        while not _all_diagnosed(site):
            time.sleep(0.25)
        seconds = time.monotonic() - began
        over.set()
        most, looks = seen.result()
    with psycopg.connect(url, options="-c search_path=public,extensions") as connection:
        calls = [
            row[0]
            for row in connection.execute(
                "SELECT sum(calls)::int FROM pg_stat_statements"
                " WHERE query LIKE '%pg_sleep%' AND query NOT LIKE '%pg_stat_statements%'"
                " GROUP BY queryid"
            )
        ]
    detail = f"{_ALERTS} alerts, all diagnosed after {seconds:.1f} s; {looks:,} looks"
    yield Line(
        f"{_ALERTS} alerts on one target: diagnosing connections there at once",
        most,
        "",
        must=4,
        at_least=False,
        detail=detail,
    )
    yield Line(
        f"{_ALERTS} alerts on one target: a question in 30 s, at most",
        max(calls) / max(1.0, -(-seconds // 30)),
        "times",
        must=1,
        at_least=False,
        detail=f"5 questions, {sum(calls)} askings in {seconds:.1f} s",
    )


def _most_sessions(url: str, over: threading.Event) -> tuple[int, int]:
    """The most sessions of the role that asks, and how often it was looked."""
    most = looks = 0
    with psycopg.connect(url, autocommit=True) as connection:
        while not over.is_set():
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'responder_reading'"
            ).fetchone()
            assert row is not None
            most, looks = max(most, row[0]), looks + 1
            time.sleep(0.003)
    return most, looks


def _post(site: Site, numbers: range) -> None:
    now = datetime.now(UTC).isoformat()
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": "AskShared", "number": str(number), "shop": "shop_1"},
            "startsAt": now,
        }
        for number in numbers
    ]
    answer = requests.post(
        site.webhook(), json={"alerts": alerts}, headers=site.headers, timeout=60
    )
    assert answer.status_code == 202, answer.text


def _all_diagnosed(site: Site) -> bool:
    told = site.sql(
        "SELECT count(*) AS n FROM incident i WHERE i.rule = 'askshared'"
        " AND EXISTS (SELECT FROM answer a WHERE a.incident_id = i.id)"
    )
    return bool(told[0]["n"] >= _ALERTS)
