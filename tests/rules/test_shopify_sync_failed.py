"""Synchronisations fail in each way that the rule knows, in a real shop; the house answers."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.matcher import first_failed
from responder.pipeline.by_hand import Asked, NotBegun, Objection, ask
from responder.runbook.loader import LoadedRule
from tests.house import House, alert
from tests.senders import ALERTMANAGER, GRAFANA, PAGERDUTY, Sender
from tests.walks import fixes, reasons

if TYPE_CHECKING:
    from tests.shop import Shop

NAME = "ShopifySyncFailed"
PASSING = "HTTP 503: Shopify is unavailable"
PERMANENT = "HTTP 422: title can't be blank"
ANN = Actor(ActorKind.PERSON, "ann")
each_sender = pytest.mark.parametrize(
    "sender", [ALERTMANAGER, GRAFANA, PAGERDUTY], ids=lambda sender: sender.name
)


def fail(
    shop: "Shop",
    items: int = 1,
    error: str | None = PASSING,
    action: str = "update",
    retries: int = 3,
    age: int = 30,
    skip: int = 0,
) -> list[str]:
    """The first items of the shop fail to reach Shopify; the ids of their entries."""
    shop.run(
        "INSERT INTO shopify_sync_queue"
        " (inventory_item_id, action, status, retry_count, last_error, created_at)"
        " SELECT id, %(action)s, 'failed', %(retries)s, %(error)s,"
        " now() - %(age)s * interval '1 minute'"
        " FROM intake_items ORDER BY sku LIMIT %(items)s OFFSET %(skip)s",
        {
            "action": action,
            "retries": retries,
            "error": error,
            "age": age,
            "items": items,
            "skip": skip,
        },
    )
    newest = "SELECT id::text FROM shopify_sync_queue WHERE status = 'failed'"
    return shop.rows(f"{newest} ORDER BY xmin::text::bigint DESC LIMIT {items}")


def sku_of(shop: "Shop", entry: str) -> str:
    [sku] = shop.rows(
        "SELECT sku FROM intake_items i JOIN shopify_sync_queue q ON q.inventory_item_id = i.id"
        f" WHERE q.id = '{entry}'"
    )
    return str(sku)


def statuses(shop: "Shop", *entries: str) -> list[str]:
    listed = ", ".join(f"'{entry}'" for entry in entries)
    return shop.rows(f"SELECT status FROM shopify_sync_queue WHERE id IN ({listed})")


def findings(house: House) -> dict[str, dict[str, Any]]:
    return {finding["name"]: finding for finding in house.document()["findings"]}


@pytest.fixture
def rule(rules: Mapping[str, LoadedRule]) -> LoadedRule:
    return rules["shopify_sync_failed"]


@each_sender
def test_one_item_is_queued_again_whoever_tells(
    house: House, tmp_path: Path, sender: Sender
) -> None:
    entry, other = fail(house.shop, 2)
    house.tell(sender, tmp_path, NAME, sku=sku_of(house.shop, entry))
    house.settle()
    assert house.decision() == ("fix", "allowed")
    assert house.incident().parameters == {"item": sku_of(house.shop, entry)}
    assert statuses(house.shop, entry) == ["queued"]
    assert statuses(house.shop, other) == ["failed"]
    (fix,) = fixes(house)
    assert (fix["option"], fix["status"], fix["verification"]) == (
        "requeue_item",
        "committed",
        "held",
    )
    assert fix["counts"] == {"shopify_sync_queue": 1}
    assert [row["last_error"] for row in fix["before_rows"]] == [PASSING]
    trail = [step for step in house.trail() if step[0] in ("decision", "fix", "verification")]
    assert trail == [
        ("decision", "fix"),
        ("fix", "started"),
        ("fix", "recorded"),
        ("fix", "committed"),
        ("verification", "held"),
    ]


@pytest.mark.parametrize("label", ["queue_item_id", "inventory_item_id", "sku"])
def test_an_item_has_three_names(house: House, label: str) -> None:
    entry, _ = fail(house.shop, 2)
    [item] = house.shop.rows(
        f"SELECT inventory_item_id::text FROM shopify_sync_queue WHERE id = '{entry}'"
    )
    names = {
        "queue_item_id": entry.upper(),
        "inventory_item_id": item,
        "sku": sku_of(house.shop, entry),
    }
    house.post(alert(NAME, **{label: names[label]}))
    house.settle()
    assert statuses(house.shop, entry) == ["queued"]
    assert fixes(house)[0]["counts"] == {"shopify_sync_queue": 1}


def test_all_items_are_queued_again_but_those_that_no_retry_mends(house: House) -> None:
    passing = fail(house.shop, 12)
    permanent = fail(house.shop, 3, PERMANENT, skip=20)
    tried = fail(house.shop, 2, retries=1, skip=30)
    overtaken = fail(house.shop, 2, action="delete", skip=40)
    house.post(alert(NAME))
    house.settle()
    assert set(findings(house)) == {"exhausted", "permanent", "overtaken"}
    assert findings(house)["exhausted"]["summary"].startswith("12 items failed until")
    assert findings(house)["permanent"]["offers"] == ["sync_by_hand"]
    assert set(statuses(house.shop, *passing)) == {"queued"}
    assert set(statuses(house.shop, *permanent, *tried, *overtaken)) == {"failed"}
    assert [fix["counts"] for fix in fixes(house)] == [{"shopify_sync_queue": 12}]


@each_sender
def test_a_permanent_error_is_never_queued_again(
    house: House, tmp_path: Path, sender: Sender
) -> None:
    (entry,) = fail(house.shop, 1, PERMANENT)
    house.tell(sender, tmp_path, NAME, sku=sku_of(house.shop, entry))
    house.settle()
    assert house.decision() == ("propose", "not_automatic")
    assert (list(findings(house)), fixes(house)) == (["permanent"], [])
    assert statuses(house.shop, entry) == ["failed"]
    (offered,) = [each for each in house.document()["options"] if each["offered"]]
    assert (offered["name"], offered["run"][:11]) == ("sync_by_hand", "# Inventory")


@pytest.mark.parametrize(
    ("action", "gone"), [("update", True), ("create", True), ("delete", False)]
)
def test_what_the_shop_has_overtaken_is_left_to_people(
    house: House, action: str, gone: bool
) -> None:
    (entry,) = fail(house.shop, 1, action=action)
    if gone:
        house.shop.run("UPDATE intake_items SET deleted_at = now()")
    house.post(alert(NAME))
    house.settle()
    assert house.decision() == ("hand_over", "no_option")
    assert (list(findings(house)), statuses(house.shop, entry)) == (["overtaken"], ["failed"])


def test_an_entry_whose_item_is_gone_is_shown(house: House) -> None:
    """A delete still has to reach Shopify; the runbook's join hid it."""
    (entry,) = fail(house.shop, 1, action="delete")
    house.shop.run(
        "UPDATE shopify_sync_queue SET inventory_item_id = gen_random_uuid()"
        " WHERE status = 'failed'"
    )
    house.post(alert(NAME, queue_item_id=entry))
    house.settle()
    assert findings(house)["exhausted"]["rows"][0]["sku"] is None
    assert statuses(house.shop, entry) == ["queued"]


def test_the_consumer_may_still_try(house: House) -> None:
    """Three looks, a minute apart; then the retries are evidently not used."""
    (entry,) = fail(house.shop, 1, retries=1)
    house.post(alert(NAME, queue_item_id=entry))
    for _ in range(3):
        house.settle()
        assert house.decision() == ("wait", "look_again")
        assert statuses(house.shop, entry) == ["failed"]
        house.later(timedelta(seconds=61))
    house.settle()
    assert statuses(house.shop, entry) == ["queued"]
    assert reasons(house) == ["look_again"] * 3 + ["allowed"]


def test_what_fails_again_at_once_comes_to_a_person(house: House) -> None:
    entries = fail(house.shop, 2)
    house.post(alert(NAME))
    house.settle()
    house.shop.run(
        "UPDATE shopify_sync_queue SET status = 'failed', retry_count = 3, last_error = 'HTTP 500'"
        " WHERE status = 'queued'"
    )
    house.post(alert(NAME, status="resolved"))
    house.settle()
    house.later(timedelta(hours=1))
    house.post(alert(NAME))
    house.settle()
    document = house.sql("SELECT reason FROM decision ORDER BY at DESC LIMIT 1")
    assert document == [{"reason": "cooldown"}]
    assert (set(statuses(house.shop, *entries)), len(fixes(house))) == ({"failed"}, 1)


def test_a_dead_consumer_is_handed_over(house: House) -> None:
    (entry,) = fail(house.shop, 1)
    house.shop.run(
        "UPDATE shopify_sync_queue SET status = 'queued'"
        " WHERE created_at > now() - interval '2 hours' AND status = 'completed'"
    )
    house.post(alert(NAME))
    house.settle()
    assert house.decision() == ("hand_over", "no_option")
    assert "the consumer does not run" in findings(house)["not_moving"]["summary"]
    assert statuses(house.shop, entry) == ["failed"]


@each_sender
def test_more_than_the_limit_is_rolled_back(
    house: House, tmp_path: Path, sender: Sender, rule: LoadedRule
) -> None:
    entries = fail(house.shop, rule.options["requeue_all"].max_rows + 1)
    house.tell(sender, tmp_path, NAME)
    house.settle()
    assert house.decision() == ("hand_over", "fix_failed")
    (fix,) = fixes(house)
    assert (fix["status"], fix["reason"]) == ("rolled_back", "more than 500 rows would be changed")
    assert set(statuses(house.shop, *entries)) == {"failed"}
    assert ("fix", "rolled_back") in house.trail()


def test_nothing_failed(house: House) -> None:
    house.post(alert(NAME, sku="PKM-100001"))
    house.settle()
    assert house.decision() == ("hand_over", "nothing_found")


@pytest.mark.parametrize("option", ["requeue_item", "requeue_all"])
@pytest.mark.parametrize(
    "meanwhile",
    [
        "UPDATE shopify_sync_queue SET last_error = 'HTTP 404' WHERE status = 'failed'",
        "UPDATE intake_items SET deleted_at = now()",
        "UPDATE shopify_sync_queue SET status = 'completed' WHERE status = 'failed'",
    ],
    ids=["permanent by now", "deleted by now", "through by now"],
)
def test_a_change_that_comes_late_changes_nothing(
    house: House, option: str, meanwhile: str
) -> None:
    (entry,) = fail(house.shop, 1)
    labels = {"queue_item_id": entry} if option == "requeue_item" else {}
    house.post(alert(NAME, severity="critical", **labels))
    house.settle()
    house.shop.run(meanwhile)
    before = statuses(house.shop, entry)
    incident = house.incident()
    ask(house.services, Asked(incident.id, option, incident.decision_id), ANN, "operator")
    house.settle()
    assert [fix["status"] for fix in fixes(house)] == ["refused"]
    assert statuses(house.shop, entry) == before


@pytest.mark.parametrize("option", ["requeue_item", "requeue_all"])
def test_a_person_runs_it_at_p0(house: House, option: str) -> None:
    (entry,) = fail(house.shop, 1)
    labels = {"queue_item_id": entry} if option == "requeue_item" else {}
    house.post(alert(NAME, severity="critical", **labels))
    house.settle()
    assert house.decision() == ("propose", "severity")
    incident = house.incident()
    ask(house.services, Asked(incident.id, option, incident.decision_id), ANN, "operator")
    house.settle()
    (fix,) = fixes(house)
    assert (fix["actor"], fix["status"], fix["severity"]) == ("ann", "committed", "P0")
    assert statuses(house.shop, entry) == ["queued"]


def test_work_in_the_shops_own_pages_is_told(house: House) -> None:
    fail(house.shop, 1, PERMANENT)
    house.post(alert(NAME))
    house.settle()
    asked = Asked(house.incident().id, "sync_by_hand", house.incident().decision_id)
    with pytest.raises(NotBegun) as caught:
        ask(house.services, asked, ANN, "operator")
    assert caught.value.objection == Objection.NOT_POSSIBLE
    assert "Send to Shopify" in caught.value.more["run"]
    asked = replace(asked, option="requeue_item")
    with pytest.raises(NotBegun, match="neither the alert nor the finding says entry"):
        ask(house.services, asked, ANN, "operator")


@pytest.mark.parametrize(("name", "answered"), [(NAME, True), ("ShopifyQueueStuck", False)])
def test_it_answers_its_own_alert_alone(rule: LoadedRule, name: str, answered: bool) -> None:
    assert (first_failed(rule.matchers, {"alertname": name}) is None) == answered
