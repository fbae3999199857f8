"""What the responder is doing about an incident at this moment, in words."""

from collections.abc import Mapping
from typing import Any

from responder.domain.decision import Action
from responder.domain.incident import IncidentStatus, Stage

#: While a walk is under way.
_AT_WORK = {
    Stage.TRIAGE: "Takes it in",
    Stage.DIAGNOSE: "Asks the target what is wrong",
    Stage.PLAN: "Decides what to do",
    Stage.FIX: "Carries out {option}",
    Stage.VERIFY: "Asks whether {option} held",
    Stage.WATCH: "Watches for its end",
    Stage.DONE: "Is done",
}
#: While it waits, by what was decided.
_WAITS = {
    Action.FIX: "Fixed it, watches for its end",
    Action.PROPOSE: "Proposes {option}, waits for a person",
    Action.HAND_OVER: "Handed it over to people",
    Action.WAIT: "Waits, and looks again",
}


def doing(incident: Mapping[str, Any], action: str | None, option: str | None) -> str:
    """A few words; incident: its status, stage, and whether a walk is under way."""
    named = option or "a fix"
    stage = Stage(incident["stage"])
    if incident["status"] == IncidentStatus.RESOLVED and stage in (Stage.WATCH, Stage.DONE):
        return "Resolved"
    if stage == Stage.VERIFY:
        return _AT_WORK[stage].format(option=named)
    if incident.get("walking") or action is None:
        return _AT_WORK[stage].format(option=named)
    if action == Action.PROPOSE and option is None:
        return "Waits for a person"
    return _WAITS[Action(action)].format(option=named)
