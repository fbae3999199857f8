"""The switch of automatic fixes."""

from typing import Any

from flask import Response, current_app, g, jsonify
from marshmallow import Schema, ValidationError, fields

from responder.domain.actor import may
from responder.pipeline import switch
from responder.pipeline.services import iso
from responder.web.api.endpoints import Endpoints, services
from responder.web.api.schemas import Answer, Flag, moment, string, why
from responder.web.problems import Problem

endpoints = Endpoints("autofix", "The switch of automatic fixes.")
#: The configuration key of how long a caller waits for fixes that were decided before.
PATIENCE = "AUTOFIX_PATIENCE"


class Switch(Schema):
    enabled = Flag(required=True)
    reason = why()


class Autofix(Answer):
    """Whether fixes are made automatically, and who said so."""

    enabled = fields.Boolean(required=True)
    reason = string()
    actor = string()
    at = moment()
    recorded = fields.List(
        fields.UUID(),
        required=True,
        metadata={"description": "Fixes that are decided and whose commit is not known yet."},
    )


@endpoints.get("/autofix", role="viewer", answers={200: Autofix})
def autofix() -> Response:
    """Whether fixes are made automatically, and who said so."""
    standing = switch.standing(services().store)
    left = switch.recorded(services().store)
    return jsonify({**standing, "at": iso(standing["at"]), "recorded": left})


@endpoints.put("/autofix", role="operator", body=Switch, answers={200: Autofix, 202: Autofix})
def switch_autofix(said: dict[str, Any]) -> Response:
    """Switch automatic fixes off, or on again.

    Off: `200` when nothing that was decided before is still to be committed, `202` with the ids of
    those after 30 s. On needs the role `admin`.
    """
    store, actor = services().store, g.caller.actor
    if said["reason"] == switch.RESERVED:
        raise ValidationError({"reason": ["say why in other words"]})
    if said["enabled"] and not may(g.caller.role, "admin"):
        raise Problem(403, "forbidden", "to switch them on needs the role admin")
    if said["enabled"]:
        switch.start(store, actor, said["reason"])
        return autofix()
    patience = current_app.config.get(PATIENCE, switch.PATIENCE)
    left = switch.stop(store, actor, said["reason"], patience)
    response = autofix()
    response.status_code = 202 if left else 200
    return response
