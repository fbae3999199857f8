"""The way of an alert, in this order: accept, triage, then the walk of its incident.

`walk` takes an incident through all its stages in one go; each stage's commit is a place to
restart from.
"""

from collections.abc import Callable, Mapping
from uuid import UUID

from responder.domain.incident import Incident, Stage
from responder.log import about
from responder.pipeline.decide import decide
from responder.pipeline.diagnose import diagnose
from responder.pipeline.fix import fix
from responder.pipeline.pages import deliver_pages
from responder.pipeline.recover import give_up
from responder.pipeline.services import Services
from responder.pipeline.verify import verify
from responder.pipeline.watch import watch
from responder.store import Fenced
from responder.store.incidents import incident_from_row

#: A walk that failed so often hands its incident over.
TRIES = 3

#: A stage returns the incident as it is afterwards; when that is no longer walking, it rests.
STAGES: Mapping[Stage, Callable[[Incident, Services], Incident]] = {
    Stage.DIAGNOSE: diagnose,
    Stage.PLAN: decide,
    Stage.FIX: fix,
    Stage.VERIFY: verify,
    Stage.WATCH: watch,
}


def walk(services: Services, incident_id: UUID, tries: int) -> None:
    """Take an incident as far as it goes now; `tries` counts the walks of this job that failed."""
    with about(incident=incident_id):
        with services.store.transaction() as tx:
            row = tx.maybe("take_walk", id=incident_id)
        if row is not None:
            _walk(services, incident_from_row(row), tries)


def _walk(services: Services, incident: Incident, tries: int) -> None:
    try:
        if tries >= TRIES and incident.stage != Stage.WATCH:
            incident = give_up(incident, services)
        while incident.walking:
            stage, pages = incident.stage, incident.severity.pages
            incident = STAGES[stage](incident, services)
            services.log.info("walked", done=stage, next=incident.stage)
            if stage == Stage.PLAN and pages:
                deliver_pages(services)  # its page waited for the diagnosis
            if stage != Stage.DIAGNOSE:  # the plan completes what that has to tell
                services.mail.written()
    except Fenced:
        services.log.info("walk taken over by another worker")
