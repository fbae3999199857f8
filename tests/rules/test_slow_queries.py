"""A real shop is made slow in each way that the rule knows; what it offers is then run for real."""

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.matcher import first_failed
from responder.domain.shipped import shipped
from responder.domain.statements import parse_statements
from responder.pipeline.by_hand import Asked, NotBegun, ask
from responder.pipeline.maintenance import NO_WINDOW
from responder.runbook import Answer, AnswerStatus, Error, ErrorKind, Finding
from responder.runbook.loader import LoadedRule
from tests.house import House, alert
from tests.walks import allow_work

if TYPE_CHECKING:
    from tests.shop import Shop

SCENES = parse_statements((shipped("sql") / "demo" / "scenes.sql").read_text(), "scenes.sql")
#: What counts the statements and scans of a session is told to others at its end, or after this.
TELL = "SELECT pg_stat_force_next_flush()"


@pytest.fixture
def rule(rules: Mapping[str, LoadedRule]) -> LoadedRule:
    return rules["slow_queries"]


def run(shop: "Shop", *statements: str) -> None:
    """What the shop's owner does, each by itself, with its traces in the statistics."""
    with psycopg.connect(shop.url("postgres"), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.execute(TELL)


def slow_page(shop: "Shop") -> None:
    run(shop, SCENES["slow_statements"].sql)


def search(shop: "Shop", times: int = 20) -> None:
    """Fast searches by SKU that read the whole table."""
    run(shop, *["SELECT subject FROM intake_items WHERE sku = 'PKM-100005'"] * times)


def conclude(rule: LoadedRule, shop: "Shop", **answers: Answer) -> list[Finding]:
    return list(rule.rule.conclude(shop.case(rule, **answers)))


def names(findings: list[Finding]) -> list[str]:
    return [finding.name for finding in findings]


def failed(kind: ErrorKind, code: str = "", message: str = "as it says") -> Answer:
    return Answer(AnswerStatus.FAILED, datetime.now(UTC), error=Error(kind, code, message))


def ask_statements(rule: LoadedRule, shop: "Shop") -> Answer:
    """The question for statements, or the error that the engine makes of a failure."""
    try:
        return shop.ask(rule, "statements")
    except psycopg.Error as error:
        return failed(ErrorKind.STATEMENT, error.sqlstate or "", str(error))


def columns(finding: Finding) -> list[tuple[str, str]]:
    return [(row["table_name"], row["column_name"]) for row in finding.rows]


def commands(rule: LoadedRule, option: str) -> list[str]:
    """The statements that a person would send with psql."""
    if not rule.options[option].transactional:
        return [rule.statements[option].sql]
    program, url, *words = shlex.split(rule.options[option].run)
    assert (program, url, set(words[::2])) == ("psql", "$DATABASE_ADMIN_URL", {"--command"})
    return words[1::2]


def test_ordinary_day_has_no_finding(rule: LoadedRule, shop: "Shop") -> None:
    search(shop, times=5)
    assert conclude(rule, shop) == []
    assert {row["table_name"] for row in shop.ask(rule, "sizes").rows} >= {"public.intake_items"}


def test_slow_statement_is_shown_and_the_indexes_that_it_lacks_are_offered(
    rule: LoadedRule, shop: "Shop"
) -> None:
    slow_page(shop)
    slow, missing = conclude(rule, shop)
    assert (slow.name, slow.offers) == ("slow_statements", ())
    assert slow.summary.startswith("1 statement takes longer than a second on average")
    assert slow.summary.endswith("in 1 call.")
    [row] = slow.rows
    assert (row["calls"], row["login"]) == (1, "postgres")
    assert row["mean_ms"] > 1000
    assert missing.name == "missing_index"
    assert missing.offers == ("index_lot_id", "index_sku")
    assert columns(missing) == [("public.intake_items", "lot_id"), ("public.intake_items", "sku")]


def test_offered_indexes_end_the_finding(rule: LoadedRule, shop: "Shop") -> None:
    slow_page(shop)
    run(shop, *commands(rule, "index_sku"), *commands(rule, "index_lot_id"))
    assert names(conclude(rule, shop)) == ["slow_statements"]
    assert shop.rows(
        "SELECT indexrelid::regclass::text FROM pg_index WHERE pg_get_expr(indpred, indrelid)"
        " = '(deleted_at IS NULL)' ORDER BY 1"
    ) == ["idx_intake_items_lot_id", "idx_intake_items_sku"]


def test_invalid_index_is_none(rule: LoadedRule, shop: "Shop") -> None:
    """As CREATE INDEX CONCURRENTLY leaves it when it fails."""
    slow_page(shop)
    run(shop, *commands(rule, "index_sku"), *commands(rule, "index_lot_id"))
    shop.run(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_intake_items_sku'::regclass"
    )
    assert conclude(rule, shop)[1].offers == ("index_sku",)
    assert "DROP INDEX CONCURRENTLY" in rule.options["index_sku"].caution


def test_table_that_is_read_to_the_end_by_fast_statements_is_left_alone(
    rule: LoadedRule, shop: "Shop"
) -> None:
    search(shop)
    assert shop.ask(rule, "scans").rows, "the candidates are there to be seen"
    assert conclude(rule, shop) == []


@pytest.mark.parametrize(
    ("column", "values", "is_candidate"),
    [
        ("n", "n", True),  # n_distinct -1: a share of the rows, not a count
        ("n", "mod(n, 3)", False),
        ("n", "mod(n * 7919, 1000)", True),
        ('"Weird ""name"', "n", True),
    ],
)
def test_columns_with_many_values_are_candidates(
    rule: LoadedRule, shop: "Shop", column: str, values: str, is_candidate: bool
) -> None:
    run(
        shop,
        f'CREATE TABLE "Order Lines" ({column} int)',
        f'INSERT INTO "Order Lines" SELECT {values} FROM generate_series(1, 5000) n',
        'ANALYZE "Order Lines"',
        'GRANT SELECT ON "Order Lines" TO responder_reading',
        *['SELECT count(*) FROM "Order Lines"'] * 10,
    )
    found = [
        row["column_name"]
        for row in shop.ask(rule, "scans").rows
        if row["table_name"] == 'public."Order Lines"'
    ]
    assert found == ([column.strip('"').replace('""', '"')] if is_candidate else [])
    assert 'public."Order Lines"' in [r["table_name"] for r in shop.ask(rule, "sizes").rows]


def test_scattered_columns_come_before_those_in_order(rule: LoadedRule, shop: "Shop") -> None:
    run(
        shop,
        "CREATE TABLE line (forwards int, scattered int, backwards int)",
        "INSERT INTO line SELECT n, mod(n::bigint * 7919 * n, 4999), -n"
        " FROM generate_series(1, 5000) n",
        "ANALYZE line",
        "GRANT SELECT ON line TO responder_reading",
        *["SELECT count(*) FROM line"] * 10,
    )
    rows = [row for row in shop.ask(rule, "scans").rows if row["table_name"] == "public.line"]
    assert rows[0]["column_name"] == "scattered"
    assert abs(rows[0]["correlation"]) < 0.1
    assert {row["column_name"]: row["correlation"] for row in rows[1:]} == {
        "forwards": 1,
        "backwards": -1,
    }


def test_upkeep_and_other_databases_are_no_finding(rule: LoadedRule, shop: "Shop") -> None:
    slow = "SELECT pg_sleep(1.01)::text AS waited"
    run(
        shop,
        f"CREATE TABLE copied AS {slow}",
        f"COPY ({slow}) TO '/dev/null'",
    )
    with psycopg.connect(shop.server.url()) as elsewhere:
        elsewhere.execute(slow)
    assert conclude(rule, shop) == []


def test_literals_of_utility_statements_are_not_shown(rule: LoadedRule, shop: "Shop") -> None:
    run(shop, "DO 'BEGIN /* a secret */ PERFORM pg_sleep(1.01); END'")
    [row] = shop.ask(rule, "statements").rows
    assert row["query"] == "DO '?'"


def test_dead_rows_are_vacuumed(rule: LoadedRule, shop: "Shop") -> None:
    run(
        shop,
        "ALTER TABLE intake_items SET (autovacuum_enabled = off)",
        "UPDATE intake_items SET price = price + 1",
    )
    [finding] = conclude(rule, shop)
    assert (finding.name, finding.offers) == ("dead_rows", ("vacuum_tables",))
    assert [(row["table_name"], row["dead_rows"]) for row in finding.rows] == [
        ("public.intake_items", 1500)
    ]
    run(shop, *commands(rule, "vacuum_tables"))
    assert conclude(rule, shop) == []


def test_vacuum_is_offered_for_the_tables_that_it_is_of(rule: LoadedRule, shop: "Shop") -> None:
    run(
        shop,
        'CREATE TABLE "Order Lines" WITH (autovacuum_enabled = off)'
        " AS SELECT n FROM generate_series(1, 2000) n",
        'DELETE FROM "Order Lines"',
    )
    [finding] = conclude(rule, shop)
    assert (finding.name, finding.offers) == ("dead_rows", ())
    assert 'public."Order Lines"' in finding.summary


def test_old_rows_are_put_away(rule: LoadedRule, shop: "Shop") -> None:
    run(
        shop,
        "ALTER TABLE intake_lots SET (autovacuum_enabled = off)",
        "ALTER TABLE system_logs SET (autovacuum_enabled = off)",
        "INSERT INTO system_logs (level, message, created_at)"
        " SELECT 'info', 'old', now() - interval '100 days' FROM generate_series(1, 9990)",
        "INSERT INTO intake_lots (lot_number, status, created_at, completed_at) SELECT 'OLD-' || n,"
        " 'completed', now() - interval '8 months', now() - interval '7 months'"
        " FROM generate_series(1, 1000) n",
    )
    [finding] = conclude(rule, shop)
    assert (finding.name, finding.offers) == ("old_rows", ("archive_logs", "archive_lots"))
    [logs, lots] = finding.rows
    assert (logs["rows"], logs["capped"], lots["rows"]) == (10_051, False, 1_017)
    assert "10,051 rows of system_logs older than 90 days" in finding.summary
    assert set(finding.parameters) == {"logs_until", "logs_until_id", "lots_until", "lots_until_id"}


def make_old(shop: "Shop", lines: int, lots: int) -> None:
    """Old log lines, all of the same moment, and lots that were completed long ago."""
    run(
        shop,
        "INSERT INTO system_logs (level, message, created_at)"
        f" SELECT 'info', 'old', now() - interval '100 days' FROM generate_series(1, {lines})",
        "INSERT INTO intake_lots (lot_number, status, created_at, completed_at)"
        " SELECT 'OLD-' || n, 'completed', now() - interval '1 year' - n * interval '1 minute',"
        f" now() - interval '300 days' FROM generate_series(1, {lots}) n",
        "ANALYZE system_logs, intake_lots",
    )


def by_ann(house: House, option: str, role: str = "admin") -> UUID:
    incident = house.incident()
    asked = Asked(incident.id, option, incident.decision_id)
    fix_id = ask(house.services, asked, Actor(ActorKind.PERSON, "ann"), role).fix
    assert fix_id is not None
    return fix_id


def fixes(house: House) -> list[tuple[str, str, str | None, dict[str, int]]]:
    return [
        (row["option"], row["status"], row["verification"], row["counts"])
        for row in house.sql("SELECT * FROM fix ORDER BY started_at, id")
    ]


def test_a_person_puts_old_rows_away_batch_by_batch_inside_a_window(house: House) -> None:
    make_old(house.shop, 22_000, 6_000)
    young = house.shop.rows(
        "SELECT count(*) FROM system_logs WHERE created_at > now() - interval '90 days'"
    )
    house.post(alert("SlowQueries", severity="info"))
    house.settle()
    with pytest.raises(NotBegun, match=NO_WINDOW):
        by_ann(house, "archive_logs")
    told = {each["name"]: each["why_not"] for each in house.document()["options"]}
    assert told["archive_logs"] == told["archive_lots"] == NO_WINDOW
    allow_work(house)
    with pytest.raises(NotBegun, match="needs the role admin"):
        by_ann(house, "archive_logs", role="operator")
    for option in ("archive_logs", "archive_logs", "archive_lots"):
        by_ann(house, option)
        house.settle()
    assert fixes(house) == [
        ("archive_logs", "committed", "held", {"system_logs": 10_000}),
        ("archive_logs", "committed", "held", {"system_logs": 10_000}),
        ("archive_lots", "committed", "held", {"intake_lots": 5_000}),
    ]
    assert house.sql("SELECT FROM fix WHERE before_rows <> '[]' OR after_rows <> '[]'") == []
    left = "SELECT count(*) FROM system_logs WHERE created_at < now() - interval '90 days'"
    assert house.shop.rows(left) == [2_061]
    assert house.shop.rows(left.replace("<", ">")) == young, "nothing younger was touched"
    assert house.shop.rows(
        "SELECT min(lot_number) || ' ' || max(lot_number) FROM intake_lots"
        " WHERE status = 'archived' AND lot_number LIKE 'OLD-%'"
    ) == ["OLD-1001 OLD-6000"], "of 6,000 the older 5,000"
    found = {finding["name"]: finding for finding in house.document()["findings"]}
    assert found["old_rows"]["offers"] == ["archive_lots"], (
        "1,017 lots are left, and it was diagnosed anew"
    )
    decided = [each for each in house.trail() if each[0] == "decision"]
    assert len(decided) == 4, "one before, and one after each batch"
    assert house.gap() == (0, 0)


def test_a_batch_that_is_late_finds_its_rows_gone(house: House) -> None:
    make_old(house.shop, 12_000, 0)
    house.post(alert("SlowQueries", severity="info"))
    house.settle()
    allow_work(house)
    house.shop.run("DELETE FROM system_logs WHERE created_at < now() - interval '90 days'")
    by_ann(house, "archive_logs")
    house.settle()
    assert [each[1] for each in fixes(house)] == ["refused"]


def test_nobody_counts_without_end(rule: LoadedRule, shop: "Shop") -> None:
    run(
        shop,
        "INSERT INTO system_logs (level, message, created_at)"
        " SELECT 'info', 'old', now() - interval '100 days' FROM generate_series(1, 100500)",
        "ANALYZE system_logs",
    )
    [finding] = [each for each in conclude(rule, shop) if each.name == "old_rows"]
    assert finding.rows[0]["capped"]
    assert "at least 100,000 rows" in finding.summary


def test_extension_may_lie_in_public(rule: LoadedRule, shop: "Shop") -> None:
    run(shop, "ALTER EXTENSION pg_stat_statements SET SCHEMA public")
    slow_page(shop)
    assert names(conclude(rule, shop)) == ["slow_statements", "missing_index"]


def test_extension_that_is_missing_is_named_and_enabled(rule: LoadedRule, shop: "Shop") -> None:
    run(shop, "DROP EXTENSION pg_stat_statements")
    search(shop)
    unknown, candidates = conclude(rule, shop, statements=ask_statements(rule, shop))
    assert unknown.name == "statements_unknown"
    assert unknown.offers == ("enable_statements", "let_responder_see")
    assert "shared_preload_libraries" in unknown.summary
    assert candidates.name == "index_candidates"
    assert set(candidates.offers) == {"index_sku", "index_lot_id"}

    run(shop, *commands(rule, "enable_statements"), *commands(rule, "let_responder_see"))
    slow_page(shop)
    assert names(conclude(rule, shop)) == ["slow_statements", "missing_index"]


def test_extension_out_of_sight_is_named_with_its_schema(rule: LoadedRule, shop: "Shop") -> None:
    run(
        shop,
        "CREATE SCHEMA monitoring",
        "ALTER EXTENSION pg_stat_statements SET SCHEMA monitoring",
    )
    [finding] = conclude(rule, shop, statements=ask_statements(rule, shop))
    assert (finding.name, finding.offers) == ("statements_unknown", ("let_responder_see",))
    assert "schema monitoring, where responder_reading does not look" in finding.summary


def test_library_that_is_not_loaded(rule: LoadedRule, shop: "Shop") -> None:
    not_loaded = "pg_stat_statements must be loaded via shared_preload_libraries"
    statements = failed(ErrorKind.STATEMENT, "55000", not_loaded)
    [finding] = conclude(rule, shop, statements=statements)
    assert (finding.name, finding.offers[0]) == ("statements_unknown", "enable_statements")
    assert not_loaded in finding.summary


def test_hidden_statements_are_a_missing_grant(rule: LoadedRule, shop: "Shop") -> None:
    """Grants to roles are the whole server's, so this one is given back."""
    slow_page(shop)
    shop.run("REVOKE pg_read_all_stats FROM responder_reading")
    try:
        findings = conclude(rule, shop)
    finally:
        run(shop, *commands(rule, "let_responder_see"))
    assert names(findings) == ["slow_statements", "statements_hidden", "index_candidates"]
    assert findings[1].offers == ("let_responder_see",)
    assert names(conclude(rule, shop)) == ["slow_statements", "missing_index"]


def test_unanswered_question_leaves_the_others(rule: LoadedRule, shop: "Shop") -> None:
    slow_page(shop)
    silent = failed(ErrorKind.TIMEOUT, "57014")
    found = {
        part.name: names(conclude(rule, shop, **{part.name: silent})) for part in rule.diagnostics
    }
    all_of_it = ["slow_statements", "missing_index"]
    assert found == {
        **dict.fromkeys(found, all_of_it),
        "statements": ["index_candidates"],
        "scans": ["slow_statements"],
    }


def test_every_option_is_for_a_person(rule: LoadedRule) -> None:
    for option in rule.options.values():
        assert option.caution
        assert not option.automatic
        assert option.in_window or commands(rule, option.name)


def test_it_is_proposed_pages_nobody_and_changes_nothing(house: House) -> None:
    slow_page(house.shop)
    indexes = "SELECT count(*) FROM pg_index"
    before = house.shop.rows(indexes)
    house.post(alert("SlowQueries", severity="info"))
    house.settle()

    document = house.document()
    assert document["incident"]["severity"] == "P3"
    assert house.decision() == ("propose", "not_automatic")
    assert document["decision"]["option"] == "index_lot_id"
    assert [finding["name"] for finding in document["findings"]] == [
        "slow_statements",
        "missing_index",
    ]
    assert {each["name"]: each["status"] for each in document["diagnosis"]} == {
        part.name: "ok" for part in house.services.catalogue.rules["slow_queries"].diagnostics
    }
    offered = [option["name"] for option in document["options"] if option["offered"]]
    assert offered == ["index_lot_id", "index_sku"]
    assert (document["fixes"], house.shop.rows(indexes)) == ([], before)
    assert house.pager.got == []
    assert [each for each in house.trail() if each[0] in ("opened", "decision", "fix", "page")] == [
        ("opened", "open"),
        ("decision", "propose"),
    ]
    assert house.gap() == (0, 0)


def test_without_the_extension_the_engine_says_what_to_enable(house: House) -> None:
    run(house.shop, "DROP EXTENSION pg_stat_statements")
    house.post(alert("DatabaseSlow", severity="info"))
    house.settle()
    document = house.document()
    [asked] = [each for each in document["diagnosis"] if each["name"] == "statements"]
    assert (asked["error"]["kind"], asked["error"]["code"]) == ("statement", "42P01")
    [finding] = document["findings"]
    assert finding["name"] == "statements_unknown"
    assert house.decision() == ("propose", "not_automatic")
    assert document["decision"]["option"] == "enable_statements"


def test_ordinary_day_is_handed_over_with_the_rows(house: House) -> None:
    house.post(alert("SlowQueries", severity="info"))
    house.settle()
    assert house.decision() == ("hand_over", "nothing_found")
    rows: dict[str, Any] = {each["name"]: each["rows"] for each in house.document()["diagnosis"]}
    assert [row["rows"] for row in rows["old_rows"]] == [61, 17]
    assert rows["sizes"]


@pytest.mark.parametrize(
    ("name", "answered"),
    [
        ("SlowQueries", True),
        ("SlowQuery", True),
        ("DatabaseSlow", True),
        ("DatabaseSlowQueries", True),
        ("SlowQueriesStaging", False),
        ("DatabaseDown", False),
    ],
)
def test_it_answers_these_alerts_alone(rule: LoadedRule, name: str, answered: bool) -> None:
    assert (first_failed(rule.matchers, {"alertname": name}) is None) == answered
