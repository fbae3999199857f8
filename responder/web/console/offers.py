"""What a person may press on an incident's page: options of the runbook, and fixes to take back."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from responder.domain.actor import may
from responder.domain.fix import FixStatus
from responder.domain.incident import IncidentStatus
from responder.pipeline.document import NO_CLAIMS
from responder.pipeline.maintenance import NO_WINDOW

Row = Mapping[str, Any]
#: Why an option cannot be run by anybody, here and now.
_IMPOSSIBLE = (NO_CLAIMS, NO_WINDOW)


def offers(document: Row, fixes: Sequence[Row], role: str) -> list[dict[str, Any]]:
    """Each option with what stands in the way of this caller, and the latest dry run of it.

    A dry run counts for the decision that stands now.
    """
    seen = document["decision"] and document["decision"]["id"]
    over = document["incident"]["status"] == IncidentStatus.RESOLVED
    return [
        {
            **option,
            "tried": _tried(option["name"], fixes, seen),
            "first": [each for each in document["approvals"] if each["option"] == option["name"]],
            "obstacle": "the incident is resolved" if over else _obstacle(option, role),
        }
        for option in document["options"]
    ]


def _obstacle(option: Row, role: str) -> str:
    if option["why_not"] in _IMPOSSIBLE:
        return str(option["why_not"])
    if not may(role, option["role"]):
        return f"it needs the role {option['role']}"
    return ""


def _tried(option: str, fixes: Sequence[Row], seen: str | None) -> Row | None:
    tried = [
        fix for fix in fixes if fix["dry_run"] and fix["undoes"] is None and fix["option"] == option
    ]
    latest = tried[-1] if tried else None
    return latest if latest is not None and str(latest["decision_id"]) == seen else None


def undoable(fixes: Sequence[Row], role: str, since: datetime) -> set[str]:
    """The ids of fixes for which this caller is offered an undo; since: of which rows are kept."""
    return {
        str(fix["id"])
        for fix in fixes
        if fix["status"] == FixStatus.COMMITTED
        and fix["undoes"] is None
        and "undo" in fix["statements"]
        and may(role, fix["statements"]["undo"]["role"])
        and fix["ended_at"] > since
    }
