"""In a shop with a million rows in each table that grows, questions find theirs by an index."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from responder.domain.shipped import shipped
from responder.runbook import Sql
from responder.runbook.loader import LoadedRule, load

if TYPE_CHECKING:
    from tests.shop import Shop

RULES = (
    *("circuit_breaker_open", "shopify_queue_stuck", "slow_queries"),
    *("credential_rotation_due", "credential_leak_suspected"),
)
GROWING = {"system_logs", "shopify_sync_queue", "intake_items"}
#: How many items are in which status is a question about all of them.
WHOLE = {("shopify_queue_stuck", "statuses")}
QUESTIONS = [
    (rule.name, part.name)
    for rule in load(shipped("rules").parent)
    for part in rule.diagnostics
    if rule.name in RULES and isinstance(part, Sql)
]


@pytest.mark.parametrize(("name", "statement"), QUESTIONS)
def test_no_question_reads_a_growing_table_from_end_to_end(
    rules: Mapping[str, LoadedRule], big_shop: "Shop", name: str, statement: str
) -> None:
    asked = rules[name].statements[statement]
    with big_shop.reading() as connection:
        bound = dict.fromkeys(asked.needs(), "any")
        rows = connection.execute("EXPLAIN " + asked.sql, bound).fetchall()
    read = set(re.findall(r"Seq Scan on (\w+)", "\n".join(row[0] for row in rows)))
    assert read & GROWING <= ({"shopify_sync_queue"} if (name, statement) in WHOLE else set())
