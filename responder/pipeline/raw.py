"""The body of a delivery as it came: encrypted, for `raw_days`; whoever reads it is named."""

from datetime import timedelta
from uuid import UUID

from responder.domain.actor import Actor
from responder.pipeline.services import Services
from responder.store import Transaction
from responder.store.vault import Locked

#: What commits later than this after it began has failed.
_LATE = timedelta(minutes=1)


def place_of(delivery: UUID) -> str:
    """Where a body stands; it opens nowhere else."""
    return f"raw_body {delivery}"


def body_of(services: Services, tx: Transaction, delivery: UUID) -> bytes | None:
    """What came; None when there is no such delivery, or its body is deleted. Locked."""
    kept_for = services.settings.vault.raw_for
    row = tx.maybe("delivery_body", id=delivery, kept_for=kept_for)
    if row is None:
        return None
    if row["encrypted"] is not None:
        return services.vault.decrypt(bytes(row["encrypted"]), place_of(delivery))
    return bytes(row["body"]) if row["body"] is not None else None


def read_body(services: Services, delivery: UUID, actor: Actor) -> bytes | None:
    """The same for somebody who looks at it, which is an audit event. Locked."""
    with services.store.transaction() as tx:
        body = body_of(services, tx, delivery)
        if body is not None:
            tx.record("delivery", actor, f"delivery {delivery}", after="read", bytes=len(body))
    return body


def encrypt_bodies(services: Services) -> None:
    """Some of what an earlier release kept in the open, the oldest first: one small step."""
    kept_for = services.settings.vault.raw_for
    with services.store.transaction() as tx:
        searched = tx.maybe("lock_open_bodies")
        if searched is None:
            return
        rows = tx.all("open_bodies", **searched)
        try:
            for row in rows:
                encrypted = services.vault.encrypt(bytes(row["body"]), place_of(row["id"]))
                told = {name: row[name] for name in ("id", "received_at")}
                tx.run("keep_encrypted", **told, encrypted=encrypted, kept_for=kept_for)
        except Locked as locked:
            services.log.error("bodies stay in the open", why=str(locked))
            return
        to = rows[-1]["received_at"] if rows else tx.now - _LATE
        tx.run("searched_bodies", encrypted_to=to)
