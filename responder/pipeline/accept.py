"""Commit, then acknowledge: one transaction makes a delivery ours, then the sender hears of it."""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from responder.domain.actor import Actor, ActorKind
from responder.domain.alert import Alert, AlertStatus, DeliveryOutcome, Echo, Malformed, Notice
from responder.domain.settings import Source
from responder.domain.severity import Severity
from responder.pipeline.bare import flush
from responder.pipeline.door import identifier, taken_in
from responder.pipeline.keep import Page
from responder.pipeline.raw import place_of
from responder.pipeline.refusals import record_refusal
from responder.pipeline.services import Services
from responder.sources import ADAPTERS, ENRICHERS, NotUnderstood, Request, decoded, read_json
from responder.store import Transaction
from responder.store.vault import Locked

#: How long a P0/P1 page waits for the diagnosis before it leaves with what is known.
PAGE_PATIENCE = timedelta(seconds=1)
#: The same, where the sender must first be asked for what its webhook leaves out.
ASKING_PATIENCE = timedelta(seconds=1.75)
#: More in one delivery is no batch of alerts, and would keep us busy for minutes.
MAX_ALERTS = 10_000
#: Headers that tell what was sent; none of them carries a credential.
KEPT_HEADERS = ("content-type", "user-agent", "x-webhook-id", "webhook-id")


class UnknownSource(Exception):
    """No source of this name is configured."""


class Overloaded(Exception):
    """More came than we take at a time; nothing was kept, `retry_after` seconds."""

    def __init__(self, retry_after: float, why: str) -> None:
        super().__init__(why)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Accepted:
    """What the sender is told; `delivery` is the first one's id when this one is a duplicate."""

    delivery: UUID
    outcome: DeliveryOutcome
    alerts: int
    quarantined: int


@dataclass(frozen=True)
class Read:
    """A request as we understood it: who sent it, the body, and what it tells."""

    source: Source
    request: Request
    body: bytes
    key: str | None
    notices: Sequence[Notice]


def accept(services: Services, source_name: str, request: Request) -> Accepted:
    """Authenticate, normalise and commit a webhook.

    UnknownSource; from the source Unauthenticated, Unreadable, TooLarge; StoreAway, Overloaded:
    nothing was kept. A P0 or P1 is held in memory meanwhile, so that its page leaves in any case.
    """
    source = source_of(services, source_name)
    adapter = ADAPTERS[source.type]
    adapter.authenticate(request, source)
    body = decoded(request, services.settings.max_body)
    try:
        payload = read_json(body)
        notices = adapter.parse(payload, source, request.at)
        if len(notices) > MAX_ALERTS:
            raise NotUnderstood(f"there are {len(notices)} alerts; at most {MAX_ALERTS} are taken")
    except NotUnderstood as error:
        why = services.settings.redact.text(str(error))
        return _quarantine(services, source, request, body, why)
    notices = taken_in(services, notices)
    key = adapter.delivery_key(request, payload, source)
    key = key and identifier(services.settings.redact, key)
    severity, pages = most_severe(services, notices, request.at)
    read = Read(source, request, body, key, notices)
    with services.keep.held(pages) as hold:
        if _stands_alone(services, read):
            accepted, row = _new(services, services.new_id(), read, severity, pages)
            services.store.at_once(row, weight=len(body))
        else:
            with services.store.transaction() as tx:
                flush(services, tx)
                if not pages:
                    _limit(tx, source)
                accepted = keep(services, tx, read, severity, pages)
        hold.delivery = accepted.delivery
    services.bell.ring(urgent=bool(pages))
    return accepted


def source_of(services: Services, name: str) -> Source:
    """The configured source of this name. UnknownSource."""
    source = services.settings.sources.get(name)
    if source is None:
        raise UnknownSource(name)
    return source


def parse_only(services: Services, source_name: str, body: bytes, at: datetime) -> list[Notice]:
    """What `accept` would read from a body, without signature and without keeping anything."""
    source = source_of(services, source_name)
    return ADAPTERS[source.type].parse(read_json(body), source, at)


def _limit(tx: Transaction, source: Source) -> None:
    """Fewer than the source's limit in the last minute, over all hosts; P0 and P1 always pass."""
    if source.per_minute is None:
        return
    row = tx.maybe("rate_exceeded", source=source.name, before=source.per_minute - 1)
    if row is not None:
        why = "the source has sent more than its per_minute; send it again"
        raise Overloaded(max(1.0, row["wait"]), why)


def _stands_alone(services: Services, read: Read) -> bool:
    """Nothing must be told to our database or asked of it before: the row is the transaction."""
    return (
        read.key is None
        and read.source.per_minute is None
        and not services.keep.sent
        and all(getattr(notice, "starts_at", True) for notice in read.notices)
    )


def keep(
    services: Services, tx: Transaction, read: Read, severity: Severity, pages: Sequence[Page]
) -> Accepted:
    """The delivery's row, which waits for triage, unless the sender has delivered it before."""
    delivery, source = services.new_id(), read.source.name
    if read.key is not None and not tx.maybe(
        "insert_delivery_key", source=source, key=read.key, delivery_id=delivery
    ):
        first = tx.one("known_delivery", source=source, key=read.key)["delivery_id"]
        duplicate = _row(services, delivery, read, DeliveryOutcome.DUPLICATE, triaged=True)
        tx.together("insert_deliveries", [duplicate])
        return Accepted(first, DeliveryOutcome.DUPLICATE, 0, 0)
    dated = replace(read, notices=[_dated(notice, tx.now) for notice in read.notices])
    accepted, row = _new(services, delivery, dated, severity, pages)
    tx.together("insert_deliveries", [row])
    return accepted


def _new(
    services: Services, delivery: UUID, read: Read, severity: Severity, pages: Sequence[Page]
) -> tuple[Accepted, dict[str, Any]]:
    """A delivery that was not here before, and its row."""
    notices = _gravest_first(read.notices, pages)
    alerts = [notice for notice in notices if not isinstance(notice, Echo)]
    malformed = sum(isinstance(notice, Malformed) for notice in alerts)
    row = _row(
        services,
        delivery,
        read,
        DeliveryOutcome.ACCEPTED,
        notices=[notice.to_json() for notice in notices],
        alert_count=len(alerts),
        page_within=_patience(read.source) if pages else None,
        triaged=not notices,
        priority=_priority(severity, pages),
    )
    accepted = Accepted(
        delivery, DeliveryOutcome.ACCEPTED, len(alerts) - malformed, quarantined=malformed
    )
    return accepted, row


def _priority(severity: Severity, pages: Sequence[Page]) -> int:
    """Whose turn comes first; a word that nobody can read may mean P0."""
    return (min(severity, Severity.P1) if pages else severity).rank


def _gravest_first(notices: Sequence[Notice], pages: Sequence[Page]) -> list[Notice]:
    """What wakes people stands at the front of a long delivery; else as they came."""
    if not pages:
        return list(notices)
    grave = {page.alert.fingerprint for page in pages}
    return sorted(notices, key=lambda notice: getattr(notice, "fingerprint", None) not in grave)


def _dated(notice: Notice, now: datetime) -> Notice:
    """Where the sender does not say when it began, it began when we received it."""
    if isinstance(notice, Alert) and notice.starts_at is None:
        return replace(notice, starts_at=now)
    return notice


def _patience(source: Source) -> timedelta:
    return ASKING_PATIENCE if source.type in ENRICHERS and source.token else PAGE_PATIENCE


def _quarantine(
    services: Services, source: Source, request: Request, body: bytes, why: str
) -> Accepted:
    """Authentic and not understood: kept as it came, for people to look at and to redrive."""
    delivery = services.new_id()
    read = Read(source, request, body, None, ())
    with services.store.transaction() as tx:
        _limit(tx, source)
        outcome = DeliveryOutcome.QUARANTINED
        row = _row(services, delivery, read, outcome, triaged=True, note=why)
        tx.together("insert_deliveries", [row])
        actor, subject = Actor(ActorKind.SENDER, source.name), f"delivery {delivery}"
        tx.record("delivery", actor, subject, after=DeliveryOutcome.QUARANTINED, why=why)
    return Accepted(delivery, DeliveryOutcome.QUARANTINED, 0, 1)


def _row(
    services: Services, delivery: UUID, read: Read, outcome: DeliveryOutcome, **more: Any
) -> dict[str, Any]:
    kept = {
        each: read.request.headers[each] for each in KEPT_HEADERS if each in read.request.headers
    }
    told = services.settings.redact.texts(list(kept.values()))
    return {
        "id": delivery,
        "source": read.source.name,
        "outcome": outcome,
        "encrypted": _encrypted(services, delivery, read.body, outcome),
        "body_sha256": hashlib.sha256(read.body).hexdigest(),
        "body_bytes": len(read.body),
        "headers": {name: text[:500] for name, text in zip(kept, told, strict=True)},
        "notices": [],
        "alert_count": 0,
        "page_within": None,
        "triaged": False,
        "note": "",
        "priority": Severity.P3.rank,
        **more,
    }


def _encrypted(
    services: Services, delivery: UUID, body: bytes, outcome: DeliveryOutcome
) -> str | None:
    """The raw body as it is kept; a page matters more, so without a key an alert goes on alone.

    In base64. Of what is not understood it is all that there is: Overloaded, so that the sender
    tries again.
    """
    try:
        return b64encode(services.vault.encrypt(body, place_of(delivery))).decode()
    except Locked as locked:
        why = "nothing can be encrypted, so a raw body is not kept"
        services.log.error(why, delivery=str(delivery), why=str(locked))
        if outcome == DeliveryOutcome.QUARANTINED:
            raise Overloaded(60.0, "it cannot be kept now; send it again") from None
        return None


def most_severe(
    services: Services, notices: Sequence[Notice], at: datetime
) -> tuple[Severity, list[Page]]:
    """Of what fires, with the pages that it needs: a word that nobody reads may mean P0."""
    severity, pages = Severity.P3, []
    for notice in notices:
        if isinstance(notice, Alert) and notice.status == AlertStatus.FIRING:
            found = services.catalogue.severity(notice)
            severity = min(severity, found)
            if found.pages or notice.severity_unreadable:
                pages.append(Page(notice, services.catalogue.identify(notice), at))
    return severity, pages


def refuse(services: Services, source: str, address: str, why: str) -> None:
    """Count a refused request: one audit event per source, address, reason and minute, no body.

    All names that are not configured count as one source, `unknown`: a stranger may invent many.
    """
    name = source if source in services.settings.sources else "unknown"
    sender = Actor(ActorKind.SENDER, name)
    asked_for = source if source == name else services.settings.redact.text(source)
    told = {"asked_for": ascii(asked_for[:100])}
    record_refusal(services, "refused", sender, f"source {name}", address, why, **told)
