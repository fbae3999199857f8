"""The last stage: the incident waits for its end."""

from datetime import datetime, timedelta

from responder.domain.alert import OWN_SOURCE
from responder.domain.incident import Incident, IncidentStatus, Stage
from responder.pipeline.services import Services, move
from responder.pipeline.walking import PASSING, finish
from responder.store import Transaction
from responder.store.incidents import lock_incident

#: How often an incident that nobody ends is looked at, where no quiet time is configured.
STILL_THERE = timedelta(hours=1)


def quiet_limit(services: Services, incident: Incident) -> timedelta | None:
    """After how long without a notice it is over; what we raise ourselves, our next check ends."""
    if incident.source == OWN_SOURCE:
        return None
    return services.settings.resolve_after_quiet


def quiet_due(services: Services, tx: Transaction, incident: Incident) -> datetime:
    """When an incident that waits for its end is looked at."""
    return tx.now + (quiet_limit(services, incident) or STILL_THERE)


def watch(incident: Incident, services: Services) -> Incident:
    """Stage: the walk ends here until the sender, a person or quiet ends the incident."""
    with services.store.transaction() as tx:
        incident = lock_incident(tx, incident.id)
        if incident.status == IncidentStatus.RESOLVED:
            return finish(services, tx, move(tx, incident, "rest", next=Stage.WATCH))
        if incident.again:
            tx.run("drop_timer", id=incident.id, whats=PASSING)
            return move(tx, incident, "start_again")
        tx.run("set_timer", id=incident.id, what="quiet", due_at=quiet_due(services, tx, incident))
        return move(tx, incident, "rest", next=Stage.WATCH)
