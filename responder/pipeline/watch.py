"""The last stage: the incident waits for its end."""

from datetime import timedelta

from responder.domain.incident import Incident, IncidentStatus, Stage
from responder.pipeline.services import Services, record
from responder.pipeline.walking import finish
from responder.store.incidents import lock_incident, step

#: How often an incident that nobody ends is looked at, where no quiet time is configured.
STILL_THERE = timedelta(hours=1)


def watch(incident: Incident, services: Services) -> Incident | None:
    """Stage: the walk ends here until the sender, a person or quiet ends the incident."""
    with services.store.transaction() as tx:
        incident = lock_incident(tx, incident.id)
        if incident.status == IncidentStatus.RESOLVED:
            finish(tx, step(tx, "rest", incident, next=Stage.WATCH))
            return None
        if incident.again:
            after = step(tx, "start_again", incident)
            record(tx, after, "stage", before=incident.stage, after=after.stage)
            return after
        quiet = services.settings.resolve_after_quiet or STILL_THERE
        tx.run("set_timer", id=incident.id, what="quiet", due_at=tx.now + quiet)
        step(tx, "rest", incident, next=Stage.WATCH)
    return None
