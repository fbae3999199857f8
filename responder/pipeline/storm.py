"""Storms toward people: what a receiver would not take in a minute becomes one summary.

A quarter of a receiver's rate is kept for summaries, evenly spaced, so that the gravest messages
leave one by one and the rest is told with true counts, soon.
"""

from datetime import timedelta
from typing import Any

from responder.domain.actor import RESPONDER
from responder.domain.notification import Happening
from responder.pipeline.messages import write_message
from responder.pipeline.services import Services, iso
from responder.store import Transaction

#: Incidents that a summary names.
NAMED = 20
MINUTE = timedelta(minutes=1)


def reserve(per_minute: int) -> int:
    """How many messages of a minute are kept for summaries."""
    return max(1, per_minute // 4)


def summarise(services: Services, tx: Transaction, page: bool) -> None:
    """Replace by one summary what is due and beyond a receiver's rate, where one is due."""
    for row in tx.all("crowded_receivers", page=page):
        configured = services.settings.receivers.get(row["receiver"])
        if configured is None:
            continue
        kept = reserve(configured.per_minute)
        left = max(0, configured.per_minute - kept - row["used"])
        spacing = MINUTE / kept
        last = row["last_summary"]
        if row["due"] > left and (last is None or last + spacing <= tx.now):
            _replace(services, tx, row["receiver"], page, left)


def _replace(services: Services, tx: Transaction, receiver: str, page: bool, left: int) -> None:
    summary_id = services.new_id()
    crowd = tx.all("lock_crowd", receiver=receiver, page=page, left=left)
    ids = tuple(row["id"] for row in crowd)
    if len(ids) < 2:
        return
    document = _document(services, tx.all("crowd", ids=ids, named=NAMED))
    write_message(
        tx,
        summary_id,
        f"summary:{summary_id}",
        receiver,
        Happening.SUMMARY,
        tx.now,
        page,
        document=document,
    )
    replaced = tx.run("replace_by_summary", ids=ids, summary_id=summary_id)
    tx.record(
        "notification",
        RESPONDER,
        f"notification {summary_id}",
        after="due",
        receiver=receiver,
        happening=Happening.SUMMARY,
        replaces=replaced,
        **document["summary"],
    )


def _document(services: Services, rows: list[Any]) -> dict[str, Any]:
    """The gravest by name, all by count; each row carries the counts of the whole."""
    whole = rows[0]
    base = services.settings.public_url.rstrip("/")
    named = ("id", "title", "severity", "status", "rule", "target")
    return {
        "version": 1,
        "summary": {
            "messages": whole["messages"],
            "incidents": whole["incidents"],
            "by_severity": whole["by_severity"],
            "by_happening": whole["by_happening"],
            "since": iso(whole["since"]),
            "until": iso(whole["until"]),
        },
        "incidents": [
            {name: str(row[name]) if row[name] is not None else None for name in named}
            for row in rows
            if row["title"] is not None
        ],
        "links": {"self": f"{base}/v1/incidents", "console": f"{base}/console"},
    }
