"""A change of an item did not reach Shopify: its synchronisation failed.

Symptoms:   an inventory item does not appear in Shopify, or not as it is in the shop; its entry in
            shopify_sync_queue is `failed`; the last error tells of Shopify's API.
Prevention: mend what Shopify refuses (a wrong product, a revoked token) where it comes from; let
            the consumer wait longer after each try, so that a short outage does not use up all.
Parameter:  the item that the alert names: the entry's id, the inventory item's id or its SKU; an
            alert that names none is about all failed items.
Mended:     the runbook joins the inventory, which hides entries whose item is gone: here they are
            shown, too. It queues permanent errors again, which then fail for ever: they are told
            apart as in shopify_queue_stuck. It also queues again what the shop has overtaken, so
            that an old `update` brings back a card that was deleted since, and an old `delete`
            takes away one that is for sale: such entries are shown and left to people. And it reads
            every entry that ever failed: here the newest 2,000 are looked at.
By itself:  requeue_item: one entry that the consumer tries as it would have tried it; what was is
            kept in the before-image. requeue_all: the same for at most 500, and not again within
            two hours, so that an error which does not pass comes to a person. sync_by_hand is work
            in the shop's own pages.
Undone:     both, as far as the consumer has not taken an entry up since: what it has sent to
            Shopify is there, whatever its entry says.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from responder.runbook import Case, Finding, Label, Option, Rule, Sql, Within

Rows = Sequence[Mapping[str, Any]]

#: Nobody looks further.
_MOST = 2_000
_PASSES = "with an error that may pass"
_SAID = {
    "exhausted": f"failed until no retry was left, {_PASSES}",
    "retrying": f"failed, {_PASSES}, and the consumer has retries left for it",
    "permanent": "failed with an error that no retry will mend",
    "overtaken": "failed, and the shop has changed since: the item of a create or update is gone, "
    "or that of a delete is for sale",
}


class ShopifySyncFailed(Rule):
    answers = ['alertname=~"ShopifySyncFailed|ShopifySyncItemFailed|ShopifyItemNotSynced"']
    target = "shop"
    key = ("item",)
    parameters = {
        "item": Label(
            "queue_item_id", "sync_id", "inventory_item_id", "item_id", "sku", "item", default=""
        )
    }
    diagnostics = [
        Sql(
            "failed",
            "Which items have failed, and will a retry help?",
            index="shopify_sync_queue (status)",
        ),
        Sql(
            "progress",
            "Does anything wait, and was anything taken up in the last ten minutes?",
            index="shopify_sync_queue (created_at)",
        ),
    ]
    options = [
        Option(
            "requeue_item",
            "Queue this item again",
            automatic=True,
            changes=("shopify_sync_queue",),
            max_rows=1,
            cooldown="2h",
            verify=Within("10m", every="30s"),
            undo=True,
        ),
        Option(
            "requeue_all",
            "Queue all failed items again whose error may pass",
            automatic=True,
            changes=("shopify_sync_queue",),
            max_rows=500,
            cooldown="2h",
            verify=Within("10m", every="30s"),
            undo=True,
        ),
        Option(
            "sync_by_hand",
            "Send the item to Shopify from the shop's own pages",
            run="# Inventory page → find the item by its SKU → Send to Shopify → watch the sync "
            "queue until it is completed",
            caution="Mend the item or the token first, else the same error comes back.",
        ),
    ]

    def conclude(self, case: Case) -> Iterable[Finding]:
        if case["failed"].error or case["progress"].error:
            return
        failed = {kind: _of_kind(case["failed"].rows, kind) for kind in _SAID}
        progress = case["progress"].rows[0]
        if progress["waiting"] and not progress["taken_up"] and any(failed.values()):
            yield Finding(
                "not_moving",
                f"{_all(failed)}, and nothing that waits in the queue is taken up: the consumer "
                "does not run. Start it; queued again, they would only wait.",
                rows=case["failed"].rows,
            )
        elif case.parameters["item"]:
            yield from _of_item(failed)
        else:
            yield from _of_all(failed)


def _of_item(failed: Mapping[str, Rows]) -> Iterable[Finding]:
    """What the newest entry of the item says; older ones it has overtaken."""
    newest = max((row for rows in failed.values() for row in rows), key=_age, default=None)
    if newest is None:
        return
    kind = str(newest["kind"])
    name = newest["sku"] or f"the item {newest['inventory_item_id']}"
    yield Finding(
        kind,
        f"The {newest['action']} of {name} {_SAID[kind]}: {newest['last_error'] or 'it says none'}",
        offers=_offers(kind, "requeue_item"),
        rows=[newest],
        parameters={"entry": newest["id"]},
        look_again="60s" if kind == "retrying" else "",
    )


def _of_all(failed: Mapping[str, Rows]) -> Iterable[Finding]:
    """What the consumer will try again by itself is no cause."""
    for kind, rows in failed.items():
        if rows and kind != "retrying":
            yield Finding(
                kind, f"{_items(rows)} {_SAID[kind]}.", _offers(kind, "requeue_all"), rows
            )


def _offers(kind: str, requeue: str) -> Sequence[str]:
    """What would help; nothing where the shop itself says that the change is out of date."""
    if kind == "overtaken":
        return ()
    return ("sync_by_hand",) if kind == "permanent" else (requeue, "sync_by_hand")


def _of_kind(rows: Rows, kind: str) -> Rows:
    return [row for row in rows if row["kind"] == kind]


def _age(row: Mapping[str, Any]) -> str:
    return str(row["created_at"])


def _all(failed: Mapping[str, Rows]) -> str:
    return _say(sum(rows[0]["in_all"] for rows in failed.values() if rows)) + " failed"


def _items(rows: Rows) -> str:
    return _say(rows[0]["in_all"])


def _say(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items{' or more' if count == _MOST else ''}"
