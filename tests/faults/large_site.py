"""The responder on several processes: two `serve`, three `work`, each of which can be killed alone.

Around them a target server whose every fix leaves a mark, and a pager that knows when it was
called. Our database is handed in, so that a test may do to it what it likes.
"""

import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import requests
from psycopg import sql
from psycopg.rows import dict_row

from responder.app import build
from responder.domain.ids import new_id
from responder.embedded import LocalPostgres
from responder.pipeline.services import Services
from responder.settings import load
from responder.store.migrations import migrate
from responder.store.vault import new_key
from responder.web.tokens import TokenKeys, new_keys
from tests.faults.called import Pager
from tests.faults.network import Ground, Host, let_in
from tests.faults.processes import Process, web_process, worker_process
from tests.faults.workers import open_workers
from tests.faults.worlds import ROLES, STATEMENTS, TARGET
from tests.small_rules import small_rule

#: No rule is fixed more than five times in an hour, so each has fewer targets than that.
TARGETS = 3
#: Rules of P1, all on a target of their own: while it is on fire, nothing is fixed there.
BLAZES = 4
#: Fixes that are to be made: RULES on each of TARGETS.
RULES = 12
PATIENCE = 60.0
#: Longer than anything that is promised; the last fix of a killed worker waits for its target.
AT_REST = 120.0
_SETTINGS = """
database = "file:{folder}/ours"
token_keys = "file:{folder}/token_keys"
public_url = "http://responder.example"
autonomy = "act"
runbook = "{folder}/runbook"

[vault]
keys = "file:{folder}/vault_key"

[seal]
key = "file:{folder}/seal_keys"
copy_to = ["{folder}/seals.jsonl"]

[sources.prometheus]
type = "alertmanager"
bearer = "file:{folder}/bearer"

[receivers.pager]
type = "pagerduty"
url = "{pager}"
routing_key = "file:{folder}/routing_key"
per_minute = 6000

[[routes]]
receivers = ["pager"]
page = true

[last_resort]
receivers = ["pager"]
"""
_TARGET_SETTINGS = """
[targets.shop_{shard}]
kind = "shop"
matches = ['shard="{shard}"']
reading = "file:{folder}/reading_{shard}"
writing = "file:{folder}/writing_{shard}"
"""
#: What is still under way anywhere; all of it is 0 when everything is at rest.
_UNDER_WAY = """
SELECT (SELECT count(*) FROM delivery WHERE triaged_at IS NULL) AS deliveries,
    (SELECT count(*) FROM incident WHERE walking OR stage NOT IN ('watch', 'done')) AS incidents,
    (SELECT count(*) FROM fix WHERE status IN ('started', 'recorded') OR verification = 'waiting')
        AS fixes,
    (SELECT count(*) FROM notification
     WHERE status IN ('due', 'sending') AND due_at <= now() + interval '5 seconds') AS messages
"""
#: Incidents that are under way, with all that could wake them.
_RESTLESS = """
SELECT i.id::text, i.rule, i.target, i.status, i.stage, i.walking, i.attempt,
    (SELECT array_agg(t.what || ' at ' || t.due_at) FROM timer t
     WHERE t.incident_id = i.id) AS timers,
    (SELECT array_agg(f.status || ' ' || coalesce(f.verification, '')) FROM fix f
     WHERE f.incident_id = i.id) AS fixes,
    (SELECT array_agg(j.status || ' after ' || j.attempts || ' attempts') FROM procrastinate_jobs j
     WHERE j.args ->> 'incident' = i.id::text) AS jobs
FROM incident i WHERE i.walking OR i.stage NOT IN ('watch', 'done')
"""


@dataclass
class LargeSite:
    """ours: the URL of our database; doors: the URLs that senders try, in the order of the webs."""

    folder: Path
    ours: str
    target: LocalPostgres
    shards: Sequence[str]
    pager: Pager
    services: Services
    bearer: str
    viewer: str
    webs: Sequence[Process]
    workers: Sequence[Process]
    doors: Sequence[str]

    @property
    def config(self) -> Path:
        return self.folder / "responder.toml"

    @property
    def processes(self) -> list[Process]:
        return [*self.webs, *self.workers]

    def sql(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        """What stands in our database."""
        with psycopg.connect(self.ours, row_factory=dict_row, connect_timeout=3) as connection:
            connection.execute("SET search_path = responder, responder_jobs")
            return connection.execute(statement, parameters or None).fetchall()  # type: ignore[call-overload]

    def marks(self) -> dict[str, list[tuple[int, list[str]]]]:
        """By target: of each thing how often it was changed, and by which transactions."""
        found = {}
        for shard in self.shards:
            with psycopg.connect(self.target.url(f"shop_{shard}")) as connection:
                found[f"shop_{shard}"] = connection.execute(
                    "SELECT applied, xids FROM thing ORDER BY id"
                ).fetchall()
        return found

    def metrics(self) -> Mapping[str, float]:
        """Of a web process that reaches our database."""
        headers = {"Authorization": f"Bearer {self.viewer}"}
        for door in self.doors:
            text = requests.get(f"{door}/metrics", headers=headers, timeout=30).text
            lines = [line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#"]
            values = {name: float(value) for name, value in lines}
            if values.get("responder_database_up") == 1:
                return values
        raise AssertionError("no web process reaches our database")

    def under_way(self) -> dict[str, int]:
        """What is not at rest yet."""
        (row,) = self.sql(_UNDER_WAY)
        return {what: count for what, count in row.items() if count}

    def rest(self) -> None:
        """Returns when nothing is under way any more."""
        try:
            until(lambda: not self.under_way(), AT_REST)
        except TimeoutError:
            said = f"not at rest after {AT_REST} s: {self.under_way()}"
            raise AssertionError("\n".join([said, *map(str, self.sql(_RESTLESS))])) from None

    def look_after(self) -> None:
        """What a supervisor does: whoever has ended is started again."""
        for process in self.processes:
            if not process.running:
                process.start()

    def ready(self) -> None:
        """Returns when all of them do their work; whoever ends meanwhile is started again."""
        for process in self.processes:

            def does_its_work(process: Process = process) -> bool:
                self.look_after()
                return process.ready

            try:
                until(does_its_work, PATIENCE)
            except TimeoutError:
                raise AssertionError(process.log.read_text()[-3000:]) from None


def until(condition: Callable[[], object], patience: float) -> None:
    """TimeoutError when it does not come true; a database that is away says nothing."""
    deadline = time.monotonic() + patience
    while True:
        try:
            if condition():
                return
        except psycopg.OperationalError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


@contextmanager
def open_large_site(
    folder: Path,
    ours: str,
    rules: int = RULES,
    webs: int = 2,
    workers: int = 3,
    ground: Ground | None = None,
) -> Iterator[LargeSite]:
    """All of it runs and is ready; folder: a new one; ours: the URL of an empty database.

    ground: hosts for the webs, then for the workers; without it all is on this machine.
    """
    ground = ground or Ground([Host("here")] * (webs + workers))
    with ExitStack() as stack:
        folder.mkdir(mode=0o755)
        listens = {"listen_addresses": ground.target}
        target = stack.enter_context(LocalPostgres(folder / "target", settings=listens))
        pager = stack.enter_context(Pager(ground.pager))
        forks = stack.enter_context(open_workers())
        shards = [*map(str, range(TARGETS)), "fire"]
        _make_targets(target, shards, rules)
        bearer = _write_settings(folder, ours, target, shards, pager.url, ground)
        _write_runbook(folder / "runbook", rules)
        migrate(ours)
        services = build(load(folder / "responder.toml"), pool_size=1)
        _promote(services)
        binds = [f"{host.address}:{_free_port()}" for host in ground.hosts[:webs]]
        site = LargeSite(
            folder=folder,
            ours=ours,
            target=target,
            shards=shards,
            pager=pager,
            services=services,
            bearer=bearer,
            viewer=TokenKeys(services.settings.token_keys).issue(
                "test", "viewer", datetime.now(UTC), timedelta(hours=6), new_id()
            ),
            webs=[
                web_process(forks, host, folder, number, bind)
                for number, (host, bind) in enumerate(zip(ground.hosts, binds, strict=False))
            ],
            workers=[
                worker_process(forks, host, folder, number)
                for number, host in enumerate(ground.hosts[webs:])
            ],
            doors=[f"http://{bind}" for bind in binds],
        )
        for process in site.processes:
            process.start()
            stack.callback(process.kill)
        site.ready()
        yield site


def _make_targets(server: LocalPostgres, shards: Sequence[str], things: int) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(ROLES)
        for shard in shards:
            name = sql.Identifier(f"shop_{shard}")
            connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    for shard in shards:
        with psycopg.connect(server.url(f"shop_{shard}")) as connection:
            connection.execute(TARGET)
            connection.execute(
                "INSERT INTO thing (id) SELECT generate_series(1, %s) ON CONFLICT DO NOTHING",
                [things + BLAZES],
            )


def _write_settings(
    folder: Path,
    ours: str,
    target: LocalPostgres,
    shards: Sequence[str],
    pager: str,
    ground: Ground,
) -> str:
    """The source's bearer."""
    bearer = secrets.token_hex(16)
    files = {
        "ours": ours,
        "token_keys": new_keys(new_id()),
        "vault_key": new_key(),
        "seal_keys": new_keys(new_id()),
        "bearer": bearer,
        "routing_key": secrets.token_hex(16),
    }
    written = _SETTINGS.format(folder=folder, pager=pager)
    for shard in shards:
        for kind in ("reading", "writing"):
            name, role = f"shop_{shard}", f"responder_{kind}"
            url = let_in(target, ground.target, name, role) if ground.target else None
            files[f"{kind}_{shard}"] = url or target.url(name, role)
        written += _TARGET_SETTINGS.format(folder=folder, shard=shard)
    for name, text in {**files, "responder.toml": written}.items():
        (folder / name).write_text(text)
    return bearer


def _write_runbook(folder: Path, rules: int) -> None:
    """Each rule has a thing of its own in each target."""
    for number in range(1, rules + BLAZES + 1):
        name, severity, options = f"Thing{number}", "p2", ""
        if number > rules:
            name, severity = f"Blaze{number - rules}", "p1"
            options = 'Option("mend", "Mend it", changes=("thing",), max_rows=1)'
        statements = {
            each: text.replace("id = 1", f"id = {number}") for each, text in STATEMENTS.items()
        }
        small_rule(folder, name, severity, statements, within="10m", every="1s", options=options)


def _promote(services: Services) -> None:
    services.store.open()
    with services.store.transaction() as tx:
        for rule in services.catalogue.rules.values():
            tx.run("promote", rule=rule.name, checksum=rule.checksum, autonomy="act", actor="test")
    services.store.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
