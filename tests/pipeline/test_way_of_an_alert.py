"""The whole way: a webhook comes in, the shop is repaired, people hear of it, and the trail."""

from datetime import timedelta

from tests.house import House, alert
from tests.shop import Shop

EXHAUSTED = """
INSERT INTO shopify_sync_queue
    (inventory_item_id, action, status, retry_count, max_retries, last_error, created_at)
SELECT gen_random_uuid(), 'update', 'failed', 3, 3, 'HTTP 503', now() - interval '20 minutes'
FROM generate_series(1, 12)
"""
FAILED = "SELECT count(*) FROM shopify_sync_queue WHERE status = 'failed'"


def stick(shop: Shop) -> None:
    shop.run(EXHAUSTED)


def test_a_stuck_queue_is_repaired_verified_and_told(house: House) -> None:
    stick(house.shop)
    house.post(alert("ShopifyQueueStuck", severity="warning"))
    house.settle()

    document = house.document()
    assert house.shop.rows(FAILED) == [0]
    assert document["incident"]["stage"] == "watch"
    assert [finding["name"] for finding in document["findings"]] == ["exhausted"]
    (fix,) = document["fixes"]
    assert (fix["status"], fix["verification"]) == ("committed", "held")
    assert fix["counts"] == {"shopify_sync_queue": 12}
    assert len(fix["before"]) == len(fix["after"]) == 12
    assert house.trail() == [
        ("opened", "open"),
        ("stage", "plan"),
        ("decision", "fix"),
        ("stage", "fix"),
        ("fix", "started"),
        ("fix", "recorded"),
        ("fix", "committed"),
        ("stage", "verify"),
        ("verification", "held"),
        ("stage", "watch"),
        ("notification", "sent"),
        ("notification", "sent"),
    ]
    assert house.pager.got == []
    assert house.hook.happenings() == ["opened", "updated"]
    assert house.gap() == (0, 0)


def test_the_sender_ends_it(house: House) -> None:
    stick(house.shop)
    house.post(alert("ShopifyQueueStuck", severity="warning"))
    house.settle()
    house.later(timedelta(minutes=1))
    house.post(alert("ShopifyQueueStuck", status="resolved", severity="warning"))
    house.settle()

    incident = house.incident()
    assert (incident.status, incident.stage, incident.resolved_by) == ("resolved", "done", "sender")
    assert house.outcomes() == ["opened", "cleared"]
    assert house.hook.happenings()[-1] == "resolved"
