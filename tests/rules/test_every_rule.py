"""What holds for each shipped rule, and for the grants of the two roles that carry them out."""

import ast
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from responder.domain.shipped import shipped
from responder.runbook import Option, Sql
from responder.runbook.loader import LoadedRule, load
from responder.targets.direct import State
from tests.shop import any_parameters

if TYPE_CHECKING:
    from tests.shop import Shop

RULES = load(shipped("rules").parent)
OPTIONS = [
    pytest.param(rule, option, id=f"{rule.name}-{option.name}")
    for rule in RULES
    for option in rule.options.values()
    if not option.run and option.transactional
]
DIRECT = [
    pytest.param(rule, option, id=f"{rule.name}-{option.name}")
    for rule in RULES
    for option in rule.options.values()
    if not option.transactional
]
DIAGNOSTICS = [
    pytest.param(rule, part.name, id=f"{rule.name}-{part.name}")
    for rule in RULES
    for part in rule.diagnostics
    if isinstance(part, Sql)
]
PARTS = ("before", "verify", "after", "undo", "check", "cleanup")
each_rule = pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])

TABLES = """
    SELECT format('%I.%I', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""


@each_rule
def test_it_tells_what_is_wrong_how_it_shows_and_how_to_prevent_it(rule: LoadedRule) -> None:
    path = shipped("rules") / rule.severity.lower() / f"{rule.name}.py"
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    sentence, _, rest = text.partition("\n\n")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "Symptoms:" in rest
    assert "Prevention:" in rest


@each_rule
def test_nothing_that_pages_is_automatic(rule: LoadedRule) -> None:
    automatic = [option.name for option in rule.options.values() if option.automatic]
    assert not (rule.severity.pages and automatic)


@each_rule
def test_no_statement_is_left_over(rule: LoadedRule) -> None:
    known = {part.name for part in rule.diagnostics}
    for name in rule.options:
        known |= {name, *(f"{name}_{part}" for part in PARTS)}
    assert set(rule.statements) <= known


@pytest.mark.parametrize(("rule", "diagnostic"), DIAGNOSTICS)
def test_reading_role_can_ask(shared_shop: "Shop", rule: LoadedRule, diagnostic: str) -> None:
    answer = shared_shop.ask(rule, diagnostic, any_parameters(diagnostic, rule))
    assert answer.row_count <= 100


@pytest.mark.parametrize(("rule", "option"), OPTIONS)
def test_writing_role_may_run_the_option(
    shared_shop: "Shop", rule: LoadedRule, option: Option
) -> None:
    """EXPLAIN parses and checks the grants; nothing runs."""
    wraps = {
        option.name: "WITH fix AS ({}) SELECT to_jsonb(fix) FROM fix",
        f"{option.name}_before": "SELECT to_jsonb(q) FROM ({}) q",
        f"{option.name}_verify": "SELECT to_jsonb(q) FROM ({}) q",
    }
    if option.undo:
        wraps[f"{option.name}_undo"] = wraps[option.name]
    for statement, wrap in wraps.items():
        text = "EXPLAIN " + wrap.format(rule.statements[statement].sql)
        shared_shop.run(text, any_parameters(statement, rule), user="responder_writing")


@pytest.mark.parametrize(("rule", "option"), OPTIONS)
def test_rows_are_told_by_their_id_and_the_cause_by_gone(
    shared_shop: "Shop", rule: LoadedRule, option: Option
) -> None:
    def columns(statement: str) -> list[str]:
        with psycopg.connect(shared_shop.url("responder_writing")) as connection:
            text = rule.statements[statement].sql
            cursor = connection.execute(text, any_parameters(statement, rule))
            return [column.name for column in cursor.description or ()]

    assert "id" in columns(f"{option.name}_before")
    assert columns(f"{option.name}_verify") == ["gone"]


@pytest.mark.parametrize("role", ["responder_direct", "responder_reading"])
@pytest.mark.parametrize(("rule", "option"), DIRECT)
def test_work_outside_of_a_transaction_is_checked_by_whoever_does_and_verifies_it(
    shared_shop: "Shop", rule: LoadedRule, option: Option, role: str
) -> None:
    with psycopg.connect(shared_shop.url(role)) as connection:
        states = connection.execute(rule.statements[f"{option.name}_check"].sql, {}).fetchall()
    [(state,)] = states
    assert state in list(State)


@pytest.mark.parametrize("role", ["responder_reading", "responder_writing"])
def test_roles_are_humble(shared_shop: "Shop", role: str) -> None:
    [flags] = shared_shop.rows(
        "SELECT array[rolsuper, rolcreatedb, rolcreaterole, rolreplication]"
        f" FROM pg_roles WHERE rolname = '{role}'"
    )
    assert not any(flags)
    for statement in ("CREATE TABLE mine (n int)", "CREATE TEMP TABLE mine (n int)"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            shared_shop.run(statement, user=role)


def test_reading_role_has_no_grant_to_write(shared_shop: "Shop") -> None:
    granted = shared_shop.rows(
        f"SELECT t FROM ({TABLES}) tables (t) WHERE has_table_privilege('responder_reading', t,"
        " 'INSERT, UPDATE, DELETE, TRUNCATE') OR has_any_column_privilege('responder_reading', t,"
        " 'INSERT, UPDATE')"
    )
    assert granted == []
    assert len(shared_shop.rows(TABLES)) >= 8


def test_reading_role_cannot_write_in_a_transaction_that_could(shared_shop: "Shop") -> None:
    attempts = ["INSERT INTO {} DEFAULT VALUES", "DELETE FROM {}", "TRUNCATE {}"]
    tables = shared_shop.rows(
        "SELECT array[schemaname, tablename] FROM pg_tables WHERE schemaname IN ('public', 'auth')"
    )
    assert len(tables) == 8
    with psycopg.connect(shared_shop.url("responder_reading"), autocommit=True) as connection:
        for table in tables:
            for attempt in [
                *attempts,
                f"UPDATE {{}} SET {first_column(shared_shop, table)} = NULL",
            ]:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(sql.SQL(attempt).format(sql.Identifier(*table)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT admin_clear_shopify_sync_queue('completed')")


def first_column(shared_shop: "Shop", table: list[str]) -> str:
    [name] = shared_shop.rows(
        f"SELECT attname FROM pg_attribute WHERE attrelid = '{'.'.join(table)}'::regclass"
        " AND attnum = 1"
    )
    return str(name)


def test_writing_role_updates_only_what_options_change(shared_shop: "Shop") -> None:
    changed = {
        f"public.{table}" for rule in RULES for o in rule.options.values() for table in o.changes
    }
    updatable = shared_shop.rows(
        f"SELECT t FROM ({TABLES}) tables (t)"
        " WHERE has_any_column_privilege('responder_writing', t, 'UPDATE')"
    )
    others = shared_shop.rows(
        f"SELECT t FROM ({TABLES}) tables (t)"
        " WHERE has_table_privilege('responder_writing', t, 'INSERT, DELETE, TRUNCATE')"
    )
    assert set(updatable) <= changed
    assert set(others) <= changed
