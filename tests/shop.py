"""A real shop database per test, asked and mended by its two roles as the engine does it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, LiteralString

import psycopg
import pytest

from responder.cli.demo.databases import make_shop
from responder.domain.alert import AlertStatus
from responder.domain.shipped import shipped
from responder.embedded import LocalPostgres
from responder.runbook import Alert, Answer, AnswerStatus, Case, Sql
from responder.runbook.loader import LoadedRule, load
from tests.sessions import Sessions, administer

Row = Mapping[str, Any]
_NOW = datetime.now(UTC)
_numbers = count(1)


#: A busy year: 40,000 lots of 25 items, the newest 10 still active; a queue of which one item in a
#: hundred failed (every tenth of them for good) and 500 wait; 100,000 log lines in the last hour.
#: No log of ours, no look-ups of keys, no default ids, indexes after the rows: 15 s instead of 40.
BIG: Sequence[LiteralString] = (
    "SET session_replication_role = replica",
    "SET maintenance_work_mem = '256MB'",
    "ALTER TABLE intake_items DROP CONSTRAINT intake_items_pkey, SET UNLOGGED",
    "ALTER TABLE shopify_sync_queue DROP CONSTRAINT shopify_sync_queue_pkey, SET UNLOGGED",
    "ALTER TABLE system_logs DROP CONSTRAINT system_logs_pkey, SET UNLOGGED",
    "DROP INDEX shopify_sync_queue_status, shopify_sync_queue_created_at, system_logs_created_at",
    """
    INSERT INTO intake_lots (id, lot_number, status, created_by, created_at, completed_at)
    SELECT md5('big lot' || n)::uuid, 'BIG-' || n,
        CASE WHEN n > 39990 THEN 'active' ELSE 'completed' END, md5('user' || 4 + n % 30)::uuid,
        now() - interval '13 minutes' * (40001 - n),
        CASE WHEN n <= 39990 THEN now() - interval '13 minutes' * (40001 - n) END
    FROM generate_series(1, 40000) n
    """,
    """
    INSERT INTO intake_items (id, lot_id, sku, brand_title, subject, price, created_at)
    SELECT md5(l.lot_number || '-' || n)::uuid, l.id, l.lot_number || '-' || n,
        'Pokémon Base Set', 'Pikachu ' || n, 1.50, l.created_at
    FROM (
        SELECT id, lot_number, created_at FROM intake_lots WHERE lot_number LIKE 'BIG-%'
        ORDER BY created_at
    ) l, generate_series(1, 25) n
    """,
    """
    INSERT INTO shopify_sync_queue
        (id, inventory_item_id, status, retry_count, last_error, created_at)
    SELECT md5('big sync' || n)::uuid, md5('BIG-' || 1 + n % 40000 || '-1')::uuid,
        CASE WHEN n <= 500 THEN 'queued' WHEN n % 100 = 0 THEN 'failed' ELSE 'completed' END,
        CASE WHEN n > 500 AND n % 100 = 0 THEN 3 ELSE 0 END,
        CASE WHEN n > 500 AND n % 1000 = 0 THEN 'HTTP 404: Not Found'
            WHEN n > 500 AND n % 100 = 0 THEN 'HTTP 503: Shopify is unavailable' END,
        now() - interval '30 seconds' * n
    FROM generate_series(1, 1000000) n
    """,
    """
    INSERT INTO system_logs (id, level, message, context, created_at)
    SELECT md5('big log' || n)::uuid, CASE WHEN n % 50 = 0 THEN 'error' ELSE 'info' END,
        CASE WHEN n % 50 = 0 THEN 'HTTP 503 from Shopify' ELSE 'prices refreshed' END,
        CASE WHEN n % 50 = 0
            THEN jsonb_build_object('lot_id', md5('big lot' || 1 + n % 40000)::uuid) ELSE '{}' END,
        now() - CASE WHEN n <= 100000 THEN interval '36 milliseconds' * n
            ELSE interval '1 hour' + interval '9 seconds' * (n - 100000) END
    FROM generate_series(1, 1000000) n
    """,
    "ALTER TABLE intake_items ADD PRIMARY KEY (id)",
    "ALTER TABLE shopify_sync_queue ADD PRIMARY KEY (id)",
    "ALTER TABLE system_logs ADD PRIMARY KEY (id)",
    "CREATE INDEX shopify_sync_queue_status ON shopify_sync_queue (status, created_at)",
    "CREATE INDEX shopify_sync_queue_created_at ON shopify_sync_queue (created_at)",
    "CREATE INDEX system_logs_created_at ON system_logs (created_at)",
    "VACUUM ANALYZE",
)


#: What is cloned may be older than the ten minutes in which a queue that works takes items up.
_TODAY: LiteralString = """
    UPDATE shopify_sync_queue
    SET created_at = created_at + (now() - interval '28 seconds' - newest)
    FROM (SELECT max(created_at) AS newest FROM shopify_sync_queue) made
    WHERE created_at > newest - interval '10 minutes'
"""


@dataclass(frozen=True)
class Attempt:
    """What an option's statements gave, in the order of the fix protocol."""

    before: Sequence[Row]
    gone_before: bool
    fixed: Sequence[Row]
    gone_after: bool


@dataclass(frozen=True)
class Shop:
    """One shop database; `url` takes the role."""

    server: LocalPostgres
    name: str
    sessions: Sessions

    def url(self, user: str) -> str:
        return self.server.url(self.name, user)

    def run(self, statement: str, parameters: Row | None = None, user: str = "postgres") -> None:
        """Something that happens in the shop, or that a role tries, committed."""
        with self.sessions.one(self.url(user)) as connection, connection.transaction():
            connection.execute(statement, parameters)

    def rows(self, statement: str) -> list[Any]:
        """What stands in the shop, seen by its owner."""
        with self.sessions.one(self.url("postgres")) as connection, connection.transaction():
            return [row[0] for row in connection.execute(statement)]

    def ask(self, rule: LoadedRule, diagnostic: str, parameters: Row | None = None) -> Answer:
        """One diagnostic's rows, asked by the reading role in a transaction that only reads."""
        with self.reading() as connection:
            rows = _ask(connection, rule.statements[diagnostic].sql, parameters or {})
        return Answer(AnswerStatus.OK, asked_at=_NOW, rows=rows, row_count=len(rows))

    @contextmanager
    def reading(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self.url("responder_reading")) as connection:
            connection.read_only = True
            connection.execute("SET LOCAL row_security = off")
            yield connection

    def case(self, rule: LoadedRule, **answers: Answer) -> Case:
        """All diagnostics answered by the shop, but those that are given."""
        asked = {
            part.name: answers.get(part.name) or self.ask(rule, part.name)
            for part in rule.diagnostics
            if part.name in answers or isinstance(part, Sql)
        }
        alert = Alert("am", "0", AlertStatus.FIRING, "any", "any", "shop", {}, starts_at=_NOW)
        return Case(alert, {}, at=_NOW, answers=asked)

    def fix(self, rule: LoadedRule, option: str, claims: str = "") -> Attempt:
        """The option's statements in one transaction of the writing role, committed."""
        statements = rule.statements
        verify = statements[f"{option}_verify"].sql
        with psycopg.connect(self.url("responder_writing")) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.execute("SET LOCAL row_security = off")
            connection.execute("SELECT set_config('request.jwt.claims', %s, true)", [claims])
            before = _ask(connection, statements[f"{option}_before"].sql, {})
            gone_before = _ask(connection, verify, {})[0]["gone"]
            fixed = connection.execute(
                f"WITH fix AS ({statements[option].sql}) SELECT to_jsonb(fix) FROM fix", {}
            )
            return Attempt(
                before=before,
                gone_before=gone_before,
                fixed=[row[0] for row in fixed],
                gone_after=_ask(connection, verify, {})[0]["gone"],
            )


def _ask(connection: psycopg.Connection, statement: str, parameters: Row) -> list[Row]:
    wrapped = f"SELECT to_jsonb(q) FROM ({statement}) q LIMIT %(row_cap)s"
    return [row[0] for row in connection.execute(wrapped, {**parameters, "row_cap": 10_000})]


def any_parameters(statement: str, rule: LoadedRule) -> Mapping[str, str]:
    """A value for each parameter that its type takes: a time, or what every other type takes."""
    fixed = {"before": "[]", "after": "[]"}
    return {
        name: fixed.get(name)
        or ("2020-02-02" if name.endswith("_until") else "00000000-0000-0000-0000-000000000000")
        for name in rule.statements[statement].needs()
    }


@pytest.fixture(scope="session")
def rules() -> Mapping[str, LoadedRule]:
    """The shipped rules by name."""
    return {rule.name: rule for rule in load(shipped("rules").parent)}


@pytest.fixture(scope="session")
def shop_template(cluster: LocalPostgres) -> str:
    """The name of a shop database with its rows and no sessions, to be cloned."""
    administer(cluster, "CREATE DATABASE {}", "template_shop")
    make_shop(cluster.url("template_shop"), {})
    return "template_shop"


@pytest.fixture
def shop(cluster: LocalPostgres, shop_template: str) -> Iterator[Shop]:
    """A fresh shop on an ordinary day."""
    with fresh_shop(cluster, shop_template) as shop:
        yield shop


@contextmanager
def fresh_shop(cluster: LocalPostgres, template: str) -> Iterator[Shop]:
    """A shop of today, however long it is to stand."""
    with _clone(cluster, template) as shop:
        # Other tests have filled the statistics; full, they forget what ran once.
        shop.run("SELECT extensions.pg_stat_statements_reset()")
        shop.run(_TODAY)
        yield shop


@pytest.fixture(scope="session")
def shared_shop(cluster: LocalPostgres, shop_template: str) -> Iterator[Shop]:
    """A shop for tests that do not care about its rows, or begin by cleaning up."""
    with _clone(cluster, shop_template) as shop:
        yield shop


@pytest.fixture(scope="session")
def big_shop(cluster: LocalPostgres, shop_template: str) -> Iterator[Shop]:
    """A shop with a million rows in each table that grows, for tests that leave them as they are.

    What is wrong in it stands in BIG; a test that changes something rolls it back.
    """
    with _clone(cluster, shop_template) as shop:
        with psycopg.connect(shop.url("postgres"), autocommit=True) as connection:
            for statement in BIG:
                connection.execute(statement)
        yield shop


@contextmanager
def _clone(cluster: LocalPostgres, template: str) -> Iterator[Shop]:
    name = f"shop_{next(_numbers)}"
    administer(cluster, "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, template)
    # A clone has its tables' grants and not the database's own.
    administer(cluster, "REVOKE ALL ON DATABASE {} FROM PUBLIC", name)
    administer(
        cluster,
        "GRANT CONNECT ON DATABASE {} TO responder_reading, responder_writing, responder_direct",
        name,
    )
    with closing(Sessions()) as sessions:
        yield Shop(cluster, name, sessions)
    administer(cluster, "DROP DATABASE {} WITH (FORCE)", name)
