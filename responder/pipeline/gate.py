"""The last gate of a fix (DESIGN 7, step 3), and the permit that a session on a target needs."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from responder.domain.actor import ActorKind
from responder.domain.decision import SENTENCES, Reason
from responder.domain.fix import FixStatus
from responder.domain.incident import Incident
from responder.domain.severity import Severity
from responder.pipeline.decide import notice_failover
from responder.pipeline.images import Image, keep_image, shown
from responder.pipeline.maintenance import NO_WINDOW, fixing_resumes, window_allows
from responder.pipeline.services import Services
from responder.pipeline.settle import fix_event
from responder.runbook.rule import Option
from responder.store import Refused
from responder.store.vault import Locked
from responder.targets import writing


class AtTheGate(Exception):
    """Something has come up since the decision; the change is rolled back."""


#: What a constraint of a fix row means to people.
_MEANS = {
    "fix_never_ours_at_p0_p1": SENTENCES[Reason.SEVERITY],
    "fix_one_per_key": "Another fix of the same key is open.",
    "fix_one_per_decision": "What this decision allowed was made already.",
}


def said_of(refused: Exception) -> str:
    """Why a fix was refused, as people read it."""
    constraint = refused.constraint if isinstance(refused, Refused) else ""
    return _MEANS.get(constraint, str(refused))


class NotNow(Exception):
    """Something that will be over in a moment speaks against it; the change is rolled back."""


def permit_of(services: Services) -> Callable[[UUID], writing.Permit | None]:
    """What `writing.make` asks before it opens a session: the committed row of that very fix."""

    def permit(fix_id: UUID) -> writing.Permit | None:
        with services.store.transaction() as tx:
            row = tx.maybe("permit", id=fix_id)
        return (
            None
            if row is None
            else writing.Permit(Severity(row["severity"]), ActorKind(row["actor_kind"]))
        )

    return permit


def pass_gate(
    incident: Incident, services: Services, fix_id: UUID, option: Option | None, made: writing.Made
) -> None:
    """Step 3, the last gate; this commit is the decision. What a person asks for passes more.

    An undo has no option.
    """
    with services.store.transaction() as tx:
        tx.run("lock_target", target=incident.target)
        notice_failover(services, tx)
        tx.run("lock_gate", id=fix_id)
        _object(tx.one("gate", id=fix_id), fixing_resumes(tx, incident.labels) is not None)
        if option is not None and option.in_window and not window_allows(tx, incident.labels):
            raise AtTheGate(NO_WINDOW)
        row = tx.maybe(
            "record_fix",
            id=fix_id,
            xid=made.xid,
            system_identifier=made.system_identifier,
            timeline=made.timeline,
            counts=dict(made.counts),
            **shown(services, made),
        )
        if row is None:
            raise AtTheGate("the walk was taken over by another worker")
        try:
            keep_image(services, tx, fix_id, Image(made.before, made.after), tx.now)
        except Locked as locked:
            raise AtTheGate(f"its rows could not be kept for an undo: {locked}") from None
        fix_event(tx, incident, row, FixStatus.STARTED, FixStatus.RECORDED, counts=made.counts)


def _object(gate: Mapping[str, Any], window: bool) -> None:
    """Raises what speaks against the fix at the last moment."""
    automatic = gate["actor_kind"] == ActorKind.RESPONDER
    objections = {
        "the walk was taken over by another worker": not gate["fenced"],
        "the incident is resolved": not gate["undoes"] and gate["incident_status"] == "resolved",
        SENTENCES[Reason.OUR_FAILOVER]: automatic and gate["our_failover"],
        SENTENCES[Reason.STOPPED]: automatic and not gate["enabled"],
        SENTENCES[Reason.SEVERITY_UNREADABLE]: automatic and gate["severity_unreadable"],
        SENTENCES[Reason.TARGET_ON_FIRE]: automatic and gate["target_on_fire"],
        SENTENCES[Reason.WINDOW]: automatic and window,
        SENTENCES[Reason.AUTONOMY]: automatic and not gate["promoted"],
    }
    for objection, holds in objections.items():
        if holds:
            raise AtTheGate(objection)
    if automatic and gate["page_untriaged"]:
        raise NotNow("an alert that may be a P0 or P1 is waiting for triage")
