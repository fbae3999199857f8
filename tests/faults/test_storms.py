"""Three workers and a storm: one fault is fixed once, and off means off at once."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient

from responder.app import build
from responder.domain.ids import new_id
from responder.embedded import LocalPostgres
from responder.pipeline.accept import accept
from responder.pipeline.services import Services
from responder.settings import load
from responder.sources import Request
from responder.store.vault import new_key
from responder.web import create_app
from responder.web.tokens import TokenKeys, new_keys
from tests.conftest import _memory
from tests.faults.workers import Workers, alive, kill, open_workers
from tests.faults.worlds import ROLES, STATEMENTS, TARGET
from tests.house import BEARER, alert
from tests.small_rules import small_rule

#: A fix of each rule on each target; no rule is fixed more than five times in an hour.
RULES, TARGETS = 8, 5
PATIENCE = 90.0
_SETTINGS = """
database = "file:{folder}/ours"
token_keys = "file:{folder}/keys.json"
autonomy = "act"
runbook = "{runbook}"

[vault]
keys = "file:{folder}/vault_key"

[sources.prometheus]
type = "alertmanager"
bearer = "file:{folder}/bearer"
"""
_TARGET_SETTINGS = """
[targets.shop_{number}]
kind = "shop"
matches = ['shard="{number}"']
reading = "file:{folder}/reading_{number}"
writing = "file:{folder}/writing_{number}"
"""


@dataclass
class Storm:
    """Our database with three workers on it, and the targets."""

    services: Services
    client: FlaskClient
    target: LocalPostgres
    admin: Mapping[str, str]

    def post(self, *alerts: Mapping[str, Any]) -> None:
        body = {"version": "4", "status": "firing", "alerts": list(alerts)}
        headers = {"authorization": f"Bearer {BEARER}", "content-type": "application/json"}
        request = Request(headers, json.dumps(body).encode(), datetime.now(UTC))
        accept(self.services, "prometheus", request)

    def ours(self, statement: str) -> list[Any]:
        with psycopg.connect(self.services.store.url) as connection:
            connection.execute("SET search_path = responder, responder_jobs")
            return connection.execute(statement).fetchall()  # type: ignore[call-overload]

    def applied(self) -> list[tuple[str, int, datetime]]:
        """Each thing that was changed: by whom, how often, and when that was committed."""
        found: list[tuple[str, int, datetime]] = []
        for number in range(TARGETS):
            with psycopg.connect(self.target.url(f"shop_{number}")) as connection:
                found += connection.execute(
                    "SELECT current_database() || ' ' || id, applied,"
                    " pg_xact_commit_timestamp(xmin) FROM thing WHERE applied > 0"
                ).fetchall()
        return found

    def put(self, enabled: bool) -> int:
        """PUT /v1/autofix; the status of the answer."""
        body = {"enabled": enabled, "reason": "a storm"}
        return self.client.put("/v1/autofix", json=body, headers=self.admin).status_code

    def at_rest(self) -> bool:
        (row,) = self.ours(
            "SELECT NOT EXISTS (SELECT FROM incident WHERE walking OR stage <> 'watch')"
            " AND NOT EXISTS (SELECT FROM delivery WHERE triaged_at IS NULL)"
            " AND EXISTS (SELECT FROM incident)"
        )
        return bool(row[0])


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with open_workers() as opened:
        yield opened


@pytest.fixture(scope="module")
def target() -> Iterator[LocalPostgres]:
    """A server that remembers when each transaction was committed."""
    settings = {"track_commit_timestamp": "on", "max_connections": "200"}
    with TemporaryDirectory(prefix="storm-", dir=_memory()) as folder, ExitStack() as stack:
        Path(folder).chmod(0o755)
        server = stack.enter_context(LocalPostgres(Path(folder) / "target", settings=settings))
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(ROLES)
            for number in range(TARGETS):
                connection.execute(f"CREATE DATABASE shop_{number}")  # type: ignore[call-overload]
        for number in range(TARGETS):
            with psycopg.connect(server.url(f"shop_{number}")) as connection:
                connection.execute(TARGET)
        yield server


@pytest.fixture
def storm(
    database: str, target: LocalPostgres, workers: Workers, tmp_path: Path
) -> Iterator[Storm]:
    config, runbook = tmp_path / "responder.toml", tmp_path / "runbook"
    keys = tmp_path / "keys.json"
    keys.write_text(new_keys(new_id()))
    (tmp_path / "vault_key").write_text(new_key())
    (tmp_path / "ours").write_text(database)
    (tmp_path / "bearer").write_text(BEARER)
    written = _SETTINGS.format(folder=tmp_path, runbook=runbook)
    for number in range(TARGETS):
        for kind in ("reading", "writing"):
            url = target.url(f"shop_{number}", f"responder_{kind}")
            (tmp_path / f"{kind}_{number}").write_text(url)
        written += _TARGET_SETTINGS.format(folder=tmp_path, number=number)
        with psycopg.connect(target.url(f"shop_{number}")) as connection:
            connection.execute("DELETE FROM thing")
            connection.execute("INSERT INTO thing (id) SELECT generate_series(0, %s - 1)", [RULES])
    config.write_text(written)
    for number in range(RULES):
        statements = {
            name: sql.replace("id = 1", f"id = {number}") for name, sql in STATEMENTS.items()
        }
        small_rule(runbook, f"Thing{number}", statements=statements)
    services = build(load(config), pool_size=8)
    services.store.open()
    with services.store.transaction() as tx:
        for rule in services.catalogue.rules.values():
            tx.run("promote", rule=rule.name, checksum=rule.checksum, autonomy="act", actor="test")
    token = TokenKeys(services.settings.token_keys).issue(
        "ann", "admin", datetime.now(UTC), timedelta(hours=1), new_id()
    )
    at_work = [workers.start(config, tmp_path / f"work_{n}.log", slots=8) for n in range(3)]
    client = create_app(services).test_client()  # takes long beside so many workers
    yield Storm(services, client, target, {"Authorization": f"Bearer {token}"})
    for each in at_work:
        assert alive(each)
        kill(each)
    services.store.close()


def test_fifty_alerts_for_one_fault_are_one_fix(storm: Storm) -> None:
    posting = [
        threading.Thread(
            target=storm.post, args=[alert("Thing0", shard="0", instance=f"host-{number}")]
        )
        for number in range(50)
    ]
    for each in posting:
        each.start()
    for each in posting:
        each.join()
    until(storm.at_rest)
    assert [(name, times) for name, times, _ in storm.applied()] == [("shop_0 0", 1)]
    assert storm.ours("SELECT status, verification FROM fix") == [("committed", "held")]
    assert storm.ours("SELECT count(*) FROM incident") == [(1,)]
    assert storm.ours("SELECT count(*) FROM alert WHERE outcome IN ('opened', 'joined')") == [(50,)]


@pytest.mark.parametrize("so_many", [1, 8, 20])
def test_no_commit_after_off_was_answered(
    storm: Storm, so_many: int, told: Callable[[str], None]
) -> None:
    """The switch is turned when so many fixes are made and the next ones are under way."""
    for number in range(RULES):
        storm.post(*(alert(f"Thing{number}", shard=str(target)) for target in range(TARGETS)))
    until(lambda: len(storm.applied()) >= so_many)
    assert storm.put(enabled=False) == 200
    off = datetime.now(UTC)
    until(storm.at_rest)
    applied = storm.applied()
    told(f"{len(applied)} of {RULES * TARGETS} fixes were made before off was answered")
    assert {times for _, times, _ in applied} == {1}
    assert max(committed for _, _, committed in applied) < off
    assert so_many <= len(applied) < RULES * TARGETS, "it was turned in the middle"
    statuses = dict(storm.ours("SELECT status, count(*) FROM fix GROUP BY status"))
    assert statuses.pop("committed") == len(applied)
    assert set(statuses) <= {"refused", "rolled_back"}
    last = storm.ours(
        "SELECT DISTINCT ON (incident_id) reason FROM decision ORDER BY incident_id, at DESC"
    )
    assert {reason for (reason,) in last} <= {"allowed", "stopped"}
    assert ("stopped",) in last
