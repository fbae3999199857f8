"""Diagnoses of a shop with a million rows in each table that grows: by index, or by a bound."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from responder.domain.secret import Secret
from responder.domain.settings import Target
from responder.runbook import Sql
from responder.runbook.loader import LoadedRule
from responder.targets.reading import SMALL_TABLE, Question, ask
from tests.house import House, alert

if TYPE_CHECKING:
    from tests.shop import Shop

BIG_TABLES = ("intake_items", "shopify_sync_queue", "system_logs")
#: 8 kB each. 2,000 items looked up one by one are 10,000, nearly all of them the same few.
MANY_BUFFERS = 12_000
BY_LOT = "CREATE INDEX ON intake_items (lot_id) WHERE deleted_at IS NULL"
#: What each alert names, in a shop where that is a needle.
CASES: Sequence[tuple[str, str, Mapping[str, str]]] = (
    ("circuit_breaker_open", "CircuitBreakerOpen", {}),
    ("shopify_queue_stuck", "ShopifyQueueStuck", {}),
    ("shopify_sync_failed", "ShopifySyncFailed", {}),
    ("shopify_sync_failed", "ShopifySyncFailed", {"sku": "BIG-601-1"}),
    ("intake_batch_stuck", "IntakeBatchStuck", {}),
    ("intake_batch_stuck", "IntakeBatchStuck", {"lot_number": "BIG-39995"}),
    ("user_cannot_log_in", "UserCannotLogIn", {"email": "Admin-01@example.com"}),
    ("slow_queries", "SlowQueries", {}),
    ("credential_rotation_due", "CredentialRotationDue", {}),
    ("credential_leak_suspected", "CredentialLeakSuspected", {}),
    ("database_down", "DatabaseDown", {}),
)
each_case = pytest.mark.parametrize(
    ("rule", "name", "labels"),
    CASES,
    ids=[f"{rule}-{'-'.join(labels)}" for rule, _, labels in CASES],
)


@pytest.fixture(scope="module")
def indexed_shop(big_shop: "Shop") -> Iterator["Shop"]:
    """With the index that the runbook adds by hand; the test without it comes first."""
    big_shop.run(BY_LOT)
    yield big_shop
    big_shop.run("DROP INDEX intake_items_lot_id_idx")


@pytest.fixture
def big_house(house: House, big_shop: "Shop", tmp_path: Path) -> House:
    """A responder that may only look at the big shop."""
    url = tmp_path / "reading"
    url.write_text(big_shop.url("responder_reading"))
    target = house.services.settings.targets["shop_eu"]
    asked = replace(target, reading=Secret((f"file:{url}",)), writing=None)
    house.with_settings(targets={"shop_eu": asked})
    return house


def plan_of(shop: "Shop", statement: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What the server really did for it, as it is sent, with its buffers."""
    wrapped = f"SELECT to_jsonb(q) FROM ({statement}) q LIMIT %(row_cap)s"
    with shop.reading() as connection:
        text = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {wrapped}"
        row = connection.execute(text, {**parameters, "row_cap": 101}).fetchone()
    assert row is not None
    return dict(row[0][0]["Plan"])


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def end_to_end(plan: Mapping[str, Any]) -> list[str]:
    """The big tables that were read without an index."""
    return [
        node["Relation Name"]
        for node in nodes(plan)
        if node["Node Type"].endswith("Seq Scan")
        and node["Actual Loops"] > 0
        and node["Relation Name"] in BIG_TABLES
    ]


def test_the_shop_is_big(big_shop: "Shop") -> None:
    for table in BIG_TABLES:
        assert big_shop.rows(f"SELECT count(*) >= 1000000 FROM {table}") == [True]
        assert big_shop.rows(f"SELECT pg_relation_size('{table}')")[0] > 2 * SMALL_TABLE


@pytest.mark.parametrize(
    ("index", "status"),
    [
        ("system_logs (created_at)", "ok"),
        ("system_logs (level)", "skipped"),
        ("public.system_logs (level)", "skipped"),
        ("shopify_sync_queue (created_at)", "ok"),  # its second column in one, its first in another
        ("shopify_sync_queue (lower(last_error))", "ok"),
        ("shopify_sync_queue (last_error)", "skipped"),
        ("auth.users (created_at)", "ok"),  # small enough to be read without one
        ("no_such_table (id)", "ok"),  # the statement itself will say so
    ],
)
def test_only_large_tables_need_an_index(
    big_shop: "Shop", tmp_path: Path, index: str, status: str
) -> None:
    big_shop.run(
        "CREATE INDEX IF NOT EXISTS lower_error ON shopify_sync_queue (lower(last_error))"
        " WHERE status = 'failed'"
    )
    url = tmp_path / "reading"
    url.write_text(big_shop.url("responder_reading"))
    target = Target("shop_eu", "shop", (), Secret((f"file:{url}",)))
    question = Question("it", "Is it so?", "sql", sql="SELECT 1 AS n", index=index)
    answer = ask(target, question, datetime.now(UTC))
    assert (answer.status, answer.row_count) == (status, int(status == "ok"))
    assert (answer.error and answer.error.kind) == (None if status == "ok" else "no_index")


def test_a_question_that_lacks_its_index_is_not_asked_and_told(big_house: House) -> None:
    big_house.post(alert("IntakeBatchStuck", lot_number="BIG-39995"))
    big_house.settle()
    document = big_house.document()
    answers = {each["name"]: each for each in document["diagnosis"]}
    assert [answers[name]["status"] for name in ("batches", "work", "items", "log")] == [
        "ok",
        "skipped",
        "skipped",
        "ok",
    ]
    assert answers["work"]["error"]["kind"] == "no_index"
    found = {each["name"]: each["summary"] for each in document["findings"]}
    assert list(found) == ["index_missing_work", "index_missing_items"]
    assert found["index_missing_items"] == (
        "Not asked, since intake_items is large and no index of it has lot_id: Which items has it?"
    )
    assert big_house.decision() == ("hand_over", "no_option")


@each_case
def test_no_question_reads_a_big_table_from_end_to_end(
    indexed_shop: "Shop",
    rules: Mapping[str, LoadedRule],
    rule: str,
    name: str,
    labels: Mapping[str, str],
) -> None:
    loaded = rules[rule]
    parameters = {each: label.value(labels) for each, label in loaded.rule.parameters.items()}
    for diagnostic in loaded.diagnostics:
        if not isinstance(diagnostic, Sql):
            continue
        statement = loaded.statements[diagnostic.name]
        bound = {each: parameters[each] for each in statement.needs()}
        plan = plan_of(indexed_shop, statement.sql, bound)
        assert end_to_end(plan) == [], diagnostic.name
        buffers = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        assert buffers < MANY_BUFFERS, (diagnostic.name, buffers)
        said = f"{buffers} buffers, {plan['Actual Total Time']:.0f} ms"
        print(f"{rule}.{diagnostic.name} {dict(labels)}: {said}")


@pytest.mark.parametrize("rule", ["credential_rotation_due", "credential_leak_suspected"])
def test_errors_of_authentication_are_looked_for_within_a_bound(
    big_shop: "Shop", rules: Mapping[str, LoadedRule], rule: str
) -> None:
    plan = plan_of(big_shop, rules[rule].statements["auth_errors"].sql, {})
    assert [
        node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        for node in nodes(plan)
        if node.get("Relation Name") == "system_logs"
    ] == [50_000]


@each_case
def test_the_whole_diagnosis_is_answered(
    big_house: House,
    indexed_shop: "Shop",
    rules: Mapping[str, LoadedRule],
    told: Callable[[str], None],
    rule: str,
    name: str,
    labels: Mapping[str, str],
) -> None:
    big_house.post(alert(name, **labels))
    big_house.settle()
    document = big_house.document()
    assert document["incident"]["rule"] == rule
    asked = {part.name for part in rules[rule].diagnostics if isinstance(part, Sql)}
    answers = {each["name"]: each["status"] for each in document["diagnosis"]}
    assert {answers[question] for question in asked} == {"ok"}
    names = [each["name"] for each in document["findings"]]
    assert not [name for name in names if name.startswith("index_missing")]
    began = min(datetime.fromisoformat(each["asked_at"]) for each in document["diagnosis"])
    ended = max(
        datetime.fromisoformat(each["asked_at"]) + timedelta(milliseconds=each["ms"])
        for each in document["diagnosis"]
    )
    slowest = max(each["ms"] for each in document["diagnosis"])
    whole = (ended - began).total_seconds() * 1000
    told(f"{rule} {dict(labels)}: {whole:.0f} ms in all, its slowest question {slowest:.0f} ms")
