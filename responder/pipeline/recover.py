"""What a fix row means that an earlier walk left behind: its process died between two steps."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from responder.domain.actor import RESPONDER
from responder.domain.decision import Reason
from responder.domain.fix import FixStatus
from responder.domain.incident import Incident
from responder.pipeline.decide import notice_failover
from responder.pipeline.direct import conclude, is_direct
from responder.pipeline.services import Services
from responder.pipeline.settle import (
    committed,
    hand_over,
    later,
    nobody_knows,
    note_commit,
    once_more,
    settle,
)
from responder.pipeline.undoing import end_verification
from responder.targets import writing

#: After this time no transaction of a fix is open on the target: its session has been cut.
OVER = timedelta(seconds=writing.SESSION_SECONDS + 5)
#: What a target's answer means.
_MEANS = {
    writing.Fate.COMMITTED: FixStatus.COMMITTED,
    writing.Fate.ABORTED: FixStatus.ROLLED_BACK,
    writing.Fate.UNKNOWN: FixStatus.UNKNOWN,
}


def recover(incident: Incident, services: Services, left: Mapping[str, Any]) -> Incident:
    """Settle what was left behind: ask the target where that is needed, and wait where it must."""
    with services.store.transaction() as tx:
        waited = tx.now - left["started_at"]
    undecided = left["status"] == FixStatus.STARTED and not left["failed_over"]
    if undecided and waited < OVER:
        why = "a fix was interrupted; its transaction must end"
        return later(incident, services, why, waited)
    if is_direct(left):
        return conclude(incident, services, left)
    try:
        status = _became(services, left)
    except writing.NotAsked as error:
        return later(incident, services, str(error), waited)
    if status == FixStatus.COMMITTED:
        return committed(incident, services, left["id"])
    if status == FixStatus.ROLLED_BACK:
        so_far = "decided" if undecided else "committed"
        return once_more(incident, services, left["id"], f"interrupted before it was {so_far}")
    return nobody_knows(
        incident, services, left["id"], "Nobody can say any more what became of it."
    )


def _became(services: Services, left: Mapping[str, Any]) -> FixStatus:
    """What became of a fix that was left behind; NotAsked when its target cannot say it yet."""
    if left["status"] == FixStatus.STARTED:
        return FixStatus.UNKNOWN if left["failed_over"] else FixStatus.ROLLED_BACK
    target = services.settings.targets.get(left["target"])
    if target is None:
        return FixStatus.UNKNOWN  # it is no longer configured
    made = writing.Made(left["xid"], left["system_identifier"], left["timeline"])
    fate = writing.fate(target, made)
    if fate == writing.Fate.IN_PROGRESS:
        raise writing.NotAsked("the fix's transaction is still open on the target")
    return _MEANS[fate]


def give_up(incident: Incident, services: Services) -> Incident:
    """Handling it failed three times: an open fix is settled, and a person goes on.

    Undecided is rolled back, since its gate is closed now; of what was decided its target is asked.
    """
    detail = f"It failed at the stage {incident.stage}."
    with services.store.transaction() as tx:
        notice_failover(services, tx)
        left = tx.maybe("unsettled_fix", incident_id=incident.id)
    if left is not None and is_direct(left):
        return conclude(incident, services, left)
    try:
        status = _became(services, left) if left is not None else None
    except writing.NotAsked as error:
        return later(incident, services, str(error))
    reason = Reason.UNKNOWN if status == FixStatus.UNKNOWN else Reason.GAVE_UP
    with services.store.transaction() as tx:
        if left is not None and status == FixStatus.COMMITTED:
            note_commit(tx, incident, left["id"])
        elif left is not None and status is not None:
            settle(tx, incident, left["id"], status, f"interrupted: {detail}")
        ended = end_verification(tx, incident, detail, RESPONDER)
        if ended and status in (None, FixStatus.COMMITTED):
            reason = Reason.NOT_VERIFIED
        return hand_over(services, tx, incident, reason, detail)
