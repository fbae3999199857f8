"""One target is sick and many alerts are about it: it is spared, and the others do not wait for it.

A real worker, with a target that is well beside the sick one, and a pager.
"""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from responder.app import build
from responder.cli.demo.stand_in import StandIn
from responder.embedded import LocalPostgres
from responder.pipeline.accept import accept
from responder.pipeline.services import Services
from responder.settings import load
from responder.sources import Request
from responder.store.vault import new_key
from responder.targets.reading import SILENT_SECONDS
from tests.conftest import _memory
from tests.faults.long import only_in_torture
from tests.faults.workers import Workers, alive, kill, open_workers
from tests.faults.worlds import ROLES
from tests.house import BEARER, alert
from tests.stand_in import SECRET

#: Alerts on the sick target.
MANY = 500 if "TORTURE" in os.environ else 100
#: That its server takes, a few of them for its administrators alone.
CONNECTIONS = 40
PATIENCE = 60.0
_SETTINGS = """
database = "file:{folder}/ours"
runbook = "{folder}/runbook"

[vault]
keys = "file:{folder}/vault_key"

[sources.prometheus]
type = "alertmanager"
bearer = "file:{folder}/bearer"

[receivers.pager]
type = "pagerduty"
url = "{pager}"
routing_key = "file:{folder}/pager"

[[routes]]
receivers = ["pager"]
page = true
"""
_TARGET = """
[targets.{name}]
kind = "shop"
matches = ['at="{name}"']
reading = "file:{folder}/{name}"
"""
_RULE = '''"""Something is wrong.

Symptoms: a test.
Prevention: none.
"""

from responder.runbook import Label, Rule, Sql


class Wrong(Rule):
    answers = ['alertname="{name}"']
    target = "shop"
    key = ("shard", "at")
    parameters = {{"shard": Label("shard")}}
    diagnostics = [Sql("first", "What is it?"), Sql("second", "And what else?")]

    def conclude(self, case):
        return ()
'''
#: A question of its own for each incident; how long it takes stands on the target.
_STATEMENTS = """-- name: first
-- How it is.
SELECT %(shard)s::text AS shard, ask() AS seconds;

-- name: second
-- How it is, seen from behind.
SELECT %(shard)s::text AS shard, ask() AS seconds, 2 AS two;
"""
_DATABASE = """
CREATE TABLE pace (seconds float NOT NULL);
INSERT INTO pace VALUES (0);
CREATE FUNCTION ask() RETURNS float LANGUAGE sql AS 'SELECT seconds FROM pace, pg_sleep(seconds)';
GRANT SELECT ON pace TO responder_reading;
"""


@dataclass
class Ward:
    """Our database with one worker on it, the target that is sick, and the one that is well."""

    services: Services
    sick: LocalPostgres
    pager: StandIn
    folder: Path

    def post(self, *alerts: Mapping[str, Any]) -> None:
        body = {"version": "4", "status": "firing", "alerts": list(alerts)}
        headers = {"authorization": f"Bearer {BEARER}", "content-type": "application/json"}
        request = Request(headers, json.dumps(body).encode(), datetime.now(UTC))
        accept(self.services, "prometheus", request)

    def storm(self, at: str, count: int, first: int = 0) -> None:
        """So many faults on a target, each of its own."""
        alerts = [alert("Wrong", at=at, shard=f"{first + number}") for number in range(count)]
        for portion in range(0, count, 50):
            self.post(*alerts[portion : portion + 50])

    def ours(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.services.store.url, row_factory=dict_row) as connection:
            connection.execute("SET search_path = responder, responder_jobs")
            return connection.execute(statement, parameters or None).fetchall()  # type: ignore[call-overload]

    def point(self, name: str, url: str) -> None:
        """Where a target is from now on; secrets in files are read again."""
        (self.folder / name).write_text(url)

    def decided(self, at: str) -> int:
        """Incidents on a target that have a decision."""
        (row,) = self.ours(
            "SELECT count(*) AS incidents FROM incident"
            " WHERE target = %s AND decision_id IS NOT NULL",
            at,
        )
        return int(row["incidents"])

    def answers(self) -> list[tuple[Any, ...]]:
        """What the sick target said, and how often."""
        rows = self.ours(
            "SELECT a.status, a.answer->'error'->>'kind' AS kind, count(*) FROM answer a"
            " WHERE target = 'sick' GROUP BY 1, 2 ORDER BY 3 DESC"
        )
        return [tuple(row.values()) for row in rows]


def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with open_workers() as opened:
        yield opened


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, LocalPostgres]]:
    """One for each target."""
    settings = {"max_connections": str(CONNECTIONS)}
    with TemporaryDirectory(prefix="ward-", dir=_memory()) as folder, ExitStack() as stack:
        Path(folder).chmod(0o755)
        opened = {}
        for name in ("sick", "well"):
            server = LocalPostgres(Path(folder) / name, settings=settings)
            opened[name] = stack.enter_context(server)
            with psycopg.connect(server.url(), autocommit=True) as connection:
                connection.execute(ROLES)
                connection.execute(_DATABASE)
        yield opened


@pytest.fixture
def ward(
    database: str, servers: dict[str, LocalPostgres], workers: Workers, tmp_path: Path
) -> Iterator[Ward]:
    with StandIn([SECRET], time.time) as pager:
        written = _SETTINGS.format(folder=tmp_path, pager=pager.url)
        for name in ("sick", "well"):
            written += _TARGET.format(name=name, folder=tmp_path)
            (tmp_path / name).write_text(servers[name].url(user="responder_reading"))
        config = tmp_path / "responder.toml"
        config.write_text(written)
        (tmp_path / "vault_key").write_text(new_key())
        (tmp_path / "ours").write_text(database)
        (tmp_path / "bearer").write_text(BEARER)
        (tmp_path / "pager").write_text("0" * 32)
        for severity, name in (("p2", "Wrong"), ("p0", "Down")):
            module = tmp_path / "runbook/rules" / severity / f"{name.lower()}.py"
            module.parent.mkdir(parents=True)
            module.write_text(_RULE.format(name=name))
            statements = tmp_path / "runbook/sql/rules" / f"{name.lower()}.sql"
            statements.parent.mkdir(parents=True, exist_ok=True)
            statements.write_text(_STATEMENTS)
        services = build(load(config), pool_size=8)
        services.store.open()
        worker = workers.start(config, tmp_path / "work.log", slots=8)
        ward = Ward(services, servers["sick"], pager, tmp_path)
        until(lambda: ward.ours("SELECT FROM procrastinate_workers"))
        yield ward
        assert alive(worker)
        kill(worker)
        services.store.close()


@contextmanager
def silent(ward: Ward) -> Iterator[None]:
    """It takes connections and says nothing."""
    well = (ward.folder / "sick").read_text()
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(200)
        port = listener.getsockname()[1]
        ward.point("sick", f"postgresql://responder_reading@127.0.0.1:{port}/sick")
        yield
    ward.point("sick", well)


@contextmanager
def slow(ward: Ward) -> Iterator[None]:
    """Each question takes almost as long as it may."""
    with psycopg.connect(ward.sick.url(), autocommit=True) as connection:
        connection.execute("UPDATE pace SET seconds = 4.5")
        yield
        connection.execute("UPDATE pace SET seconds = 0")


@contextmanager
def crowded(ward: Ward) -> Iterator[None]:
    """Others have all its connections."""
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            with suppress(psycopg.OperationalError):
                stack.enter_context(psycopg.connect(ward.sick.url(user="responder_reading")))
        yield


@contextmanager
def gone(ward: Ward) -> Iterator[None]:
    """Nobody listens."""
    well = (ward.folder / "sick").read_text()
    with closing(socket.socket()) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        ward.point("sick", f"postgresql://responder_reading@127.0.0.1:{port}/sick")
        yield
    ward.point("sick", well)


@contextmanager
def frozen(ward: Ward) -> Iterator[None]:
    """Its server stands still, whatever it was doing: the kernel still takes connections."""
    processes = _processes(ward.sick)
    for each in processes:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in processes:
            with suppress(ProcessLookupError):  # one that was just ending
                os.kill(each, signal.SIGCONT)


def _processes(server: LocalPostgres) -> list[int]:
    """The server's, the one first that takes connections."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        rows = connection.execute("SELECT current_setting('data_directory')").fetchall()
    first = int(Path(rows[0][0], "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    return [first, *map(int, children)]


@pytest.mark.parametrize(
    ("sickness", "lasts"),
    [
        (silent, False),
        (slow, True),
        (crowded, False),
        pytest.param(gone, False, marks=only_in_torture),
        pytest.param(frozen, False, marks=only_in_torture),
    ],
    ids=["silent", "slow", "out of connections", "gone", "frozen"],
)
def test_the_others_do_not_wait_for_it(
    ward: Ward, sickness: Callable[[Ward], Any], lasts: bool, told: Callable[[str], None]
) -> None:
    """lasts: one question after the other is answered at its time, so that it takes long."""
    with watched(ward) as most, sickness(ward):
        ward.storm("sick", MANY)
        ward.storm("well", 20)
        ward.post(alert("Down", at="sick", shard="0", severity="critical"))
        until(lambda: ward.decided("well") == 20)
        sick = ward.decided("sick")
        until(lambda: ward.pager.received()["pagerduty"])
        told(f"when all on the other target were decided: {sick} of {MANY} of the sick one")
        if lasts:
            assert sick < MANY / 2, "the others waited for it"
        else:
            until(lambda: ward.decided("sick") == MANY + 1)
    until(lambda: ward.decided("sick") == MANY + 1)
    assert most() <= 4
    told(f"at most {most()} connections; {ward.answers()}")
    ((late,),) = (
        tuple(row.values())
        for row in ward.ours("SELECT sent_at - created_at FROM notification WHERE page")
    )
    assert late < timedelta(seconds=3), "it depends on no target"
    assert ward.ours("SELECT FROM incident WHERE walking OR stage <> 'watch'") == []

    time.sleep(SILENT_SECONDS)  # so long nobody connects to what was silent
    ward.storm("sick", 3, first=MANY)
    until(lambda: ward.decided("sick") == MANY + 4)
    (after,) = ward.ours(
        "SELECT count(*) AS well FROM answer a JOIN incident i ON i.id = a.incident_id"
        " WHERE a.status = 'ok' AND i.target = 'sick' AND (i.labels->>'shard')::int >= %s",
        MANY,
    )
    assert after["well"] == 6, "it is asked as before"


@contextmanager
def watched(ward: Ward) -> Iterator[Callable[[], int]]:
    """How many diagnosing connections were ever open on the sick target."""
    over, seen = threading.Event(), [0]

    def count() -> None:
        with psycopg.connect(ward.sick.url(), autocommit=True) as connection:
            while not over.wait(0.01):
                (row,) = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = 'responder_reading'"
                    " AND application_name = 'responder'"
                ).fetchall()
                seen[0] = max(seen[0], row[0])

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield lambda: seen[0]
    finally:
        over.set()
        thread.join()
