"""Messages are rows with a due time, written in the transaction of what they tell."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from responder.domain.actor import RESPONDER
from responder.domain.alert import Alert
from responder.domain.incident import Incident
from responder.domain.notification import Happening
from responder.pipeline import climbing
from responder.pipeline.maintenance import paging_resumes
from responder.pipeline.messages import message, write_message
from responder.pipeline.services import Services, iso, record
from responder.pipeline.whom import (
    About,
    about_incident,
    is_pagerduty,
    on_call,
    receivers_of,
    routed,
)
from responder.runbook.catalogue import Identity
from responder.store import Transaction


def tell(services: Services, tx: Transaction, incident: Incident, happening: Happening) -> None:
    """Tell all who follow the incident; who was woken for it hears who has it and its end."""
    if happening in (Happening.ACKNOWLEDGED, Happening.RESOLVED):
        _let_sleep(tx, incident)
        for row in tx.all("woken_receivers", incident_id=incident.id):
            _write(
                services,
                tx,
                incident,
                row["receiver"],
                happening,
                page=True,
                due_at=tx.now,
                round=row["round"],
            )
    for receiver, page in routed(services, incident.labels, incident.severity):
        if not page:  # a second trigger would not replace the first one's details
            _write(services, tx, incident, receiver, happening, page=False, due_at=tx.now)


def tell_opened(services: Services, tx: Transaction, incidents: Sequence[Incident]) -> None:
    """Tell all who follow these new incidents, of which nobody was told anything yet."""
    messages = [
        message(
            services.new_id(),
            incident.key,
            receiver,
            _first(services, incident, receiver),
            tx.now,
            incident_id=incident.id,
        )
        for incident in incidents
        for receiver, wakes in routed(services, incident.labels, incident.severity)
        if not wakes
    ]
    tx.together("insert_notifications", messages)


def _first(services: Services, incident: Incident, receiver: str) -> Happening:
    """Notes tell nothing before there is a decision; what begins with one is news for them."""
    configured = services.settings.receivers.get(receiver)
    notes = configured is not None and configured.type == "pagerduty_notes"
    return Happening.UPDATED if notes and incident.decision_id else Happening.OPENED


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
    people = on_call(services, about_incident(incident), tx.now)
    wanted = receivers_of(people)
    adopted = tx.all("adopt_bare_pages", key=incident.key, incident_id=incident.id)
    known = {row["receiver"] for row in adopted}
    woken = {row["receiver"] for row in tx.all("woken_receivers", incident_id=incident.id)}
    for receiver in wanted:
        if receiver in known or (others and receiver in woken):
            continue
        _write(services, tx, incident, receiver, Happening.OPENED, page=True, due_at=due_at)
    tx.run("set_paged", id=incident.id)
    next_at = climbing.begin(services, tx, incident, people, due_at)
    record(
        tx,
        incident,
        "page",
        after="due",
        why=why,
        receivers=wanted,
        adopted=sorted(known),
        window_until=iso(resumes),
        next_at=iso(next_at),
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
    about = About(alert.source, alert.labels, identity.severity, identity.rule)
    for receiver in receivers_of(on_call(services, about, tx.now)):
        woken = tx.one("is_woken", key=identity.key, receiver=receiver, severity=identity.severity)
        if not woken["there"]:
            write_message(
                tx,
                services.new_id(),
                identity.key,
                receiver,
                Happening.OPENED,
                due_at,
                page=True,
                document=document,
            )


def bare_resolve(services: Services, tx: Transaction, key: str) -> None:
    """It is over before our database ever knew of it: who was woken barely hears the end.

    Whoever is second, this or the news that somebody was woken, sees what the first one wrote.
    """
    tx.run("lock_page", key=key)
    for row in tx.all("open_bare_pages", key=key):
        write_message(
            tx,
            services.new_id(),
            key,
            row["receiver"],
            Happening.RESOLVED,
            tx.now,
            page=True,
            document=row["document"],
        )


def wake(services: Services, tx: Transaction, incident: Incident, receivers: list[str]) -> None:
    """Wake people beyond the first page, at once; whom a key has woken before gets another one."""
    tx.run("lock_page", key=incident.key)
    woken = {row["receiver"]: row["round"] for row in tx.all("last_rounds", id=incident.id)}
    for receiver in receivers:
        again = is_pagerduty(services, receiver) and receiver in woken
        _write(
            services,
            tx,
            incident,
            receiver,
            Happening.OPENED,
            page=True,
            due_at=tx.now,
            round=woken[receiver] + 1 if again else 0,
            beyond=True,
        )
    tx.run("set_paged", id=incident.id)


def drop_bare_pages(tx: Transaction, key: str) -> None:
    """A bare page that has not left, of what a window keeps back: nobody is woken for it."""
    for row in tx.all("drop_bare_pages", key=key):
        subject = f"notification {row['id']}"
        told = {"receiver": row["receiver"], "why": "maintenance"}
        tx.record("notification", RESPONDER, subject, before="due", after="superseded", **told)


def tell_quietly(
    services: Services, tx: Transaction, incident: Incident, receivers: list[str]
) -> None:
    """Tell people of it without waking them."""
    for receiver in receivers:
        _write(services, tx, incident, receiver, Happening.UPDATED, page=False, due_at=tx.now)


def drop_untrue(tx: Transaction, incident: Incident) -> None:
    """It is open again: who has not heard yet that it was taken or over need not hear it now.

    Else that would be the last word of it to receivers that were away meanwhile.
    """
    for row in tx.all("drop_untrue", incident_id=incident.id):
        record(tx, incident, "notification", before="due", after="superseded", **row)


def _let_sleep(tx: Transaction, incident: Incident) -> None:
    """A page that waits for the end of its flap window is not needed any more."""
    for row in tx.all("supersede_pages", incident_id=incident.id):
        record(tx, incident, "notification", before="due", after="superseded", **row)


def _write(
    services: Services,
    tx: Transaction,
    incident: Incident,
    receiver: str,
    happening: Happening,
    page: bool,
    due_at: datetime,
    round: int = 0,
    beyond: bool = False,
) -> None:
    """round: of the pager's key; beyond: a page after the first, for nobody once it is taken."""
    waiting = tx.maybe(
        "waiting_update",
        incident_id=incident.id,
        receiver=receiver,
        happening=happening,
        page=page,
        due_at=due_at,
        round=round,
    )
    if waiting is None:
        write_message(
            tx,
            services.new_id(),
            incident.key,
            receiver,
            happening,
            due_at,
            page,
            incident.id,
            round=round,
            beyond=beyond,
        )
