"""The switch of automatic fixes: anybody on call may stop them, few may start them.

It needs our database and nothing else, so that a broken runbook does not keep it from being turned.
"""

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from responder.domain.actor import Actor, ActorKind
from responder.domain.decision import Reason
from responder.store import Store, Transaction

#: So long it is waited for fixes that were decided before the switch was turned.
PATIENCE = 30.0
_POLL = 0.25
#: What a failover of our own database is recorded as; nobody else may give it as their reason.
RESERVED = Reason.OUR_FAILOVER


def stop(store: Store, actor: Actor, reason: str, patience: float = PATIENCE) -> list[UUID]:
    """No fix is decided any more; returns those decided before whose commit is still not known.

    No connection is held while it waits for them.
    """
    with store.transaction() as tx:
        _turn(tx, "switch_off", actor, reason, "off")
    until = time.monotonic() + patience
    while left := recorded(store):
        if time.monotonic() >= until:
            break
        time.sleep(_POLL)
    return left


def start(store: Store, actor: Actor, reason: str) -> None:
    """Fixes are made again, by the server that our database is on now."""
    with store.transaction() as tx:
        notice_failover(tx)
        _turn(tx, "switch_on", actor, reason, "on")


def standing(store: Store) -> Mapping[str, Any]:
    """Whether fixes are made, who said so, when and why."""
    with store.transaction() as tx:
        return tx.one("autofix")


def recorded(store: Store) -> list[UUID]:
    """Fixes that are decided and whose commit nobody has confirmed yet."""
    with store.transaction() as tx:
        return [row["id"] for row in tx.all("recorded_fixes")]


def notice_failover(tx: Transaction) -> bool:
    """Whether our database is another server than it was: then no fix is made automatically."""
    row = tx.maybe("switch_off_after_failover")
    if row is not None:
        before = "on" if row["enabled"] else "off"
        system = Actor(ActorKind.SYSTEM, "responder")
        tx.record("autofix", system, "autofix", before=before, after="off", why=RESERVED)
    return row is not None


def _turn(tx: Transaction, query: str, actor: Actor, reason: str, after: str) -> None:
    if reason == RESERVED:
        raise ValueError(f"{RESERVED} is what a failover is recorded as; say why in other words")
    before = "on" if tx.one("lock_autofix")["enabled"] else "off"
    tx.run(query, actor=actor.name, reason=reason)
    tx.record("autofix", actor, "autofix", before=before, after=after, why=reason)
