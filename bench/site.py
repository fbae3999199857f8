"""A real responder for measuring: its own PostgreSQL, `serve`, `work`, targets and a receiver."""

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from psycopg.rows import dict_row

from bench.processes import Roles, memory, numbered, tree
from bench.receiver import Receiver, open_receiver
from responder.cli.demo.children import Child
from responder.cli.demo.databases import make_database, make_shop
from responder.cli.demo.settings import SecretFiles
from responder.cli.demo.world import WORKER_IS_READY, _answers, _free_port
from responder.domain.ids import new_id
from responder.domain.secret import Secret
from responder.domain.shipped import shipped
from responder.embedded import LocalPostgres
from responder.store.migrations import migrate
from responder.store.vault import new_key
from responder.web.tokens import TokenKeys, new_keys

#: Of every server that is measured, ours and the peers'; durable, as a new one is.
POSTGRES = {
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "min_wal_size": "1GB",
    "max_connections": "200",
    "fsync": "on",
    "synchronous_commit": "on",
}
#: As many as `min_wal_size` keeps.
_WAL_FILES = 60
_SETTINGS = """\
database = "file:{folder}/database"
token_keys = "file:{folder}/token_keys"
public_url = "{url}"
runbook = "{runbook}"
autonomy = "act"

[vault]
keys = "file:{folder}/vault_key"
"""
_SOURCE = """
[sources.source_{number}]
type = "alertmanager"
bearer = "file:{folder}/bearer"
"""
_TARGET = """
[targets.shop_{number}]
kind = "shop"
matches = ['shop="shop_{number}"']
reading = "file:{folder}/reading_{number}"
writing = "file:{folder}/writing_{number}"
"""
#: Programs, not people: they may hear as much as we can tell.
_RECEIVERS = """
[receivers.pager]
type = "pagerduty"
url = "{receiver}"
routing_key = "file:{folder}/routing_key"
per_minute = {per_minute}

[[routes]]
receivers = ["pager"]
page = true

[[routes]]
receivers = [{names}]
"""
_HOOK = """
[receivers.hook_{number}]
type = "webhook"
url = "{receiver}/hook_{number}"
secret = "file:{folder}/webhook_secret"
per_minute = {per_minute}
"""


@dataclass
class Site:
    """The running responder. Sources are `source_1`..., hooks post to `/hook_1`..., the pager to
    `/v2/enqueue`; an alert with the label shop="shop_1" is about the first target."""

    folder: Path
    url: str
    database: str
    server: LocalPostgres
    shops: LocalPostgres | None
    receiver: Receiver
    serve: Child
    works: list[Child]

    def webhook(self, source: int = 1) -> str:
        return f"{self.url}/v1/webhooks/source_{source}"

    @cached_property
    def headers(self) -> dict[str, str]:
        """What a sender posts with."""
        bearer = (self.folder / "bearer").read_text()
        return {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}

    @cached_property
    def token(self) -> str:
        """Of an admin of the API."""
        keys = TokenKeys(Secret((f"file:{self.folder}/token_keys",)))
        return keys.issue("bench", "admin", datetime.now(UTC), timedelta(hours=8), new_id())

    def start_working(self) -> None:
        """The first worker goes on, which was stopped; returns when it takes jobs."""
        (work, *_) = self.works
        already = _said_ready(work)
        work.start()
        work.wait_until(lambda: _said_ready(work) > already)

    def sql(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        """What stands in our database."""
        with psycopg.connect(self.database, row_factory=dict_row) as connection:
            connection.execute("SET search_path = responder, responder_jobs")
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def roles(self) -> Roles:
        """Its processes, and ours, which generates the load."""
        found = numbered("web", self.serve.pid) | {
            f"worker {n}": tree(work.pid) for n, work in enumerate(self.works, 1)
        }
        found["PostgreSQL"] = tree(self.server.pid)
        if self.shops:
            found["targets"] = tree(self.shops.pid)
        return {**found, "receiver": {self.receiver.pid}, "generator": {os.getpid()}}

    def memory(self) -> dict[str, float]:
        """Resident megabytes of each of our own processes, without what a worker started."""
        webs = {name: pids for name, pids in self.roles().items() if name.startswith("web")}
        works = {f"worker {n}": {work.pid} for n, work in enumerate(self.works, 1)}
        return {name: memory(pids) for name, pids in {**webs, **works}.items()}


@contextmanager
def open_site(
    *,
    web: int = 2,
    workers: int = 1,
    slots: int = 8,
    sources: int = 1,
    targets: int = 0,
    hooks: int = 1,
    per_minute: int = 1_000_000,
    runbook: Path | None = None,
    settings: str = "",
    server: LocalPostgres | None = None,
    database: str = "responder",
) -> Iterator[Site]:
    """Everything started and ready; all of it is stopped at the end.

    runbook: another one than the shipped. settings: more of responder.toml. server: a running
    one, to put the database there; else it gets one of its own, durable.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="responder-bench-")))
        kept = SecretFiles(folder)
        server = server or stack.enter_context(LocalPostgres(settings=POSTGRES))
        shops = stack.enter_context(LocalPostgres(settings=POSTGRES)) if targets else None
        receiver = stack.enter_context(open_receiver())
        url = kept.write("database", make_database(server, database))
        migrate(url)
        bind = f"127.0.0.1:{_free_port()}"
        rules = runbook or shipped("rules").parent
        places = {"folder": folder, "url": f"http://{bind}", "receiver": receiver.url}
        parts = [_SETTINGS.format(**places, runbook=runbook or "")]
        parts += [_SOURCE.format(**places, number=n + 1) for n in range(sources)]
        parts += [_TARGET.format(**places, number=n + 1) for n in range(targets)]
        parts += [_HOOK.format(**places, number=n + 1, per_minute=per_minute) for n in range(hooks)]
        names = ", ".join(f'"hook_{n + 1}"' for n in range(hooks))
        parts += [_RECEIVERS.format(**places, names=names, per_minute=per_minute), settings]
        kept.write("responder.toml", "".join(parts))
        _make_secrets(kept)
        for number in range(1, targets + 1):
            assert shops is not None
            _make_target(kept, shops, number, rules)
        serve, works = _start(stack, folder, bind, web, workers, slots)
        yield Site(folder, f"http://{bind}", url, server, shops, receiver, serve, works)


def grow_old(server: LocalPostgres) -> None:
    """As one that has run for a while: a new server stands still for each file of WAL it makes."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for _ in range(_WAL_FILES):
            connection.execute("SELECT pg_logical_emit_message(false, 'bench', '')")
            connection.execute("SELECT pg_switch_wal()")
        connection.execute("CHECKPOINT")


def _said_ready(work: Child) -> int:
    return work.log.read_text(errors="replace").count(WORKER_IS_READY)


def _make_secrets(kept: SecretFiles) -> None:
    kept.write("token_keys", new_keys(new_id()))
    kept.write("vault_key", new_key())
    kept.make("bearer", "routing_key")
    kept.make_signing("webhook_secret")


def _make_target(kept: SecretFiles, shops: LocalPostgres, number: int, rules: Path) -> None:
    """A shop with its rows, and the roles that the rules need there."""
    url = make_database(shops, f"shop_{number}")
    names = ("reading", "writing")
    make_shop(url, {f"responder_{each}": secrets.token_hex(16) for each in names}, rules)
    for each in names:
        kept.write(f"{each}_{number}", shops.url(f"shop_{number}", f"responder_{each}"))


def _start(
    stack: ExitStack, folder: Path, bind: str, web: int, workers: int, slots: int
) -> tuple[Child, list[Child]]:
    """`serve` and each `work`, ready; they end with the stack."""
    told = {"RESPONDER_CONFIG": str(folder / "responder.toml")}
    serve = Child(["serve", "--bind", bind, "--workers", str(web)], told, folder / "serve.log")
    works = [
        Child(["work", "--slots", str(slots)], told, folder / f"work_{number}.log")
        for number in range(1, workers + 1)
    ]
    for child in (serve, *works):
        stack.callback(child.stop)
        child.start()
    serve.wait_until(lambda: _answers(f"http://{bind}/readyz"))
    for work in works:
        work.wait_until(lambda log=work.log: WORKER_IS_READY in log.read_text(errors="replace"))  # type: ignore[misc]
    return serve, works
