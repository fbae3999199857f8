"""Every statement over a table that grows finds its rows by an index, however many there are.

Ten thousand incidents with their alerts, deliveries, events, fixes and messages, over thirteen
months (`bench/at_size.sql`; `bench/lists.py` measures the same with a hundred times as many). Each
statement of sql/queries is planned with values of the types that it takes, with each filter that it
may do without, and with none. What only reads is run, too: it looks at a few pages.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from responder.embedded import LocalPostgres
from responder.store import OPTIONS
from responder.store.queries import QUERIES
from tests.conftest import fresh_database

ROWS = Path(__file__).parent.parent.parent / "bench" / "at_size.sql"
SIZE = {"incidents": 10_000, "alerts": 4, "events": 5}
BIG = ("delivery", "alert", "audit_event", "incident", "answer", "decision", "fix", "note")
GROWS = re.compile(rf"\b({'|'.join((*BIG, 'notification'))})\b")
#: Of 8 kB; a table that has as many is not read from end to end.
LARGE = 20
#: What one statement looks at, at most; to read incidents from end to end takes twice as many.
PAGES = 250
#: Rows that are sorted at most.
SORTED = 2_000
#: Who looks at more, and why that is right.
MORE = {
    "audit_events_of_incidents": "filters that nothing meets are looked for in all of a rule",
    "incidents": "words, and filters that nothing meets, are looked for in all of an index",
    "notifications": "filters that nothing meets are looked for in all of an index",
    "digest_reviews": "all that wait for a verdict",
    "incidents_to_review": "all that wait for a verdict",
    "expired_incidents": "all of one month, once a minute, in the worker",
    "expired_partition": "asks for each partition whether it is needed, once a minute",
    "kept_partitions": "asks for each partition whether it is needed",
    "would_have_acted": "90 days of decisions, for one rule",
    "has_acted": "90 days of fixes of one rule",
    "incidents_after": "incidents by the thousand, when the audit is verified",
    "redrive_notifications": "what was given up, all of it when nobody says which",
}
#: What reads all of it, since that is what it is for.
WHOLE = {
    "added_events": "the audit is verified from end to end",
    "count_events": "the audit is verified from end to end",
    "queue_backlog": "events from before there were seals, once",
    "witnessed_rows": "the rows of many incidents, when the audit is verified",
}
#: Filters of which one is always given.
ONE_OF = {"audit_events_of_incidents": "rule"}
#: Types that PREPARE cannot work out.
TYPES = {"now": "timestamptz", "columns": "jsonb"}
#: Values by name, else by type; SQL literals.
BY_NAME = {
    "audit": "'100 days'",
    "before": "now() - interval '10 days'",
    "key": "'key 77'",
    "now": "now()",
    "outcome": "'quarantined'",
    "receiver": "'ops'",
    "rule": "'slow_queries'",
    "severity": "'P2'",
    "since": "now() - interval '1 day'",
    "source": "'alertmanager'",
    "status": "'resolved'",
    "target": "'shop_1'",
    "until": "now()",
}
BY_TYPE = {
    "bigint": "50",
    "boolean": "true",
    "bytea": r"'\x00'",
    "date": "current_date - 7",
    "double precision": "0.5",
    "integer": "50",
    "interval": "'1 hour'",
    "jsonb": "'{}'",
    "smallint": "3",
    "text": "'nothing like it'",
    "text[]": "'{ops,hook}'",
    "timestamp with time zone": "now()",
    "timestamp with time zone[]": "'{}'",
    "uuid": "'%s'",
    "uuid[]": "'{%s}'",
}
NAMES = sorted(
    name for name, each in QUERIES.items() if GROWS.search(each.sql) and name not in WHOLE
)


@dataclass(frozen=True)
class Filled:
    """The connection, an id of what is in the middle, and how many pages each table has."""

    connection: psycopg.Connection[Any]
    id: str
    pages: Mapping[str, int]


@pytest.fixture(scope="module")
def filled(cluster: LocalPostgres, template: str) -> Iterator[Filled]:
    options = f"{OPTIONS} -c statement_timeout=60s"
    with (
        fresh_database(cluster, template) as url,
        psycopg.connect(
            url, autocommit=True, options=options, prepare_threshold=None
        ) as connection,
    ):
        for name, value in SIZE.items():
            connection.execute("SELECT set_config(%s, %s, false)", (f"bench.{name}", str(value)))
        connection.execute(ROWS.read_bytes())
        connection.execute("VACUUM")
        middle = "SELECT id::text FROM incident ORDER BY opened_at OFFSET 5001 LIMIT 1"
        pages = "SELECT oid::regclass::text, relpages FROM pg_class WHERE relkind = 'r'"
        row = connection.execute(middle).fetchone()
        assert row is not None
        yield Filled(connection, row[0], dict(connection.execute(pages).fetchall()))


def positional(sql: str) -> tuple[str, list[str]]:
    """A statement as PREPARE takes it, and the names of its parameters in order."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", sql)))
    numbered = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", sql)
    return numbered.replace("%%", "%"), names


def prepare(filled: Filled, sql: str, names: Sequence[str]) -> list[str]:
    """Make it ready under the name `asked`; returns the types of its parameters."""
    known = [TYPES.get(name, "unknown") for name in names]
    taken = f"({', '.join(known)})" if known else ""
    filled.connection.execute("DEALLOCATE ALL")
    filled.connection.execute(f"PREPARE asked{taken} AS {sql}".encode())
    row = filled.connection.execute(
        "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'asked'"
    ).fetchone()
    assert row is not None
    return list(row[0])


def value(filled: Filled, name: str, kind: str) -> str:
    right = name in BY_NAME and (kind.startswith("timestamp") or kind in ("text", "interval"))
    found = BY_NAME[name] if right else BY_TYPE[kind]
    return found.replace("%s", filled.id)


def variants(name: str, sql: str, values: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """No filter that may be left out; each alone; each alone with what is not there."""
    optional = dict.fromkeys(re.findall(r"%\((\w+)\)s::\w+ IS NULL\s+OR", sql))
    optional.pop(ONE_OF.get(name, ""), None)
    bare = {**values, **dict.fromkeys(optional, "NULL")}
    yield bare
    for each in optional:
        cursor = {"before_id": values["before_id"]} if each == "before" else {}
        yield {**bare, each: values[each], **cursor}
        if each in BY_NAME and BY_NAME[each].startswith("'"):
            yield {**bare, each: "'nothing like it'"}


def plan_of(filled: Filled, values: Sequence[str], run: bool) -> dict[str, Any]:
    """Planned for these values; run, if asked for, and taken back."""
    how = "ANALYZE, BUFFERS, FORMAT json" if run else "FORMAT json"
    given = f"({', '.join(values)})" if values else ""
    with filled.connection.transaction(force_rollback=True):
        filled.connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        row = filled.connection.execute(f"EXPLAIN ({how}) EXECUTE asked{given}".encode()).fetchone()
    assert row is not None
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def faults(filled: Filled, name: str, plan: Mapping[str, Any], run: bool) -> Iterator[str]:
    for node in nodes(plan):
        table = node.get("Relation Name", "")
        large = filled.pages.get(table, 0) >= LARGE and not table.startswith("pg_")
        if large and node["Node Type"] == "Seq Scan":
            yield f"reads {table} from end to end"
        if node["Node Type"] == "Sort" and node["Plan Rows"] > SORTED and name not in MORE:
            yield f"sorts {node['Plan Rows']} rows"
    looked_at = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] if run else 0
    if looked_at > PAGES and name not in MORE:
        yield f"looks at {looked_at} pages"


@pytest.mark.parametrize("name", NAMES)
def test_each_statement_over_what_grows_goes_by_an_index(filled: Filled, name: str) -> None:
    sql, names = positional(QUERIES[name].sql)
    kinds = prepare(filled, sql, names)
    values = {each: value(filled, each, kind) for each, kind in zip(names, kinds, strict=True)}
    run = re.search(r"\b(INSERT|UPDATE|DELETE)\b", sql.replace("FOR UPDATE", "")) is None
    for given in variants(name, QUERIES[name].sql, values):
        plan = plan_of(filled, [given[each] for each in names], run)
        assert list(faults(filled, name, plan, run)) == [], given


def test_what_looks_at_more_is_named_with_a_reason() -> None:
    assert set(MORE) <= set(NAMES)
    assert set(WHOLE) <= set(QUERIES)
    assert len(NAMES) > 100


def test_a_statement_without_an_index_would_be_found(filled: Filled) -> None:
    for sql, fault in {
        "SELECT id FROM incident WHERE source = 'x'": "reads incident from end to end",
        "SELECT id FROM notification ORDER BY due_at LIMIT 5": "reads notification from end to end",
        "SELECT count(details) FROM audit_event": "pages",
    }.items():
        prepare(filled, sql, [])
        plan = plan_of(filled, [], True)
        found = list(faults(filled, "new", plan, True))
        assert any(fault in each for each in found), (sql, found)
