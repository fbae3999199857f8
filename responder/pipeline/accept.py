"""Commit, then acknowledge: one transaction makes a delivery ours, then the sender hears of it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from responder.domain.actor import Actor, ActorKind
from responder.domain.alert import Alert, AlertStatus, DeliveryOutcome, Malformed
from responder.domain.settings import Source
from responder.domain.severity import Severity
from responder.pipeline.services import Services
from responder.sources import ADAPTERS, Adapter, NotUnderstood, Request, read_json
from responder.store import StoreAway, Transaction
from responder.store.jobs import TRIAGE, enqueue

#: How long a P0/P1 page waits for the diagnosis before it leaves with what is known.
PAGE_PATIENCE = timedelta(seconds=1)
#: Headers that tell what was sent; none of them carries a credential.
KEPT_HEADERS = ("content-type", "user-agent", "x-webhook-id", "webhook-id")


class UnknownSource(Exception):
    """No source of this name is configured."""


@dataclass(frozen=True)
class Accepted:
    """What the sender is told; `delivery` is the first one's id when this one is a duplicate."""

    delivery: UUID
    outcome: DeliveryOutcome
    alerts: int
    quarantined: int


def accept(services: Services, source_name: str, request: Request) -> Accepted:
    """Authenticate, normalise and commit a webhook.

    UnknownSource, and from the source Unauthenticated or Unreadable; StoreAway: nothing was kept.
    """
    source = services.settings.sources.get(source_name)
    if source is None:
        raise UnknownSource(source_name)
    adapter = ADAPTERS[source.type]
    adapter.authenticate(request, source)
    payload = read_json(request.body)
    with services.store.transaction() as tx:
        try:
            notices = adapter.parse(payload, source, tx.now)
        except NotUnderstood as error:
            return _quarantine(services, tx, source, request, str(error))
        return _keep(services, tx, source, request, adapter.delivery_key(request, payload), notices)


def parse_only(services: Services, source_name: str, body: bytes) -> list[Alert | Malformed]:
    """What `accept` would read from a body, without signature and without keeping anything."""
    source = services.settings.sources.get(source_name)
    if source is None:
        raise UnknownSource(source_name)
    with services.store.transaction() as tx:
        now = tx.now
    adapter: Adapter = ADAPTERS[source.type]
    return list(adapter.parse(read_json(body), source, now))


def _keep(
    services: Services,
    tx: Transaction,
    source: Source,
    request: Request,
    key: str | None,
    notices: Sequence[Alert | Malformed],
) -> Accepted:
    delivery = services.new_id()
    if key is not None and not tx.maybe(
        "insert_delivery_key", source=source.name, key=key, delivery_id=delivery
    ):
        first = tx.one("known_delivery", source=source.name, key=key)["delivery_id"]
        _insert(tx, delivery, source, request, DeliveryOutcome.DUPLICATE, triaged_at=tx.now)
        return Accepted(first, DeliveryOutcome.DUPLICATE, 0, 0)
    severity, wakes = _most_severe(services, notices)
    _insert(
        tx,
        delivery,
        source,
        request,
        DeliveryOutcome.ACCEPTED,
        notices=[notice.to_json() for notice in notices],
        alert_count=len(notices),
        page_due_at=tx.now + PAGE_PATIENCE if wakes else None,
        triaged_at=None if notices else tx.now,
    )
    if notices:
        enqueue(tx, TRIAGE, severity, delivery=str(delivery))
    malformed = sum(isinstance(notice, Malformed) for notice in notices)
    return Accepted(delivery, DeliveryOutcome.ACCEPTED, len(notices) - malformed, malformed)


def _quarantine(
    services: Services, tx: Transaction, source: Source, request: Request, why: str
) -> Accepted:
    delivery = services.new_id()
    _insert(tx, delivery, source, request, DeliveryOutcome.QUARANTINED, triaged_at=tx.now, note=why)
    return Accepted(delivery, DeliveryOutcome.QUARANTINED, 0, 1)


def _insert(
    tx: Transaction,
    delivery: UUID,
    source: Source,
    request: Request,
    outcome: DeliveryOutcome,
    **columns: Any,
) -> None:
    defaults: Mapping[str, Any] = {
        "notices": [],
        "alert_count": 0,
        "page_due_at": None,
        "triaged_at": None,
        "note": "",
    }
    values = {**defaults, **columns}
    tx.run(
        "insert_delivery",
        id=delivery,
        source=source.name,
        outcome=outcome,
        body=request.body,
        headers={name: request.headers[name] for name in KEPT_HEADERS if name in request.headers},
        **values,
    )


def _most_severe(services: Services, notices: Sequence[Alert | Malformed]) -> tuple[Severity, bool]:
    """Of what fires; and whether somebody must be woken: a word that nobody reads may mean P0."""
    firing = [
        notice
        for notice in notices
        if isinstance(notice, Alert) and notice.status == AlertStatus.FIRING
    ]
    severities = [services.catalogue.identify(alert).severity for alert in firing]
    severity = min(severities, default=Severity.P3)
    return severity, severity.pages or any(alert.severity_unreadable for alert in firing)


def refuse(services: Services, source: str, address: str, why: str) -> None:
    """Count a refused request: one audit event per source, address, reason and minute, no body.

    All names that are not configured count as one source, `unknown`: a stranger may invent many.
    What cannot be recorded because our database is away is lost; the request is refused anyway.
    """
    name = source if source in services.settings.sources else "unknown"
    try:
        with services.store.transaction() as tx:
            minute = tx.now.replace(second=0, microsecond=0)
            told = [name, address, why, minute.isoformat()]
            digest = hashlib.sha256(json.dumps(told).encode()).digest()
            tx.record(
                "refused",
                Actor(ActorKind.SENDER, name),
                subject=f"source {name}",
                filed_at=minute,
                event_id=UUID(bytes=digest[:16]),
                address=address,
                why=why,
                asked_for=ascii(source[:100]),
            )
    except StoreAway:
        services.log.warning("refused, not recorded", source=name, why=why)
