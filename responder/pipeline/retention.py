"""What is older than the settings keep goes: incidents first, then the months without any.

Each step is a transaction that waits for nobody, and an audit event of its own. A month stays whole
while an incident of it is open or held, waits for a review, or an open breaker stands on it.
"""

from typing import Any

from responder.domain.actor import RESPONDER
from responder.domain.settings import Retention
from responder.pipeline.breaker import BREAKER_LIMIT
from responder.pipeline.services import Services, iso
from responder.store import Transaction

#: Steps of one pass, and incidents or messages of one step.
_STEPS = 20
_MOST = 500
#: Seconds that one step may take at most: counting what goes is the longest part of it.
_LONGEST = 70.0


def retain(services: Services) -> None:
    """One pass; what it does not reach, the next one does."""
    for _ in range(_STEPS):
        if not _step(services):
            return


def _step(services: Services) -> bool:
    """Whether something went. StoreAway also when somebody has a lock: then it goes later."""
    kept = services.settings.retention
    with services.store.transaction(_LONGEST) as tx:
        if not tx.one("try_retention")["got"]:
            return False
        tx.one("wait_for_nobody")
        return _drop_partition(tx, kept) or _drop_incidents(tx, kept) or _drop_messages(tx, kept)


def _drop_partition(tx: Transaction, kept: Retention) -> bool:
    found = tx.maybe("expired_partition", deliveries=kept.deliveries, audit=kept.audit)
    if found is None:
        return False
    # The drop comes last but for its event: from then on to the commit others wait for us.
    rows = tx.one("drop_partition", name=found["name"])["rows"]
    told: dict[str, Any] = {
        "events" if found["parent"] == "audit_event" else "rows": rows,
        "begins": iso(found["begins"]),
        "ends": iso(found["ends"]),
    }
    tx.record("retention", RESPONDER, found["name"], after="dropped", **told)
    return True


def _drop_incidents(tx: Transaction, kept: Retention) -> bool:
    if kept.audit is None:
        return False
    found = tx.all("expired_incidents", audit=kept.audit, breaker_limit=BREAKER_LIMIT, most=_MOST)
    if not found:
        return False
    ids = tuple(row["id"] for row in found)
    tx.one("drop_incidents", ids=ids)
    month = found[0]["month"]
    told: dict[str, Any] = {"incidents": len(ids), "month": month}
    tx.record("retention", RESPONDER, f"incidents of {month}", after="dropped", **told)
    return True


def _drop_messages(tx: Transaction, kept: Retention) -> bool:
    if kept.audit is None:
        return False
    return tx.run("expire_lone_notifications", audit=kept.audit, most=_MOST) > 0
