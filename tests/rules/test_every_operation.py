"""Each operation of the runbook: the real fault, told by each sender, and what comes of it.

One that is fixed where one may be, one that is not touched, and one that is over a limit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.shipped import shipped
from responder.domain.statements import parse_statements
from responder.pipeline.by_hand import Asked, ask
from responder.runbook.loader import LoadedRule
from tests.house import House
from tests.senders import ALERTMANAGER, GRAFANA, PAGERDUTY, Sender
from tests.walks import allow_work, fixes

if TYPE_CHECKING:
    from tests.shop import Shop

LOT = "LOT-000060"
NEW = "mo@example.com"
PASSING = "HTTP 503: Shopify is unavailable"
PERMANENT = "HTTP 422: title can't be blank"
SCENES = parse_statements((shipped("sql") / "demo" / "scenes.sql").read_text(), "scenes.sql")

#: Makes the fault and returns the labels of the alert that tells of it.
Make = Callable[["Shop"], Mapping[str, str]]


def server_reads_only(shop: "Shop") -> Mapping[str, str]:
    shop.run(f"ALTER DATABASE {shop.name} SET default_transaction_read_only = on")
    return {}


def breaker_stays_open(shop: "Shop") -> Mapping[str, str]:
    shop.run(SCENES["open_breaker"].sql)
    shop.run(
        "UPDATE system_logs SET created_at = created_at - interval '10 minutes'"
        " WHERE created_at > now() - interval '1 hour'"
    )
    shop.run(SCENES["refuse_call"].sql)
    return {"function": "catalog-sync-justtcg"}


def items_fail(items: int, error: str = PASSING) -> Make:
    """So many entries of the queue have failed until no retry was left."""

    def make(shop: "Shop") -> Mapping[str, str]:
        shop.run(
            "INSERT INTO shopify_sync_queue"
            " (inventory_item_id, status, retry_count, last_error, created_at)"
            " SELECT id, 'failed', 3, %(error)s, now() - interval '30 minutes'"
            " FROM intake_items ORDER BY sku LIMIT %(items)s",
            {"items": items, "error": error},
        )
        return {}

    return make


def one_item_fails(shop: "Shop") -> Mapping[str, str]:
    items_fail(1)(shop)
    [sku] = shop.rows(
        "SELECT sku FROM intake_items i JOIN shopify_sync_queue q ON q.inventory_item_id = i.id"
        " WHERE q.status = 'failed'"
    )
    return {"sku": sku}


def batch_is_forgotten(shop: "Shop") -> Mapping[str, str]:
    shop.run(
        "UPDATE intake_items SET created_at = now() - interval '30 hours'"
        " WHERE lot_id = (SELECT id FROM intake_lots WHERE lot_number = %(lot)s)",
        {"lot": LOT},
    )
    return {"lot_number": LOT}


def batch_is_too_large(shop: "Shop") -> Mapping[str, str]:
    shop.run(
        "INSERT INTO intake_items (lot_id, sku, brand_title, subject, price)"
        " SELECT id, 'many-' || n, 'b', 's', 1 FROM intake_lots, generate_series(1, 5000) n"
        " WHERE lot_number = %(lot)s",
        {"lot": LOT},
    )
    return batch_is_forgotten(shop)


def colleague_has_no_rights(shop: "Shop") -> Mapping[str, str]:
    add = "INSERT INTO auth.users (email, confirmed_at) VALUES (%(email)s, now())"
    shop.run(add, {"email": NEW})
    return {"email": NEW}


def second_account(shop: "Shop") -> Mapping[str, str]:
    """Logins do not tell cases apart."""
    add = "INSERT INTO auth.users (email, confirmed_at) VALUES (%(email)s, now())"
    shop.run(add, {"email": NEW.upper()})
    return {}


def page_is_slow(shop: "Shop") -> Mapping[str, str]:
    shop.run(SCENES["slow_statements"].sql)
    shop.run("SELECT pg_stat_force_next_flush()")
    return {}


def old_lines_pile_up(shop: "Shop") -> Mapping[str, str]:
    """And a trigger of somebody's writes down each one that is deleted."""
    shop.run(
        "INSERT INTO system_logs (level, message, created_at)"
        " SELECT 'info', 'old', now() - interval '100 days' FROM generate_series(1, 12000)"
    )
    shop.run("ANALYZE system_logs")
    shop.run(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
        " INSERT INTO system_logs (level, message) VALUES ('info', 'one is gone'); RETURN OLD;"
        " END $$"
    )
    shop.run(
        "CREATE TRIGGER note BEFORE DELETE ON system_logs FOR EACH ROW EXECUTE FUNCTION note()"
    )
    return {}


def credential_is_old(shop: "Shop") -> Mapping[str, str]:
    shop.run(
        "INSERT INTO system_settings (key, value, updated_at)"
        " VALUES ('JUSTTCG_API_KEY', '\"a-secret-value\"', now() - interval '91 days')"
        " ON CONFLICT (key) DO UPDATE SET updated_at = EXCLUDED.updated_at"
    )
    return {}


def credential_leaks(shop: "Shop") -> Mapping[str, str]:
    """It was rotated before the day on which the senders say that it began."""
    credential_is_old(shop)
    shop.run("UPDATE system_settings SET updated_at = '2026-01-01' WHERE key = 'JUSTTCG_API_KEY'")
    return {"credential": "JUSTTCG_API_KEY"}


@dataclass(frozen=True)
class Trouble:
    """A fault, how a monitor tells it, and what has to come of it.

    option: what an admin asks for then, with `asks`; meanwhile: what happens before that.
    fix: status, reason and counts of the fix that comes of it; None: nobody touches anything.
    """

    rule: str
    alertname: str
    severity: str
    make: Make
    finding: str
    decision: tuple[str, str]
    fix: tuple[str, str, Mapping[str, int]] | None = None
    option: str = ""
    asks: Mapping[str, str] = field(default_factory=dict)
    meanwhile: Make | None = None


def over(rows: int, most: int) -> tuple[str, str, Mapping[str, int]]:
    return "rolled_back", f"it changed {rows} rows, more than {most}", {}


def too_many(most: int) -> tuple[str, str, Mapping[str, int]]:
    return "rolled_back", f"more than {most} rows would be changed", {}


ALLOWED, FAILED = ("fix", "allowed"), ("hand_over", "fix_failed")
FOR_PEOPLE, TOO_GRAVE = ("propose", "not_automatic"), ("propose", "severity")
QUEUE, ITEM = (
    ("shopify_queue_stuck", "ShopifyQueueStuck"),
    ("shopify_sync_failed", "ShopifySyncFailed"),
)
BATCH, USER = ("intake_batch_stuck", "IntakeBatchStuck"), ("user_cannot_log_in", "UserCannotLogIn")
SLOW = ("slow_queries", "SlowQueries")
TROUBLES = {
    # what is fixed
    "queue: twelve items": Trouble(
        *(*QUEUE, "warning", items_fail(12), "exhausted", ALLOWED),
        fix=("committed", "", {"shopify_sync_queue": 12}),
    ),
    "item: one": Trouble(
        *(*ITEM, "warning", one_item_fails, "exhausted", ALLOWED),
        fix=("committed", "", {"shopify_sync_queue": 1}),
    ),
    # what nobody touches
    "queue: no retry helps": Trouble(
        *QUEUE, "warning", items_fail(3, PERMANENT), "permanent", FOR_PEOPLE
    ),
    "queue: a P0": Trouble(*QUEUE, "critical", items_fail(12), "exhausted", TOO_GRAVE),
    "item: no retry helps": Trouble(
        *ITEM, "warning", items_fail(3, PERMANENT), "permanent", FOR_PEOPLE
    ),
    "batch": Trouble(*BATCH, "warning", batch_is_forgotten, "idle", FOR_PEOPLE),
    "user": Trouble(*USER, "warning", colleague_has_no_rights, "no_role", FOR_PEOPLE),
    "slow": Trouble(*SLOW, "info", page_is_slow, "slow_statements", FOR_PEOPLE),
    "database": Trouble(
        *("database_down", "DatabaseDown", "critical", server_reads_only, "read_only", TOO_GRAVE)
    ),
    "breaker": Trouble(
        *("circuit_breaker_open", "CircuitBreakerOpen", "error", breaker_stays_open),
        *("stuck_open", TOO_GRAVE),
    ),
    "rotation": Trouble(
        *("credential_rotation_due", "CredentialRotationDue", "info", credential_is_old),
        *("rotation_due", FOR_PEOPLE),
    ),
    "leak": Trouble(
        *("credential_leak_suspected", "CredentialLeakSuspected", "error", credential_leaks),
        *("not_rotated", TOO_GRAVE),
    ),
    # what is over a limit
    "queue: too many": Trouble(
        *(*QUEUE, "warning", items_fail(501), "exhausted", FAILED),
        fix=too_many(500),
    ),
    "item: too many": Trouble(
        *(*ITEM, "warning", items_fail(501), "exhausted", FAILED),
        fix=too_many(500),
    ),
    "batch: too many items": Trouble(
        *(*BATCH, "warning", batch_is_too_large, "idle", FOR_PEOPLE),
        fix=over(5027, 5000),
        option="delete_batch",
        asks={"why": "it is stuck"},
    ),
    "user: two accounts": Trouble(
        *(*USER, "warning", colleague_has_no_rights, "no_role", FOR_PEOPLE),
        fix=too_many(1),
        meanwhile=second_account,
        option="grant_staff",
    ),
    "slow: a trigger writes, too": Trouble(
        *(*SLOW, "info", old_lines_pile_up, "old_rows", FOR_PEOPLE),
        fix=over(20_000, 10_000),
        option="archive_logs",
    ),
}
#: Their options are commands for a person, so that nothing of ours can be over a limit.
COMMANDS = {
    *("database_down", "circuit_breaker_open"),
    *("credential_rotation_due", "credential_leak_suspected"),
}


def rows_of(shop: "Shop") -> list[Any]:
    """All that any option could change."""
    tables = ("intake_lots", "intake_items", "shopify_sync_queue", "system_logs")
    tables += ("system_settings", "user_roles", "user_shopify_assignments")
    parts = (f"SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM {table} t" for table in tables)
    return [row for part in parts for row in shop.rows(part.replace("BY id", "BY t::text"))]


@pytest.mark.parametrize("sender", [ALERTMANAGER, GRAFANA, PAGERDUTY], ids=lambda one: one.name)
@pytest.mark.parametrize("told", TROUBLES.values(), ids=TROUBLES)
def test_what_comes_of_a_fault(house: House, tmp_path: Path, told: Trouble, sender: Sender) -> None:
    labels = told.make(house.shop)
    act_as_admin(house)
    before = rows_of(house.shop)
    house.tell(sender, tmp_path, told.alertname, told.severity, **labels)
    house.settle()
    if told.meanwhile:
        told.meanwhile(house.shop)
    if told.option:
        allow_work(house)
        incident = house.incident()
        asked = Asked(incident.id, told.option, incident.decision_id, dict(told.asks))
        ask(house.services, asked, Actor(ActorKind.PERSON, "ann"), "admin")
        house.settle()

    document = house.document()
    assert document["incident"]["rule"] == told.rule
    assert told.finding in [finding["name"] for finding in document["findings"]]
    assert house.decision() == told.decision
    assert [(fix["status"], fix["reason"], fix["counts"]) for fix in fixes(house)] == (
        [] if told.fix is None else [told.fix]
    )
    committed = told.fix is not None and told.fix[0] == "committed"
    assert (rows_of(house.shop) != before) == committed
    assert [after for what, after in house.trail() if what == "fix"] == (
        [] if told.fix is None else ["started", *(["recorded"] if committed else []), told.fix[0]]
    )
    assert ("verification", "held") in house.trail() or not committed
    wakes = document["incident"]["severity"] in ("P0", "P1") or told.decision == FAILED
    assert len(house.pager.got) == wakes
    assert house.hook.got, "people hear of it"
    assert house.gap() == (0, 0)


def act_as_admin(house: House) -> None:
    """The target says as which of its users options act that it allows to users alone."""
    [admin] = house.shop.rows("SELECT id::text FROM auth.users WHERE email LIKE 'admin-01@%'")
    targets = house.services.settings.targets
    house.with_settings(targets={"shop_eu": replace(targets["shop_eu"], claims={"sub": admin})})


def test_every_rule_is_tried(rules: Mapping[str, LoadedRule]) -> None:
    untouched = {told.rule for told in TROUBLES.values() if told.fix is None}
    fixed = {told.rule for told in TROUBLES.values() if told.fix and told.fix[0] == "committed"}
    limited = {told.rule for told in TROUBLES.values() if told.fix and told.fix[0] != "committed"}
    assert untouched == set(rules)
    assert fixed == {
        rule.name for rule in rules.values() if any(each.automatic for each in rule.rule.options)
    }
    assert limited == set(rules) - COMMANDS
    assert {
        rule.name for rule in rules.values() if all(each.run for each in rule.rule.options)
    } == COMMANDS
