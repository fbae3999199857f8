"""Messages are rows with a due time, written in the transaction of what they tell."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from responder.domain.alert import Alert
from responder.domain.incident import Incident
from responder.domain.matcher import first_failed
from responder.domain.notification import Happening
from responder.domain.severity import Severity
from responder.pipeline.maintenance import paging_resumes
from responder.pipeline.services import Services, record
from responder.runbook.catalogue import Identity
from responder.store import Transaction


def tell(services: Services, tx: Transaction, incident: Incident, happening: Happening) -> None:
    """Tell all who follow the incident; who was woken for it hears who has it and its end."""
    if happening in (Happening.ACKNOWLEDGED, Happening.RESOLVED):
        _let_sleep(tx, incident)
        for row in tx.all("woken_receivers", incident_id=incident.id):
            _write(services, tx, incident, row["receiver"], happening, page=True, due_at=tx.now)
    for receiver, page in _routed(services, incident.labels, incident.severity):
        if not page:  # a second trigger would not replace the first one's details
            _write(services, tx, incident, receiver, happening, page=False, due_at=tx.now)


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

    others: only those who were not woken for this incident before. A maintenance window that
    keeps pages off holds it back until its end.
    """
    tx.run("lock_page", key=incident.key)
    last = tx.one("last_page", incident_id=incident.id)["at"]
    if last is not None and not risen:
        due_at = max(due_at, last + services.settings.flap_window)
    resumes = paging_resumes(tx, incident.labels)
    if resumes is not None:
        due_at = max(due_at, resumes)
    wanted = pagers(services, incident.source, incident.labels, incident.severity)
    adopted = tx.all("adopt_bare_pages", key=incident.key, incident_id=incident.id)
    known = {row["receiver"] for row in adopted}
    woken = {row["receiver"] for row in tx.all("woken_receivers", incident_id=incident.id)}
    for receiver in wanted:
        if receiver in known or (others and receiver in woken):
            continue
        _write(services, tx, incident, receiver, Happening.OPENED, page=True, due_at=due_at)
    tx.run("set_paged", id=incident.id)
    record(
        tx,
        incident,
        "page",
        after="due",
        why=why,
        receivers=wanted,
        adopted=sorted(known),
        window_until=resumes and resumes.isoformat(),
    )


def bare_page(
    services: Services,
    tx: Transaction,
    alert: Alert,
    identity: Identity,
    document: Mapping[str, Any],
) -> None:
    """Wake people for an alert whose incident could not be made; triage adopts the rows later."""
    tx.run("lock_page", key=identity.key)
    due_at = paging_resumes(tx, alert.labels) or tx.now
    for receiver in pagers(services, alert.source, alert.labels, identity.severity):
        woken = tx.one("is_woken", key=identity.key, receiver=receiver, severity=identity.severity)
        if not woken["there"]:
            _insert(
                services,
                tx,
                identity.key,
                receiver,
                Happening.OPENED,
                True,
                due_at,
                document=document,
            )


def bare_resolve(services: Services, tx: Transaction, key: str) -> None:
    """It is over before our database ever knew of it: who was woken barely hears the end."""
    for row in tx.all("open_bare_pages", key=key):
        _insert(
            services,
            tx,
            key,
            row["receiver"],
            Happening.RESOLVED,
            True,
            tx.now,
            document=row["document"],
        )


def pagers(
    services: Services, source: str, labels: Mapping[str, str], severity: Severity
) -> list[str]:
    """Who is woken for it; what came from PagerDuty has woken people there already."""
    from_pagerduty = is_from_pagerduty(services, source)
    return [
        receiver
        for receiver, wakes in _routed(services, labels, severity)
        if wakes
        and not (from_pagerduty and services.settings.receivers[receiver].type == "pagerduty")
    ]


def is_from_pagerduty(services: Services, source: str) -> bool:
    configured = services.settings.sources.get(source)
    return configured is not None and configured.type == "pagerduty"


def _let_sleep(tx: Transaction, incident: Incident) -> None:
    """A page that waits for the end of its flap window is not needed any more."""
    for row in tx.all("supersede_pages", incident_id=incident.id):
        record(tx, incident, "notification", before="due", after="superseded", **row)


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
        _insert(
            services, tx, incident.key, receiver, happening, page, due_at, incident_id=incident.id
        )


def _insert(
    services: Services,
    tx: Transaction,
    key: str,
    receiver: str,
    happening: Happening,
    page: bool,
    due_at: datetime,
    **columns: Any,
) -> None:
    defaults: Mapping[str, Any] = {"incident_id": None, "document": {}}
    tx.run(
        "insert_notification",
        id=services.new_id(),
        key=key,
        receiver=receiver,
        happening=happening,
        page=page,
        due_at=due_at,
        **{**defaults, **columns},
    )
