"""Items wait in the Shopify sync queue, or failed there, and do not reach the shop.

Symptoms:   items are `queued` for more than ten minutes; the queue makes no progress;
            shopify_sync_queue grows.
Prevention: watch the consumer itself, not only its queue; let it drop what Shopify refuses for
            good (a wrong product, a revoked token) instead of trying it again.
Mended:     the runbook's "manual retry" also queues items again whose error is permanent, which
            then fail for ever. Here a permanent error (HTTP 400, 401, 403, 404, 410, 422; without a
            status the words for it) is never retried: every statement says so with the same
            expression. Nor is what the shop has overtaken: an old `update` would bring back a card
            that was deleted since, an old `delete` take away one that is for sale. And since a
            retried item keeps its `created_at`, the runbook's question for stuck items shows more
            rows after a retry than before; so verification asks for the cause, failed items, and
            a queue that does not move at all is handed over. Its counts read the whole table: here
            nobody counts beyond 10,000, nor beyond 2,000 that failed.
By itself:  retry_failed: what the consumer would have done, for at most 500 items, and the
            before-image has what they were. clear_failed and clear_queued: deletions, for people.
Undone:     retry_failed, where the consumer has not taken an item up since. A deletion is not: what
            the shop did meanwhile for an entry that it believed gone cannot be taken back by
            inserting it, and the fixing role may not insert.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from responder.runbook import Case, Finding, Option, Rule, Sql, Within

Rows = Sequence[Mapping[str, Any]]

_BY_STATUS = "shopify_sync_queue (status)"
#: Nobody counts further what waits, and what has failed.
_MOST = (10_000, 2_000)
_BESIDES = {
    "exhausted": "and may be retried then",
    "permanent": "for good",
    "overtaken": "and the shop has changed since",
}


class ShopifyQueueStuck(Rule):
    answers = ['alertname="ShopifyQueueStuck"']
    target = "shop"
    key = ()
    diagnostics = [
        Sql("statuses", "How many items are in which status?", index=_BY_STATUS),
        Sql("stuck", "Which items have waited for more than ten minutes?", index=_BY_STATUS),
        Sql("failed", "Which items have failed, and will a retry help?", index=_BY_STATUS),
        Sql(
            "progress",
            "Is anything taken up that came in the last ten minutes?",
            index="shopify_sync_queue (created_at)",
        ),
    ]
    options = [
        Option(
            "retry_failed",
            "Queue the failed items again whose error may pass",
            automatic=True,
            changes=("shopify_sync_queue",),
            max_rows=500,
            cooldown="30m",
            verify=Within("10m", every="30s"),
            undo=True,
        ),
        Option(
            "clear_failed",
            "Delete all failed items from the queue",
            changes=("shopify_sync_queue",),
            max_rows=1000,
            claims=True,
            caution="Deletes every failed item, also those that a retry would bring through: "
            "retry first. Mend the item or the token, else the same error comes back.",
        ),
        Option(
            "clear_queued",
            "Delete all queued items from the queue",
            changes=("shopify_sync_queue",),
            max_rows=5000,
            role="admin",
            claims=True,
            dangerous=True,
            caution="Use with caution: these changes never reach Shopify, and a consumer that does "
            "not run stays as it is.",
        ),
    ]

    def conclude(self, case: Case) -> Iterable[Finding]:
        if case["stuck"].error or case["progress"].error:
            return
        stuck = case["stuck"].rows
        failed = {kind: _of_kind(case["failed"].rows, kind) for kind in _BESIDES}
        if stuck and not case["progress"].rows[0]["taken_up"]:
            yield _not_moving(stuck, failed)
            return
        exhausted, permanent, overtaken = failed.values()
        if exhausted:
            yield Finding(
                "exhausted",
                f"{_items(exhausted)} failed until no retry was left, with errors that may pass.",
                offers=("retry_failed", "clear_failed"),
                rows=exhausted,
            )
        if permanent:
            yield Finding(
                "permanent",
                f"{_items(permanent)} failed with an error that no retry will mend.",
                offers=("clear_failed",),
                rows=permanent,
            )
        if overtaken:
            yield Finding(
                "overtaken",
                f"{_items(overtaken)} failed, and the shop has changed since: the item of a create "
                "or update is deleted, or that of a delete is for sale.",
                rows=overtaken,
            )


def _not_moving(stuck: Rows, failed: Mapping[str, Rows]) -> Finding:
    """Nothing is taken up, so a retry would only wait too: no option helps."""
    besides = [f"{_items(rows)} failed {_BESIDES[kind]}" for kind, rows in failed.items() if rows]
    return Finding(
        "not_moving",
        f"{_items(stuck)} queued for more than ten minutes and nothing is taken up: the consumer "
        f"does not run. Start it; no option helps{'; ' if besides else ''}{', '.join(besides)}.",
        rows=stuck,
    )


def _of_kind(failed: Rows, kind: str) -> Rows:
    return [row for row in failed if row["kind"] == kind]


def _items(rows: Rows) -> str:
    count = rows[0]["in_all"]
    return "1 item" if count == 1 else f"{count} items{' or more' if count in _MOST else ''}"
