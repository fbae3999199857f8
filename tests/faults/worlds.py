"""Small worlds in which one fix is made by a real worker: ours, a target, the wires between.

All worlds share two servers, one of ours and one of the targets, which can be killed.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from responder.app import build
from responder.embedded import LocalPostgres
from responder.pipeline.accept import accept
from responder.pipeline.triage import triage
from responder.settings import load
from responder.sources import Request
from responder.store.migrations import migrate
from responder.store.vault import new_key
from tests.faults.wire import Loop, Story, Wire
from tests.faults.workers import Workers, alive, kill, open_workers
from tests.house import BEARER, alert
from tests.small_rules import small_rule

PATIENCE = 60.0
#: A restarted worker's clock is ahead, so that nobody waits for the target's timeouts; this is
#: harsher than waiting, since what it takes to be over may not be.
AHEAD = 60.0
#: Each time that the fix is made, its transaction leaves its mark; the cause never stops it.
STATEMENTS = {
    "wrong": "SELECT id FROM thing WHERE id = 1",
    "mend_before": "SELECT id, applied FROM thing WHERE id = 1 FOR UPDATE",
    "mend": "UPDATE thing SET applied = applied + 1, xids = xids || pg_current_xact_id()::text"
    " WHERE id = 1 RETURNING *",
    "mend_verify": "SELECT applied > 0 AS gone FROM thing WHERE id = 1",
}
ROLES: LiteralString = "CREATE ROLE responder_reading LOGIN; CREATE ROLE responder_writing LOGIN"
TARGET: LiteralString = """
CREATE TABLE thing (id int PRIMARY KEY, applied int DEFAULT 0, xids text[] DEFAULT '{}');
CREATE TABLE stranger (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
GRANT SELECT ON thing TO responder_reading;
GRANT SELECT, UPDATE (applied, xids) ON thing TO responder_writing;
INSERT INTO thing (id) VALUES (1);
"""
VAULT_KEY = new_key()
_SETTINGS = """
database = "file:{folder}/ours"
autonomy = "act"
runbook = "{runbook}"

[vault]
keys = "file:{folder}/vault_key"

[sources.prometheus]
type = "alertmanager"
bearer = "file:{folder}/bearer"

[targets.shop]
kind = "shop"
matches = []
reading = "file:{folder}/reading"
writing = "file:{folder}/writing"
"""
#: Nothing is flushed but by who commits, so that a crash loses all that it may lose.
_LAZY = {"wal_writer_delay": "10s", "autovacuum": "off", "max_connections": "400"}


@dataclass
class World:
    """One worker with databases of its own; `offset`: how far its clock is ahead."""

    number: int
    folder: Path
    story: Story
    ours: Wire
    target: Wire
    offset: float = 0.0
    worker: int = 0

    @property
    def name(self) -> str:
        return f"world_{self.number}"

    @property
    def log(self) -> str:
        path = self.folder / "work.log"
        return path.read_text(errors="replace") if path.exists() else ""


@dataclass
class Worlds:
    """The servers, and what a test does to the worlds on them."""

    folder: Path
    ours: LocalPostgres
    target: LocalPostgres
    loop: Loop
    workers: Workers
    numbers: Iterator[int]
    open: list[World] = field(default_factory=list)

    def make(self, stories: Sequence[Story]) -> list[World]:
        """A world for each story; its worker begins with an incident to be walked."""
        for story in stories:
            self.open.append(self._make(next(self.numbers), story))
        self.start(self.open)
        return self.open

    def _make(self, number: int, story: Story) -> World:
        folder = self.folder / f"{number}"
        wires = {
            side: Wire(side, server.socket_folder / ".s.PGSQL.5432", story)
            for side, server in (("ours", self.ours), ("target", self.target))
        }
        world = World(number, folder, story, **wires)
        self._administer("CREATE DATABASE {} TEMPLATE template STRATEGY file_copy", world.name)
        ports = {side: self.loop.run(wire.open()) for side, wire in wires.items()}
        _write_settings(
            folder,
            {
                name: f"postgresql://{user}@127.0.0.1:{ports[side]}/{world.name}"
                "?sslmode=disable&gssencmode=disable"
                for name, user, side in (
                    ("ours", "postgres", "ours"),
                    ("reading", "responder_reading", "target"),
                    ("writing", "responder_writing", "target"),
                )
            },
        )
        return world

    def start(self, worlds: Sequence[World]) -> None:
        """A worker for each."""
        for world in worlds:
            folder = world.folder
            world.worker = self.workers.start(
                folder / "responder.toml", folder / "work.log", world.offset
            )

    def kill(self, world: World) -> None:
        """SIGKILL to its worker; what it had not sent is never sent."""
        world.story.life += 1
        kill(world.worker)

    def cut(self, wire: Wire) -> None:
        self.loop.loop.call_soon_threadsafe(wire.cut)

    def go_on(self, world: World) -> None:
        self.loop.loop.call_soon_threadsafe(world.story.go_on)

    def crash(self, server: LocalPostgres) -> None:
        """SIGKILL, and up again; then others commit, so that transaction ids move on."""
        server.kill()
        server.start()
        if server is self.target and self.open:
            with psycopg.connect(server.url(self.open[0].name), autocommit=True) as stranger:
                for _ in range(300):
                    stranger.execute("INSERT INTO stranger DEFAULT VALUES")

    def restart(self, worlds: Sequence[World]) -> None:
        """A new worker in each, whose clock is ahead; the time since the last heartbeat is over."""
        for world in worlds:
            world.story.armed = False
            world.offset += AHEAD
            self.sql(
                world,
                "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 minute'",
            )
        self.start(worlds)

    def settled(self, world: World) -> bool:
        """Nothing is open and nobody is at work."""
        (row,) = self.sql(
            world,
            "SELECT (SELECT count(*) FROM incident WHERE stage = 'watch' AND NOT walking) = 1"
            " AND NOT EXISTS (SELECT FROM fix WHERE status IN ('started', 'recorded')"
            " OR verification = 'waiting')"
            " AND NOT EXISTS (SELECT FROM procrastinate_jobs"
            " WHERE status IN ('todo', 'doing')) AS settled",
        )
        return bool(row["settled"])

    def sql(self, world: World, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        """What stands in our database, whatever the wires do."""
        return _rows(self.ours.url(world.name), statement, parameters)

    def thing(self, world: World) -> dict[str, Any]:
        """How often the target was changed, and by which transactions."""
        url = self.target.url(world.name)
        (row,) = _rows(url, "SELECT applied, xids FROM thing WHERE id = 1", ())
        return row

    def close(self) -> None:
        """All worlds are gone."""
        for world in self.open:
            if alive(world.worker):
                self.kill(world)
            for wire in (world.ours, world.target):
                self.loop.run(wire.close())
            self._administer("DROP DATABASE {} WITH (FORCE)", world.name)
        self.open.clear()

    def _administer(self, command: LiteralString, name: str) -> None:
        for server in (self.ours, self.target):
            with psycopg.connect(server.url(), autocommit=True) as connection:
                connection.execute(sql.SQL(command).format(sql.Identifier(name)))


def _write_settings(folder: Path, urls: Mapping[str, str]) -> Path:
    folder.mkdir()
    for name, url in urls.items():
        (folder / name).write_text(url)
    (folder / "bearer").write_text(BEARER)
    (folder / "vault_key").write_text(VAULT_KEY)
    path = folder / "responder.toml"
    path.write_text(_SETTINGS.format(folder=folder, runbook=folder.parent / "runbook"))
    return path


def _make_templates(folder: Path, ours: LocalPostgres, target: LocalPostgres) -> None:
    """Of ours: an incident whose walk is queued; of a target: a thing that is wrong."""
    for server in (ours, target):
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE template")
            connection.execute(ROLES)
    with psycopg.connect(target.url("template")) as connection:
        connection.execute(TARGET)
    rule = small_rule(folder / "runbook", statements=STATEMENTS, within="10m")
    url = ours.url("template")
    migrate(url)
    services = build(load(_write_settings(folder / "template", {"ours": url})), pool_size=1)
    services.store.open()
    body = {"version": "4", "status": "firing", "alerts": [alert("Thing")]}
    headers = {"authorization": f"Bearer {BEARER}", "content-type": "application/json"}
    request = Request(headers, json.dumps(body).encode(), datetime.now(UTC))
    triage(services, accept(services, "prometheus", request).delivery)
    with services.store.transaction() as tx:
        tx.run("promote", rule=rule.name, checksum=rule.checksum, autonomy="act", actor="test")
    services.store.close()


def _rows(url: str, statement: str, parameters: Sequence[Any]) -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        connection.execute("SET search_path = responder, responder_jobs, public")
        cursor = connection.execute(statement, parameters or None)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []


def until(condition: Callable[[], object], world: World) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it never happened in {world.name}:\n{world.log[-3000:]}")
        time.sleep(0.02)


@contextmanager
def open_worlds(folder: Path) -> Iterator[Worlds]:
    """Two servers with a template of each database, and a zygote of workers."""
    with ExitStack() as stack:
        folder.chmod(0o755)
        servers = [
            stack.enter_context(LocalPostgres(folder / side, settings=_LAZY))
            for side in ("ours", "target")
        ]
        ours, target = servers
        _make_templates(folder, ours, target)
        loop = Loop()
        stack.callback(loop.close)
        workers = stack.enter_context(open_workers())
        worlds = Worlds(folder, ours, target, loop, workers, iter(range(1, 10_000)))
        stack.callback(worlds.close)
        yield worlds
