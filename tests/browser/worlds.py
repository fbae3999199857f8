"""A house on a bad day: an incident of each severity, fixes that held and fixes that wait."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from responder.domain.actor import Actor, ActorKind
from responder.domain.hours import Hours
from responder.domain.matcher import parse_matcher
from responder.domain.secret import Secret
from responder.domain.settings import Contact, Item, Level, Receiver, Target
from responder.domain.severity import Severity
from responder.pipeline.maintenance import Window, open_window
from responder.pipeline.numbers import count_day
from responder.pipeline.people import acknowledge, note
from responder.runbook.loader import LoadedRule
from tests.audit.conftest import seal_now
from tests.house import House, Recorder, alert

ANN = Actor(ActorKind.PERSON, "ann")
MINUTE = timedelta(minutes=1)
#: The world begins so long ago by our database's clock, and has come to the present at the end.
LENGTH = 267 * MINUTE
SCENES = {
    "failed": """
        INSERT INTO shopify_sync_queue
            (inventory_item_id, action, status, retry_count, max_retries, last_error, created_at)
        SELECT id, 'update', 'failed', 3, 3,
            (ARRAY['HTTP 503 Service Unavailable', 'no answer from Shopify within 10 s: timeout',
                'HTTP 502 Bad Gateway'])[1 + place % 3],
            now() - interval '25 minutes' - interval '20 seconds' * place
        FROM (SELECT id, row_number() OVER (ORDER BY sku)::int AS place FROM intake_items
              WHERE deleted_at IS NULL ORDER BY sku OFFSET 40 LIMIT 6) items
        """,
    "breaker": """
        INSERT INTO system_logs (level, message, context, created_at)
        SELECT level, message,
            jsonb_build_object('function', 'catalog-sync-justtcg', 'api', 'justtcg'),
            now() - interval '1 second' * ago
        FROM (VALUES
            ('error', 'justtcg did not answer within 10 s: timeout', 1260),
            ('warn', 'Circuit breaker opened after 5 failures in a row: justtcg', 1200),
            ('error', 'justtcg did not answer within 10 s: timeout', 40),
            ('error', 'Circuit breaker is open: justtcg did not answer within 10 s', 4)
        ) lines (level, message, ago)
        """,
    "hired": """
        INSERT INTO auth.users (email, confirmed_at) VALUES ('grading-41@example.com', now())
        """,
    "forgotten": """
        WITH touched AS (UPDATE intake_items SET created_at = now() - interval '20 hours'
            WHERE lot_id = (SELECT id FROM intake_lots WHERE lot_number = 'LOT-000059'))
        INSERT INTO system_logs (level, message, context, created_at)
        SELECT 'error', 'lot could not be completed: the page timed out',
            jsonb_build_object('lot_id', id), now() - interval '20 hours'
        FROM intake_lots WHERE lot_number = 'LOT-000059'
        """,
}


def settings(away: Secret) -> Mapping[str, Any]:
    """Two shops, one of them away, and people on two levels."""
    reading, writing = Secret(("env:TEST_READING",)), Secret(("env:TEST_WRITING",))
    office = Hours()
    return {
        "targets": {
            "shop_eu": Target(
                "shop_eu", "shop", [parse_matcher('env="production"')], reading, writing
            ),
            "shop_us": Target("shop_us", "shop", [parse_matcher('env="us"')], away, away),
        },
        "receivers": {
            "pager": Receiver("pager", "pagerduty", per_minute=100),
            "hook": Receiver("hook", "webhook", per_minute=100),
            "lead": Receiver("lead", "email", per_minute=100),
        },
        "contacts": {"devops_lead": Contact("devops_lead", "DevOps Lead", ("lead",), office)},
        "levels": (
            Level(2, receivers=("pager",)),
            Level(3, contacts=("devops_lead",), severities=(Severity.P0, Severity.P1)),
        ),
        "business_hours": office,
    }


def told(name: str, title: str, env: str = "production", **labels: str) -> dict[str, Any]:
    """An alert as a person wrote its rule."""
    made = alert(name, env=env, **labels)
    made["annotations"] = {
        "summary": title,
        "runbook_url": f"https://wiki.example.com/runbooks/{name.lower()}",
        "dashboard_url": "https://grafana.example.com/d/shop/overview",
    }
    made["generatorURL"] = "https://prometheus.example.com/graph?g0.expr=shopify_queue_failed"
    return made


def build(make: Callable[..., House], rules: Sequence[LoadedRule], **more: Any) -> House:
    """The house, with nothing in it yet."""
    house = make(rules, **settings(Secret(("env:TEST_AWAY",))), **more)
    house.services = replace(
        house.services,
        receivers={"pager": house.pager, "hook": house.hook, "lead": Recorder()},
    )
    for rule in rules:
        house.promote(rule)
    return house


def fill(house: House) -> None:
    """What happened in the last hours, in its order."""
    house.services.store.offset = -LENGTH
    house.shop.run(SCENES["failed"])
    house.post(told("ShopifyQueueStuck", "The Shopify queue makes no progress", severity="warning"))
    house.settle()  # repaired by itself
    house.later(2 * MINUTE)
    house.settle()
    house.post(alert("ShopifyQueueStuck", "resolved", severity="warning"))
    house.settle()
    release = Window("Release 2.14 of the shop", (), duration=timedelta(hours=1), page=True)
    open_window(house.services, replace(release, after=[Item("Are all queues empty?")]), ANN)
    house.post(told("DiskFillsUp", "The disk of shop-db-2 is full in four hours", severity="info"))
    house.settle()
    house.later(90 * MINUTE)
    house.shop.run(SCENES["forgotten"])
    house.post(
        told("IntakeBatchStuck", "Batch LOT-000059 is not completed", lot_number="LOT-000059")
    )
    house.settle()
    house.later(83 * MINUTE)
    house.shop.run(SCENES["hired"])
    house.post(told("UserCannotLogIn", "A colleague sees nothing", email="grading-41@example.com"))
    house.settle()
    house.later(70 * MINUTE)
    house.shop.run(SCENES["failed"])
    house.post(told("ShopifySyncFailed", "Changed prices do not reach the shop", severity="error"))
    house.settle()
    sync = house.incidents()[-1]
    house.later(5 * MINUTE)
    acknowledge(house.services, sync.id, ANN)
    note(house.services, sync.id, ANN, "Shopify says it is over: status page is green since 14:20.")
    house.settle()
    house.later(12 * MINUTE)
    house.shop.run(SCENES["breaker"])
    house.post(
        told(
            "CircuitBreakerOpen",
            "The catalogue sync is refused",
            severity="error",
            function="catalog-sync-justtcg",
        )
    )
    house.settle()
    house.later(4 * MINUTE)
    house.post(told("DatabaseDown", "The database of the US shop is down", env="us"))
    house.settle()
    house.services.store.offset = timedelta()
    house.settle()
    month(house)
    seal_now(house)


def month(house: House) -> None:
    """The days before: counted as the worker does, then as days are that had something in them."""
    while count_day(house.services):
        pass
    rules = list(house.services.catalogue.rules)
    for row in house.sql("SELECT day FROM day_count WHERE day < current_date ORDER BY day"):
        wave = (row["day"].toordinal() * 7919) % 23
        busy = wave if row["day"].weekday() < 5 else wave // 3
        numbers = {
            "alerts": {"P0": wave // 21, "P1": busy // 7, "P2": busy * 2, "P3": busy, "none": 0},
            "enriched": {"n": busy, "p50": 0.8 + wave / 40, "p95": 1.4 + wave / 12},
            "acknowledged": {"n": busy, "p50": 60 + 12 * wave, "p95": 400 + 70 * wave},
            "fixes": {"held": busy // 3, "failed": wave // 20, "refused": wave // 17},
            "rules": {
                rule: {
                    "incidents": (busy + place) // 4,
                    "by_itself": (wave + place) // 9,
                    "flaps": wave // 19,
                    "alerts": busy + place,
                }
                for place, rule in enumerate(rules)
            },
            "keys": [],
        }
        house.sql(
            "UPDATE day_count SET numbers = %s WHERE day = %s", json.dumps(numbers), row["day"]
        )
