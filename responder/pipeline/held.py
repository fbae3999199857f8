"""What fired while a window kept everything back is taken up at its end: each condition once.

As with timers it is leased first: when a process dies, or one condition's taking up fails, it comes
again, and holds up no other.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from responder.domain.actor import Actor, ActorKind
from responder.domain.alert import Alert, AlertOutcome, alert_from_json
from responder.domain.incident import Incident
from responder.log import about
from responder.pipeline.maintenance import silences, silencing
from responder.pipeline.placing import Firing, Placing
from responder.pipeline.services import Services
from responder.store import Transaction

LEASE = timedelta(seconds=15)


def take_up_held(services: Services) -> None:
    """Conditions whose window is over, and that still fire, become incidents or join theirs."""
    while (leased := _lease(services)) is not None:
        with services.store.transaction() as tx:
            _take_up(services, tx, leased)


def _lease(services: Services) -> Mapping[str, Any] | None:
    with services.store.transaction() as tx:
        return tx.maybe("lease_held", lease=LEASE)


def _take_up(services: Services, tx: Transaction, leased: Mapping[str, Any]) -> None:
    """Locks in the order of triage: target, condition, incident."""
    alert = alert_from_json(json.loads(leased["latest"]["notice"]))
    identity = services.catalogue.identify(alert)
    if identity.target and identity.severity.pages:
        tx.run("lock_target", target=identity.target)
    key = {name: leased[name] for name in ("source", "fingerprint", "held_until")}
    row = tx.maybe("lock_held", **key)
    if row is None:
        return  # a notice of it came in between, or another window was ended
    if not row["firing"]:  # a release that knows nothing of windows heard its end
        tx.run("held_no_more", **key, incident_id=row["incident_id"])
        return
    silence = silencing(silences(tx), alert.labels)
    if silence is not None:
        tx.run("hold_longer", **key, until=silence.ends_at, by=silence.id)
        return
    actor = Actor(ActorKind.SYSTEM, "maintenance")
    known = leased["source"], leased["fingerprint"]
    outcome, incident = _placed(services, tx, Firing(alert, identity, known, actor, tx.now), row)
    tx.run("held_no_more", **key, incident_id=incident.id)
    tx.together("insert_alerts", [_own_notice(services, tx, row, alert, outcome, incident.id)])
    tx.record(
        "held",
        actor,
        f"maintenance {row['held_by']}",
        incident_id=incident.id,
        after="taken_up",
        filed_at=incident.opened_at,
        source=leased["source"],
        fingerprint=leased["fingerprint"],
        outcome=outcome,
    )
    with about(incident=incident.id):
        services.log.info("taken up after maintenance", maintenance=str(row["held_by"]))


def _placed(
    services: Services, tx: Transaction, firing: Firing, row: Mapping[str, Any]
) -> tuple[AlertOutcome, Incident]:
    placing = Placing(services, tx)
    placing.lock([firing.identity.key], [row["incident_id"]])
    placing.open([firing], {firing.condition: row["incident_id"]})
    found = placing.place(firing, row["incident_id"])
    placing.finish()
    return found


def _own_notice(
    services: Services,
    tx: Transaction,
    row: Mapping[str, Any],
    alert: Alert,
    outcome: str,
    incident_id: object,
) -> dict[str, Any]:
    """A notice of our own, which the incident tells of; the sender's stays `suppressed`."""
    return {
        "id": services.new_id(),
        "received_at": tx.now,
        "delivery_id": row["held_by"],
        "source": alert.source,
        "outcome": outcome,
        "fingerprint": alert.fingerprint,
        "status": alert.status,
        "name": alert.name,
        "notice": alert.to_json(),
        "incident_id": incident_id,
        "note": "taken up at the end of a maintenance window",
    }
