"""What is refused is told once a minute: whoever knocks a thousand times makes one event of it."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any
from uuid import UUID

from responder.domain.actor import Actor
from responder.domain.ids import uuid7
from responder.pipeline.services import Services
from responder.store import StoreAway

#: So many events a minute tell their address, on all hosts; what is kept for years is not a
#: stranger's to fill, who may have a network of addresses, or a botnet.
MOST = 200
OTHERS = "others"


def record_refusal(
    services: Services,
    what: str,
    actor: Actor,
    subject: str,
    address: str,
    why: str,
    **details: Any,
) -> None:
    """One audit event per actor, subject, address, reason and minute; after MOST all further
    addresses of a minute are one.

    What cannot be recorded because our database is away is lost; it is refused anyway.
    """
    if _known(services, (what, actor.name, subject, _place(address), why)):
        return
    try:
        with services.store.transaction() as tx:
            minute = tx.now.replace(second=0, microsecond=0)
            many = tx.one("count_refusals", minute=minute, most=MOST)["refusals"] >= MOST
            place = OTHERS if many else _place(address)
            same = _id(minute, [what, actor.name, subject, place, why])
            told = {"address": place, "why": why, **details}
            tx.record(what, actor, subject, filed_at=minute, event_id=same, **told)
    except StoreAway:
        services.log.warning(f"{what}, not recorded", subject=subject, why=why)


def _known(services: Services, told: tuple[str, ...]) -> bool:
    """Whether this process has told of it in this minute: a refusal costs no transaction."""
    now = datetime.now(UTC) + services.store.offset
    minute = now.replace(second=0, microsecond=0)
    if services.refused.get(told) == minute:
        return True
    if len(services.refused) >= MOST:
        services.refused.clear()
    services.refused[told] = minute
    return False


def _id(minute: datetime, told: Sequence[str]) -> UUID:
    """The same for the same in a minute; like all ids, it lies where its time does."""
    digest = hashlib.sha256(json.dumps(told).encode()).digest()
    return uuid7(round(minute.timestamp()) * 1_000_000_000, int.from_bytes(digest[:8]))


def _place(address: str) -> str:
    """Who has one address of IPv6 has all of its /64, and may use another one each time."""
    try:
        known = ip_address(address)
    except ValueError:
        return address[:50]
    if isinstance(known, IPv6Address):
        return str(ip_network(f"{known}/64", strict=False))
    return str(known)
