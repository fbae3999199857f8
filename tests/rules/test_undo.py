"""Each shipped option that can be undone: its rows come back exactly, or are left and named."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from responder.pipeline.by_hand import Asked, ask
from responder.runbook.loader import LoadedRule
from tests.house import House, alert
from tests.rules.test_every_operation import (
    Make,
    batch_is_forgotten,
    colleague_has_no_rights,
    items_fail,
    one_item_fails,
)
from tests.undoing import ANN, undo_of
from tests.walks import fixes

if TYPE_CHECKING:
    from tests.shop import Shop


@dataclass(frozen=True)
class Undoable:
    """An option, what makes its fault, its main table, and a change of its rows by others since."""

    alertname: str
    option: str
    make: Make
    table: str
    since: str
    asks: Mapping[str, str] = field(default_factory=dict)


TAKEN = "UPDATE shopify_sync_queue SET status = 'completed' WHERE status = 'queued'"
REGRANTED = (
    "WITH taken AS (DELETE FROM user_roles WHERE user_id = (SELECT id FROM auth.users"
    " WHERE email = 'mo@example.com') RETURNING user_id, role)"
    " INSERT INTO user_roles (user_id, role, id)"
    " SELECT user_id, CASE role WHEN 'staff' THEN 'admin'::app_role ELSE 'staff' END,"
    " gen_random_uuid() FROM taken"
)
STORE = {"store_key": "main", "location": "123456789"}
UNDOABLE = [
    Undoable("ShopifyQueueStuck", "retry_failed", items_fail(3), "shopify_sync_queue", TAKEN),
    Undoable("ShopifySyncFailed", "requeue_item", one_item_fails, "shopify_sync_queue", TAKEN),
    Undoable("ShopifySyncFailed", "requeue_all", items_fail(3), "shopify_sync_queue", TAKEN),
    Undoable(
        "IntakeBatchStuck",
        "complete_batch",
        batch_is_forgotten,
        "intake_lots",
        "UPDATE intake_lots SET total_items = total_items + 1 WHERE status = 'completed'",
    ),
    Undoable("UserCannotLogIn", "grant_staff", colleague_has_no_rights, "user_roles", REGRANTED),
    Undoable("UserCannotLogIn", "grant_admin", colleague_has_no_rights, "user_roles", REGRANTED),
    Undoable(
        "UserCannotLogIn",
        "assign_store",
        colleague_has_no_rights,
        "user_shopify_assignments",
        "UPDATE user_shopify_assignments SET region_id = 'north' WHERE region_id IS NULL",
        STORE,
    ),
]
each = pytest.mark.parametrize("case", UNDOABLE, ids=[case.option for case in UNDOABLE])


def test_each_option_that_can_be_undone_is_tried_here(rules: Mapping[str, LoadedRule]) -> None:
    offered = {o.name for rule in rules.values() for o in rule.options.values() if o.undo}
    assert offered == {case.option for case in UNDOABLE}


def rows(shop: "Shop", table: str) -> list[str]:
    return shop.rows(f"SELECT {table}::text FROM {table} ORDER BY 1")


def fixed(make_house: Callable[..., House], case: Undoable) -> tuple[House, list[str]]:
    """The fault, and its fix by an admin; with the rows as they were before it."""
    house = make_house()
    labels = case.make(house.shop)
    before = rows(house.shop, case.table)
    house.post(alert(case.alertname, **labels))
    house.settle()
    incident = house.incident()
    asked = Asked(incident.id, case.option, incident.decision_id, case.asks)
    ask(house.services, asked, ANN, "admin")
    house.settle()
    (fix,) = fixes(house)
    assert (fix["status"], fix["verification"]) == ("committed", "held"), fix["reason"]
    assert rows(house.shop, case.table) != before
    return house, before


@each
def test_an_undo_brings_all_rows_back(make_house: Callable[..., House], case: Undoable) -> None:
    house, before = fixed(make_house, case)
    undo_of(house, "admin")
    house.settle()
    fix, undo = fixes(house)
    assert (fix["status"], undo["status"], undo["reason"]) == ("undone", "committed", "")
    assert (rows(house.shop, case.table), undo["left_rows"]) == (before, [])


@each
def test_what_others_changed_since_is_left(
    make_house: Callable[..., House], case: Undoable
) -> None:
    house, _ = fixed(make_house, case)
    house.shop.run(case.since)
    since = rows(house.shop, case.table)
    undo_of(house, "admin")
    house.settle()
    fix, undo = fixes(house)
    assert (fix["status"], undo["status"]) == ("committed", "refused")
    assert undo["reason"] == "all rows changed since the fix, or are gone"
    assert sorted(undo["left_rows"]) == sorted(str(row["id"]) for row in fix["before_rows"])
    assert rows(house.shop, case.table) == since
