"""What a fix row means that an earlier walk left behind: its process died between two steps."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from responder.domain.decision import Reason
from responder.domain.fix import FixStatus, Verification
from responder.domain.incident import Incident
from responder.pipeline.services import Services
from responder.pipeline.settle import committed, hand_over, later, once_more, settle
from responder.targets import writing

#: After this time no transaction of a fix is open on the target: its timeouts have ended it.
OVER = timedelta(seconds=20)


def recover(incident: Incident, services: Services, left: Mapping[str, Any]) -> Incident | None:
    """What a fix row means that an earlier walk left behind."""
    with services.store.transaction() as tx:
        now = tx.now
    if left["status"] == FixStatus.STARTED:
        if now < left["started_at"] + OVER:
            return later(incident, services, "a fix was interrupted; its transaction must end")
        return once_more(incident, services, left["id"], "interrupted before it was decided")
    target = services.settings.targets[left["target"]]
    made = writing.Made(left["xid"], left["system_identifier"], left["timeline"])
    try:
        fate = writing.fate(target, made)
    except writing.NotAsked as error:
        return later(incident, services, str(error))
    if fate == writing.Fate.IN_PROGRESS:
        return later(incident, services, "the fix's transaction is still open on the target")
    if fate == writing.Fate.COMMITTED:
        return committed(incident, services, left["id"])
    if fate == writing.Fate.ABORTED:
        return once_more(incident, services, left["id"], "interrupted before it was committed")
    detail = "the target cannot say what became of the fix"
    settle(incident, services, left["id"], FixStatus.UNKNOWN, detail)
    return hand_over(incident, services, Reason.UNKNOWN, detail)


def abandon(services: Services, incident: Incident) -> Reason | None:
    """Settle an open fix without asking anybody: undecided is rolled back, decided is unknown."""
    with services.store.transaction() as tx:
        left = tx.maybe("unsettled_fix", incident_id=incident.id)
        fix = tx.maybe("verifying_fix", incident_id=incident.id)
        if fix is not None:
            tx.run("verify_fix", id=fix["id"], verification=Verification.NOT_ASKED)
            return Reason.NOT_VERIFIED
    if left is None:
        return None
    decided = left["status"] == FixStatus.RECORDED
    status = FixStatus.UNKNOWN if decided else FixStatus.ROLLED_BACK
    settle(incident, services, left["id"], status, "interrupted: handling it failed three times")
    return Reason.UNKNOWN if decided else None
