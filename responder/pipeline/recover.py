"""What a fix row means that an earlier walk left behind: its process died between two steps."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from responder.domain.decision import Reason
from responder.domain.fix import FixStatus, Verification
from responder.domain.incident import Incident
from responder.pipeline.services import Services, record
from responder.pipeline.settle import committed, hand_over, later, nobody_knows, once_more, settle
from responder.targets import writing

#: After this time no transaction of a fix is open on the target: its session has been cut.
OVER = timedelta(seconds=writing.SESSION_SECONDS + 5)


def recover(incident: Incident, services: Services, left: Mapping[str, Any]) -> Incident:
    """Settle what was left behind: ask the target where that is needed, and wait where it must."""
    with services.store.transaction() as tx:
        waited = tx.now - left["started_at"]
    if left["status"] == FixStatus.STARTED:
        if waited < OVER:
            why = "a fix was interrupted; its transaction must end"
            return later(incident, services, why, waited)
        return once_more(incident, services, left["id"], "interrupted before it was decided")
    target = services.settings.targets[left["target"]]
    made = writing.Made(left["xid"], left["system_identifier"], left["timeline"])
    try:
        fate = writing.fate(target, made)
    except writing.NotAsked as error:
        return later(incident, services, str(error), waited)
    if fate == writing.Fate.IN_PROGRESS:
        why = "the fix's transaction is still open on the target"
        return later(incident, services, why, waited)
    if fate == writing.Fate.COMMITTED:
        return committed(incident, services, left["id"])
    if fate == writing.Fate.ABORTED:
        return once_more(incident, services, left["id"], "interrupted before it was committed")
    detail = "the target cannot say what became of the fix"
    return nobody_knows(incident, services, left["id"], detail)


def give_up(incident: Incident, services: Services) -> Incident:
    """Handling it failed three times: an open fix is settled without asking, a person goes on.

    Undecided is rolled back (its gate is closed now), decided is unknown.
    """
    detail = f"It failed at the stage {incident.stage}."
    reason = Reason.GAVE_UP
    with services.store.transaction() as tx:
        left = tx.maybe("unsettled_fix", incident_id=incident.id)
        waiting = tx.maybe("verifying_fix", incident_id=incident.id)
        if left is not None:
            decided = left["status"] == FixStatus.RECORDED
            status = FixStatus.UNKNOWN if decided else FixStatus.ROLLED_BACK
            reason = Reason.UNKNOWN if decided else reason
            settle(tx, incident, left["id"], status, f"interrupted: {detail}")
        if waiting is not None:
            reason = Reason.NOT_VERIFIED
            tx.run("verify_fix", id=waiting["id"], verification=Verification.NOT_ASKED)
            record(
                tx,
                incident,
                "verification",
                before=Verification.WAITING,
                after=Verification.NOT_ASKED,
                fix=str(waiting["id"]),
            )
        return hand_over(services, tx, incident, reason, detail)
