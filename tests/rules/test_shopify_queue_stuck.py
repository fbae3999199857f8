"""The queue gets stuck in each way that it can, in a real shop; the rule tells them apart."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
import pytest

from responder.domain.matcher import first_failed
from responder.domain.shipped import shipped
from responder.runbook import Answer, AnswerStatus, Error, ErrorKind, Finding
from responder.runbook.loader import LoadedRule

if TYPE_CHECKING:
    from tests.shop import Shop

PASSING = "HTTP 503: Shopify is unavailable"
PERMANENT = "HTTP 404: Not Found"


@pytest.fixture
def rule(rules: Mapping[str, LoadedRule]) -> LoadedRule:
    return rules["shopify_queue_stuck"]


def add(
    shop: "Shop", items: int, status: str, error: str | None = None, retries: int = 3, age: int = 20
) -> None:
    """Items that came into the queue `age` minutes ago."""
    shop.run(
        "INSERT INTO shopify_sync_queue"
        " (inventory_item_id, status, retry_count, last_error, created_at)"
        " SELECT id, %(status)s, %(retries)s, %(error)s, now() - %(age)s * interval '1 minute'"
        " FROM intake_items ORDER BY sku LIMIT %(items)s",
        {"status": status, "retries": retries, "error": error, "age": age, "items": items},
    )


def stop_consumer(shop: "Shop") -> None:
    """Nothing of the last two hours was taken up."""
    shop.run(
        "UPDATE shopify_sync_queue SET status = 'queued'"
        " WHERE created_at > now() - interval '2 hours'"
    )


def conclude(rule: LoadedRule, shop: "Shop", **answers: Answer) -> list[Finding]:
    return list(rule.rule.conclude(shop.case(rule, **answers)))


def names(findings: list[Finding]) -> list[str]:
    return [finding.name for finding in findings]


def test_ordinary_day_has_no_finding(rule: LoadedRule, shop: "Shop") -> None:
    assert conclude(rule, shop) == []


def test_items_whose_retries_are_used_up_are_offered_a_retry(
    rule: LoadedRule, shop: "Shop"
) -> None:
    add(shop, 25, "failed", PASSING)
    [finding] = conclude(rule, shop)
    assert finding.name == "exhausted"
    assert finding.offers == ("retry_failed", "clear_failed")
    assert "25 items" in finding.summary
    assert len(finding.rows) == 20
    assert rule.options["retry_failed"].automatic


def test_permanent_errors_are_for_a_person(rule: LoadedRule, shop: "Shop") -> None:
    add(shop, 1, "failed", PERMANENT)
    [finding] = conclude(rule, shop)
    assert (finding.name, finding.offers) == ("permanent", ("clear_failed",))
    assert "1 item failed" in finding.summary
    assert not rule.options["clear_failed"].automatic


@pytest.mark.parametrize(
    ("action", "gone"), [("update", True), ("create", True), ("delete", False)]
)
def test_what_the_shop_has_overtaken_is_left_to_people(
    rule: LoadedRule, shop: "Shop", action: str, gone: bool
) -> None:
    """Queued again, an old change would bring back what is gone, or take away what is for sale."""
    add(shop, 2, "failed", PASSING)
    shop.run("UPDATE shopify_sync_queue SET action = %(a)s WHERE status = 'failed'", {"a": action})
    if gone:
        shop.run("UPDATE intake_items SET deleted_at = now()")
    [finding] = conclude(rule, shop)
    assert (finding.name, finding.offers) == ("overtaken", ())
    assert finding.summary.startswith("2 items failed, and the shop has changed since")
    attempt = shop.fix(rule, "retry_failed")
    assert (attempt.before, attempt.fixed, attempt.gone_before) == ([], [], True)


def test_many_permanent_errors_do_not_hide_the_others(rule: LoadedRule, shop: "Shop") -> None:
    add(shop, 150, "failed", PERMANENT, age=15)
    add(shop, 2, "failed", PASSING)
    assert names(conclude(rule, shop)) == ["exhausted", "permanent"]


def test_items_that_will_be_tried_again_are_left_to_the_consumer(
    rule: LoadedRule, shop: "Shop"
) -> None:
    add(shop, 5, "failed", PASSING, retries=1)
    assert conclude(rule, shop) == []


def test_dead_consumer_is_handed_over(rule: LoadedRule, shop: "Shop") -> None:
    stop_consumer(shop)
    [finding] = conclude(rule, shop)
    assert (finding.name, finding.offers) == ("not_moving", ())
    assert "does not run" in finding.summary


def test_dead_consumer_is_handed_over_with_failed_items_too(rule: LoadedRule, shop: "Shop") -> None:
    stop_consumer(shop)
    add(shop, 4, "failed", PASSING)
    add(shop, 3, "failed", PERMANENT)
    [finding] = conclude(rule, shop)
    assert (finding.name, finding.offers) == ("not_moving", ())
    assert "4 items failed and may be retried then, 3 items failed for good" in finding.summary


def test_waiting_items_behind_a_working_consumer_are_no_cause(
    rule: LoadedRule, shop: "Shop"
) -> None:
    add(shop, 30, "queued")
    assert conclude(rule, shop) == []


@pytest.mark.parametrize("question", ["stuck", "failed", "progress"])
def test_unanswered_question_leads_to_no_retry(
    rule: LoadedRule, shop: "Shop", question: str
) -> None:
    add(shop, 5, "failed", PASSING)
    silent = Answer(
        AnswerStatus.TIMED_OUT,
        asked_at=datetime.now(UTC),
        error=Error(ErrorKind.TIMEOUT, "57014", "canceling statement"),
    )
    assert conclude(rule, shop, **{question: silent}) == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("HTTP 400: Bad Request", "permanent"),
        ("Shopify API error 401 - [API] Invalid API key or access token", "permanent"),
        ("status=403", "permanent"),
        ("HTTP 404: Not Found", "permanent"),
        ("410 Gone", "permanent"),
        ('HTTP 422: {"errors":{"title":["can\'t be blank"]}}', "permanent"),
        ("Product not found", "permanent"),
        ("Variant does not exist any more", "permanent"),
        ("Validation failed: price must be positive", "permanent"),
        ("took 503 ms, then HTTP 404", "permanent"),
        ("product 512 not found", "permanent"),
        ("after 2 tries of 500 ms: status code: 422", "permanent"),
        ('{"statusCode":410,"ms":503}', "permanent"),
        ("HTTP/1.1 404", "permanent"),
        ("HTTP/2 403", "permanent"),
        ("Request failed (422)", "permanent"),
        ("Barcode 503 is invalid", "permanent"),
        ("response code 503 for product 404", "exhausted"),
        ("status_code=503: invalid answer of the gateway", "exhausted"),
        ("error: 502 Bad Gateway, https://shop.example/404", "exhausted"),
        ("no answer within 400 ms", "exhausted"),
        ("no answer within 404 s, gave up", "exhausted"),
        ("HTTP 408: Request Timeout", "exhausted"),
        ("HTTP 425: Too Early", "exhausted"),
        ("HTTP 429: invalid rate, at most 2 calls a second", "exhausted"),
        ("HTTP 500: product not found in cache", "exhausted"),
        ("HTTP 503, last request 404", "exhausted"),  # the first status decides
        ("connect ETIMEDOUT 10.0.4.22:443", "exhausted"),
        ("order 14042 was not sent: connection reset", "exhausted"),  # no status in a longer number
        ("", "exhausted"),
        (None, "exhausted"),
    ],
)
def test_errors_are_told_apart(
    rule: LoadedRule, shared_shop: "Shop", error: str | None, kind: str
) -> None:
    shared_shop.run("DELETE FROM shopify_sync_queue WHERE status <> 'completed'")
    add(shared_shop, 1, "failed", error)
    assert [row["kind"] for row in shared_shop.ask(rule, "failed").rows] == [kind]
    assert len(shared_shop.fix(rule, "retry_failed").fixed) == (kind == "exhausted")


def test_retry_queues_exactly_what_may_pass(rule: LoadedRule, shop: "Shop") -> None:
    add(shop, 12, "failed", PASSING)
    add(shop, 3, "failed", PERMANENT)
    add(shop, 2, "failed", PASSING, retries=1)
    others = "SELECT to_jsonb(q) FROM shopify_sync_queue q WHERE NOT id = ANY (ARRAY{}::uuid[])"
    attempt_ids = shop.rows(
        "SELECT id::text FROM shopify_sync_queue"
        f" WHERE last_error = '{PASSING}' AND retry_count = 3"
    )
    untouched = shop.rows(others.format(attempt_ids) + " ORDER BY id")

    attempt = shop.fix(rule, "retry_failed")

    assert sorted(row["id"] for row in attempt.before) == sorted(attempt_ids)
    assert sorted(row["id"] for row in attempt.fixed) == sorted(attempt_ids)
    assert {(row["status"], row["retry_count"], row["last_error"]) for row in attempt.fixed} == {
        ("queued", 0, None)
    }
    assert (attempt.gone_before, attempt.gone_after) == (False, True)
    assert shop.rows(others.format(attempt_ids) + " ORDER BY id") == untouched
    # The retried items are older than ten minutes, and still the queue does not count as stuck.
    assert len(shop.ask(rule, "stuck").rows) == 12
    assert names(conclude(rule, shop)) == ["permanent"]


def test_retry_that_comes_late_changes_nothing(rule: LoadedRule, shop: "Shop") -> None:
    add(shop, 2, "failed", PASSING)
    shop.fix(rule, "retry_failed")
    late = shop.fix(rule, "retry_failed")
    assert (late.before, late.fixed, late.gone_before) == ([], [], True)


def test_more_rows_than_the_limit_are_seen_before_anything_is_kept(
    rule: LoadedRule, shop: "Shop"
) -> None:
    limit = rule.options["retry_failed"].max_rows
    add(shop, limit + 1, "failed", PASSING)
    attempt = shop.fix(rule, "retry_failed")
    assert len(attempt.before) == len(attempt.fixed) == limit + 1


@pytest.mark.parametrize("status", ["failed", "queued"])
def test_clearing_deletes_one_status_on_behalf_of_an_admin(
    rule: LoadedRule, shop: "Shop", status: str
) -> None:
    add(shop, 4, status, PERMANENT)
    add(shop, 4, "processing")
    kept = f"SELECT id FROM shopify_sync_queue WHERE status <> '{status}' ORDER BY id"
    others = shop.rows(kept)
    [admin] = shop.rows("SELECT id FROM auth.users WHERE email = 'admin-01@example.com'")

    attempt = shop.fix(rule, f"clear_{status}", claims=json.dumps({"sub": str(admin)}))

    assert len(attempt.before) == 4
    assert [row["cleared"] for row in attempt.fixed] == [4]
    assert (attempt.gone_before, attempt.gone_after) == (False, True)
    assert shop.rows(kept) == others


@pytest.mark.parametrize("claims", ["", '{"sub": "00000000-0000-0000-0000-000000000000"}'])
def test_clearing_is_refused_to_others(rule: LoadedRule, shop: "Shop", claims: str) -> None:
    add(shop, 4, "failed", PERMANENT)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="admin role required"):
        shop.fix(rule, "clear_failed", claims=claims)
    assert len(shop.ask(rule, "failed").rows) == 4


def test_what_is_permanent_is_written_the_same_everywhere() -> None:
    rules = shipped("sql") / "rules"
    names = ("shopify_queue_stuck", "shopify_sync_failed")
    text = "".join((rules / f"{name}.sql").read_text() for name in names)
    written = re.findall(r"coalesce\(\s+substring\(last_error.*?~\* '.*?'$", text, re.M | re.S)
    assert len(written) == text.count("(last_error FROM") == 10
    assert len({" ".join(each.split()) for each in written}) == 1


@pytest.mark.parametrize(
    ("name", "answered"), [("ShopifyQueueStuck", True), ("ShopifyQueueStuckStaging", False)]
)
def test_it_answers_its_own_alert_alone(rule: LoadedRule, name: str, answered: bool) -> None:
    assert (first_failed(rule.matchers, {"alertname": name}) is None) == answered
