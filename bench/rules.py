"""What a runbook of 10,000 rules costs: to load it, to start with it, to match one alert."""

import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.lines import Chosen, Line
from bench.site import open_site
from responder.domain.alert import Alert, AlertStatus
from responder.domain.severity import Severity
from responder.runbook.catalogue import Catalogue
from responder.runbook.loader import LoadedRule
from responder.runbook.process import load_apart

MANY, FEW = 10_000, 10
_ROUNDS = 5
_MODULE = '''"""Shelf {number} is in disorder.

Symptoms:   items of shelf {number} are not found where they should be.
Prevention: count it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from responder.runbook import Case, Finding, Label, Option, Rule, Sql, Within

Rows = Sequence[Mapping[str, Any]]
_MANY = 100


class Disorder(Rule):
    answers = ['alertname="Shelf{number}"', 'env=~"production|staging"']
    target = "shop"
    key = ("place",)
    parameters = {{"place": Label("place", "room", default="1")}}
    diagnostics = [
        Sql("missing", "Which items are not there?"),
        Sql("all", "How many items are there?"),
    ]
    options = [
        Option("count", "Count it anew", automatic={automatic}, changes=("intake_items",),
               max_rows=100, verify=Within("2m", every="30s")),
    ]

    def conclude(self, case: Case) -> Iterable[Finding]:
        missing = case["missing"].rows
        if missing:
            yield Finding("missing", f"{{_said(missing)}} missing.", offers=("count",))


def _said(rows: Rows) -> str:
    return "many are" if len(rows) >= _MANY else f"{{len(rows)}} are"
'''
_SQL = """\
-- name: missing
-- Items that nobody finds.
SELECT id, sku FROM intake_items
WHERE status = 'missing' AND lot_id = %(place)s AND sku <> 's{number}';

-- name: all
-- How many there are.
SELECT count(*) AS items FROM intake_items WHERE sku <> 's{number}';

-- name: count_before
-- The items that are counted.
SELECT id FROM intake_items WHERE status = 'missing' AND sku = 's{number}' FOR UPDATE;

-- name: count
-- Count them.
UPDATE intake_items SET status = 'counted'
WHERE status = 'missing' AND sku = 's{number}' RETURNING id;

-- name: count_verify
-- None is missing.
SELECT NOT EXISTS (SELECT FROM intake_items WHERE status = 'missing' AND sku = 's{number}') AS gone;
"""
#: A process that loads it as those of production do; it says the seconds.
_LOAD = """
import sys, time
from pathlib import Path
from responder.runbook.process import load_apart
began = time.perf_counter()
load_apart(Path(sys.argv[1]))
print(time.perf_counter() - began)
"""


def measure(chosen: Chosen) -> Iterator[Line]:
    with TemporaryDirectory(prefix="responder-bench-rules-") as folder:
        few, many = (write_rules(Path(folder), count) for count in (FEW, MANY))
        taken = [_seconds_to_load(many) for _ in range(3 if chosen.full else 1)]
        yield Line(
            f"{MANY:,} rules: loaded by a process that starts",
            median(taken),
            "s",
            must=5.0,
            at_least=False,
            detail=f"each: {', '.join(f'{each:.1f}' for each in taken)}; 5 statements a rule",
        )
        yield from _ready(many)
        yield from _matched(load_apart(few), load_apart(many))


def write_rules(folder: Path, count: int) -> Path:
    """A runbook of so many rules, a quarter of them in each folder of severity."""
    root = folder / str(count)
    (root / "sql" / "rules").mkdir(parents=True)
    for severity in Severity:
        (root / "rules" / severity.lower()).mkdir(parents=True)
    for number in range(count):
        severity = list(Severity)[number % len(Severity)]
        module = _MODULE.format(number=number, automatic=not severity.pages)
        (root / "rules" / severity.lower() / f"shelf_{number}.py").write_text(module)
        (root / "sql" / "rules" / f"shelf_{number}.sql").write_text(_SQL.format(number=number))
    return root


def _seconds_to_load(root: Path) -> float:
    command = [sys.executable, "-c", _LOAD, str(root)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def _ready(root: Path) -> Iterator[Line]:
    """From the start of `serve` and `work` together until both are ready, with one target."""
    with open_site(runbook=root, targets=0) as site:
        site.works[0].stop()
        began = time.perf_counter()
        site.start_working()
        took = time.perf_counter() - began
        used = json.dumps({name: round(mb) for name, mb in site.memory().items()})
        assert site.serve.running
    yield Line(
        f"{MANY:,} rules: from the start of `work` until it takes jobs",
        took,
        "s",
        must=5.0,
        at_least=False,
        detail=f"Python itself and its modules, too; then MB: {used}",
    )


def _matched(few: Sequence[LoadedRule], many: Sequence[LoadedRule]) -> Iterator[Line]:
    alerts = {len(rules): _alert(len(rules) // 2) for rules in (few, many)}
    catalogues = {len(rules): Catalogue(rules, {}) for rules in (few, many)}
    taken: dict[int, list[float]] = {FEW: [], MANY: []}
    gc.collect()
    for _ in range(_ROUNDS):  # interleaved
        for count, catalogue in catalogues.items():
            assert catalogue.identify(alerts[count]).rule == f"shelf_{count // 2}"
            began = time.perf_counter()
            for _ in range(2_000):
                catalogue.identify(alerts[count])
            taken[count].append((time.perf_counter() - began) / 2_000 * 1e6)
    yield Line(
        f"{MANY:,} rules: matching one alert, of what {FEW} rules take",
        median(taken[MANY]) / median(taken[FEW]),
        "x",
        must=2.0,
        at_least=False,
        detail=f"{median(taken[MANY]):.0f} us of {median(taken[FEW]):.0f} us",
    )


def _alert(number: int) -> Alert:
    labels = {
        "alertname": f"Shelf{number}",
        "env": "production",
        "place": "3",
        "severity": "warning",
    }
    now = datetime.now(UTC)
    return Alert("am", "f", AlertStatus.FIRING, labels["alertname"], "It", "", labels, now)
