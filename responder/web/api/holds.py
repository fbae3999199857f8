"""Legal hold: what must not be deleted, however old it is."""

from typing import Any
from uuid import UUID

from flask import Response, g, jsonify
from marshmallow import Schema, fields

from responder.pipeline.hold import hold, release
from responder.web.api import lists
from responder.web.api.endpoints import Endpoints, services
from responder.web.api.schemas import Answer, Flag, listed, moment, string, why
from responder.web.problems import Problem

endpoints = Endpoints("holds", "Incidents that must not be deleted, however old they are.")


class HoldRequest(Schema):
    held = Flag(required=True)
    reason = why()


class Held(Answer):
    incident_id = fields.UUID(required=True)
    held = fields.Boolean(required=True)


class Hold(Answer):
    """An incident that is held, since when, by whom and why."""

    incident_id = fields.UUID(required=True)
    title = string()
    opened_at = moment()
    at = moment()
    actor = string()
    reason = string()


@endpoints.get("/holds", role="viewer", answers={200: listed(Hold)})
def holds() -> Response:
    """All incidents that are held, given at once."""
    with services().store.transaction() as tx:
        rows = tx.all("holds")
    return lists.whole([lists.plain(row) for row in rows])


@endpoints.put(
    "/incidents/<uuid:incident_id>/hold",
    role="admin",
    body=HoldRequest,
    answers={200: Held},
    problems=["not_found"],
)
def hold_incident(said: dict[str, Any], incident_id: UUID) -> Response:
    """Hold an incident, or release it.

    Its month stays whole, and so do the days on which its alerts came in. Twice is no mistake; the
    first reason stays.
    """
    change = hold if said["held"] else release
    if not change(services().store, incident_id, g.caller.actor, said["reason"]):
        raise Problem(404, "not_found", "there is no such incident")
    return jsonify({"incident_id": str(incident_id), "held": said["held"]})
