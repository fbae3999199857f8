"""The morning digest: what waits for a person, P3, and what was fixed while nobody looked.

It is told when the business day begins, once over all processes; a morning that nobody of ours
lived through is told when somebody does.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from responder.domain.actor import Actor, ActorKind
from responder.domain.notification import Happening
from responder.pipeline.messages import write_message
from responder.pipeline.secrets import LIVE, LONGEST, REMINDERS
from responder.pipeline.services import Services, iso
from responder.pipeline.whom import listeners
from responder.store import Transaction

CLOCK = Actor(ActorKind.SYSTEM, "clock")
#: So many of each kind are told by name; the counts are true.
MOST = 10
#: What was taken so long ago may have been forgotten.
TAKEN = timedelta(days=1)


def tell_digest(services: Services) -> None:
    """Plan the next digest, and tell the one that is due; a morning without news is silent."""
    hours = services.settings.business_hours
    with services.store.transaction() as tx:
        tx.run("plan_digest", due_at=hours.next_opening(tx.now))
        due = tx.maybe("lock_due_digest")
        if due is None:
            return
        told = digest(services, tx, due["since"])
        receivers = _receivers(services) if told["digest"]["parts"] else []
        for receiver in receivers:
            digest_id = services.new_id()
            write_message(
                tx,
                digest_id,
                f"digest:{digest_id}",
                receiver,
                Happening.DIGEST,
                tx.now,
                document=told,
            )
        next_at = hours.next_opening(tx.now)
        tx.run("digested", due_at=next_at)
        counts = {part["name"]: part["count"] for part in told["digest"]["parts"]}
        tx.record(
            "digest",
            CLOCK,
            "digest",
            after="due" if receivers else "nothing",
            receivers=receivers,
            since=due["since"].isoformat(),
            next_at=iso(next_at),
            **counts,
        )


def next_digest(services: Services, tx: Transaction) -> dict[str, Any]:
    """What the next one would say, if it were told now, and when and to whom it is."""
    row = tx.one("digest_since")
    told = digest(services, tx, row["since"])
    return {**told["digest"], "next_at": iso(row["due_at"]), "receivers": _receivers(services)}


def digest(services: Services, tx: Transaction, since: datetime) -> dict[str, Any]:
    """The document: parts that have something in them, each with its true count."""
    parts = [
        {"name": name, "count": rows[0]["in_all"], "items": [_item(row) for row in rows]}
        for name, rows in _parts(tx, since)
        if rows
    ]
    counted = tx.one("digest_counts", since=since)
    parts += [
        {"name": name, "count": count, "items": []} for name, count in counted.items() if count
    ]
    return {
        "version": 1,
        "digest": {"since": iso(since), "until": iso(tx.now), "parts": parts},
        "links": {"self": f"{services.settings.public_url}/v1/incidents?status=open"},
    }


def _parts(tx: Transaction, since: datetime) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    rows = tx.all("digest_incidents", since=since, taken=TAKEN, most=MOST)
    for name in ("waiting", "p3", "taken"):
        yield name, [row for row in rows if row["part"] == name]
    yield "fixed", tx.all("digest_fixes", since=since, most=MOST)
    yield "reviews", tx.all("digest_reviews", most=MOST)
    yield (
        "secrets",
        tx.all(
            "digest_secrets", since=since, marks=REMINDERS, longest=LONGEST, live=LIVE, most=MOST
        ),
    )
    yield "maintenance", tx.all("digest_windows", most=MOST)


def _item(row: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in row.items() if name not in ("in_all", "part", "place")}
    return {
        name: iso(value) if isinstance(value, datetime) else value for name, value in told.items()
    }


def _receivers(services: Services) -> list[str]:
    chosen = services.settings.digest
    return listeners(services) if chosen is None else list(chosen)
