"""A batch does not end: it stays active, and its items do not come into the inventory.

Symptoms:   a batch remains `active`; its items do not appear in the inventory; whoever took it in
            says that it is stuck.
Prevention: let the page that ends a batch say what failed, and write it to system_logs with the
            batch's id; remind people of batches that nobody has touched for a day.
Parameter:  the batch that the alert names by its id or its number; an alert that names none is
            about all batches that nobody works on. By day that is asked each hour, so that a
            batch is found that no monitor watches.
Mended:     `active` is also a batch that somebody is taking in: one with an item of the last four
            hours is being worked on, and nothing is offered. The runbook searches the whole log for
            a batch: here the last day, at most 50,000 lines. It lists items that were deleted, and
            so cannot use the index that it recommends, which holds the others. Completing asks for
            `active` once more, so that it cannot bring back what was deleted meanwhile.
By itself:  nothing. complete_batch: only whoever has the cards knows whether all are taken in, and
            what is completed can be sold at once. delete_batch: a deletion; it is for an admin, and
            the shop's own function asks for one, too.
Undone:     complete_batch: the batch is active again, unless somebody has touched it since; items
            that were sold meanwhile stay sold. delete_batch is not: the shop has no function that
            brings a batch back, its log would go on saying that it is deleted, and the fixing role
            would need a right on all items that nothing else needs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from responder.runbook import Case, Finding, Label, Option, Rule, Sql, Within

Row = Mapping[str, Any]

#: Seconds. With an item of this age somebody is still taking it in.
_IDLE = 4 * 3600
#: So many of the active batches are looked at, those that were opened first.
_MOST = 20


class IntakeBatchStuck(Rule):
    answers = ['alertname=~"IntakeBatchStuck|IntakeLotStuck|BatchStuck|BatchProcessingFailed"']
    target = "shop"
    key = ("lot",)
    schedule = "23 8-18 * * *"
    parameters = {
        "lot": Label("lot_id", "batch_id", "lot_number", "batch_number", "lot", "batch", default="")
    }
    diagnostics = [
        Sql("batches", "Which batch is it, or which are active?", index="intake_lots (status)"),
        Sql(
            "work",
            "How many items has each, and when did the last one come?",
            after="batches",
            index="intake_items (lot_id)",
        ),
        Sql("items", "Which items has it?", after="batches", index="intake_items (lot_id)"),
        Sql("log", "What does the log say of it?", index="system_logs (created_at)"),
    ]
    options = [
        Option(
            "complete_batch",
            "Mark the batch as completed",
            changes=("intake_lots",),
            max_rows=1,
            verify=Within("5m"),
            undo=True,
            caution="Ask whoever takes it in whether all items are there: none can be added later.",
        ),
        Option(
            "delete_batch",
            "Delete the batch and its items, as the shop's own function does it",
            changes=("intake_lots", "intake_items", "system_logs"),
            max_rows=5000,
            verify=Within("5m"),
            role="admin",
            claims=True,
            asks={"why": "Why is it deleted? The shop's log keeps it."},
            caution="A soft delete: the rows stay, marked; the items leave the inventory.",
        ),
    ]

    def conclude(self, case: Case) -> Iterable[Finding]:
        if case["batches"].error or case["work"].error:
            return
        named, batches = case.parameters["lot"], case["batches"].rows
        work = {row["lot_id"]: row for row in case["work"].rows}
        if named:
            yield _of_named(named, batches, work, case["log"].rows)
            return
        idle = [row for row in batches if row["status"] == "active" and _idle(row, work) > _IDLE]
        if idle:
            yield _forgotten(idle, " or more" if len(batches) == _MOST else "")


def _forgotten(idle: Sequence[Row], more: str) -> Finding:
    """All that nobody has touched: each is a decision of its own."""
    names = ", ".join(row["lot_number"] for row in idle[:5])
    which = "1 batch is" if len(idle) == 1 else f"{len(idle)}{more} batches are"
    return Finding(
        "forgotten",
        f"{which} active and nobody has touched {'it' if len(idle) == 1 else 'them'} for four "
        f"hours: {names}{' and others' if len(idle) > 5 else ''}. Each is its own decision.",
        rows=idle,
    )


def _of_named(
    named: str, batches: Sequence[Row], work: Mapping[str, Row], log: Sequence[Row]
) -> Finding:
    """The one batch that the alert is about."""
    if not batches:
        return Finding("no_batch", f"There is no batch with the id or the number {named}.")
    (batch,) = batches
    number, errors = batch["lot_number"], [row for row in log if row["level"] == "error"]
    if batch["status"] != "active":
        when = f" since {batch['completed_at']}" if batch["completed_at"] else ""
        said = f"Batch {number} is {batch['status']}{when}: it is not stuck any more."
        return Finding("not_active", said, rows=batches)
    idle = _idle(batch, work)
    if not errors and idle <= _IDLE:
        said = (
            f"Batch {number} is being worked on: its last item came {idle // 60} minutes ago. "
            "Ask whoever takes it in."
        )
        return Finding("being_worked_on", said, rows=batches)
    if batch["id"] not in work:
        said = f"Batch {number} is active and has no item."
        return Finding("empty", said, offers=("delete_batch",), rows=batches)
    has = f"has {work[batch['id']]['pieces']} items of {batch['total_items']}"
    if errors:
        said = f"Batch {number} {has}, and the log says: {errors[0]['message']}"
        return Finding("failed", said, ("complete_batch", "delete_batch"), [*batches, *errors])
    said = f"Batch {number} {has}, and nobody has touched it for {idle // 3600} hours."
    return Finding("idle", said, ("complete_batch", "delete_batch"), batches)


def _idle(batch: Row, work: Mapping[str, Row]) -> int:
    """Seconds since its last item came, or since it was opened."""
    seconds: int = work.get(batch["id"], batch)["idle_seconds"]
    return seconds
