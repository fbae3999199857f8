"""Messages are rows with a due time, written in the transaction of what they tell."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from responder.domain.incident import Incident
from responder.domain.matcher import first_failed
from responder.domain.notification import Happening
from responder.domain.severity import Severity
from responder.pipeline.services import Services, record
from responder.store import Transaction


def tell(services: Services, tx: Transaction, incident: Incident, happening: Happening) -> None:
    """Tell all who follow the incident; a pager hears the end only of what it was woken for."""
    if happening in (Happening.ACKNOWLEDGED, Happening.RESOLVED):
        _let_sleep(tx, incident)
    for receiver, page in _receivers(services, incident):
        if page and happening in (Happening.OPENED, Happening.UPDATED):
            continue  # `page` wakes; a second trigger would not replace the first one's details
        if page and not _told(tx, incident, receiver):
            continue
        _write(services, tx, incident, receiver, happening, page=page, due_at=tx.now)


def page(
    services: Services,
    tx: Transaction,
    incident: Incident,
    due_at: datetime,
    why: str,
    risen: bool = False,
    others: bool = False,
) -> None:
    """Wake people: at most once in a flap window, then at its end; `risen`: in any case.

    others: only those who were not woken for this incident before.
    """
    last = tx.one("last_page", incident_id=incident.id)["at"]
    if last is not None and not risen:
        due_at = max(due_at, last + services.settings.flap_window)
    pagers = [receiver for receiver, wakes in _receivers(services, incident) if wakes]
    adopted = tx.all("adopt_bare_pages", key=incident.key, incident_id=incident.id)
    known = {row["receiver"] for row in adopted}
    for receiver in pagers:
        if receiver in known or (others and _told(tx, incident, receiver)):
            continue
        _write(services, tx, incident, receiver, Happening.OPENED, page=True, due_at=due_at)
    tx.run("set_paged", id=incident.id)
    record(tx, incident, "page", after="due", why=why, receivers=pagers, adopted=sorted(known))


def bare_page(
    services: Services,
    tx: Transaction,
    key: str,
    document: Mapping[str, Any],
    labels: Mapping[str, str],
    severity: Severity,
) -> None:
    """Wake people for an alert whose incident could not be made; triage adopts the rows later."""
    for receiver, wakes in _routed(services, labels, severity):
        if wakes and not tx.one("bare_page_exists", key=key, receiver=receiver)["there"]:
            tx.run(
                "insert_notification",
                id=services.new_id(),
                incident_id=None,
                key=key,
                receiver=receiver,
                happening=Happening.OPENED,
                page=True,
                document=document,
                due_at=tx.now,
            )


def _told(tx: Transaction, incident: Incident, receiver: str) -> bool:
    return bool(tx.one("told", incident_id=incident.id, receiver=receiver)["told"])


def _let_sleep(tx: Transaction, incident: Incident) -> None:
    """A page that waits for the end of its flap window is not needed any more."""
    for row in tx.all("supersede_pages", incident_id=incident.id):
        record(tx, incident, "notification", before="due", after="superseded", **row)


def _receivers(services: Services, incident: Incident) -> Iterator[tuple[str, bool]]:
    return _routed(services, incident.labels, incident.severity)


def _routed(
    services: Services, labels: Mapping[str, str], severity: Severity
) -> Iterator[tuple[str, bool]]:
    """Each receiver once, with whether it wakes people."""
    seen: set[str] = set()
    for route in services.settings.routes:
        if severity in route.severities and first_failed(route.matches, labels) is None:
            for receiver in route.receivers:
                if receiver not in seen:
                    seen.add(receiver)
                    yield receiver, route.page


def _write(
    services: Services,
    tx: Transaction,
    incident: Incident,
    receiver: str,
    happening: Happening,
    page: bool,
    due_at: datetime,
) -> None:
    waiting = tx.maybe(
        "waiting_update",
        incident_id=incident.id,
        receiver=receiver,
        happening=happening,
        page=page,
        due_at=due_at,
    )
    if waiting is None:
        tx.run(
            "insert_notification",
            id=services.new_id(),
            incident_id=incident.id,
            key=incident.key,
            receiver=receiver,
            happening=happening,
            page=page,
            document={},
            due_at=due_at,
        )
