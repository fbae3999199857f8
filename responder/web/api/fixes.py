"""Fixes by people: ask for one, and see what became of it."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from flask import Response, g, jsonify, url_for
from marshmallow import Schema, fields, validate

from responder.pipeline.approval import told_approval
from responder.pipeline.by_hand import Asked, Begun, NotBegun, ask
from responder.pipeline.document import told_fix
from responder.pipeline.images import read_image, told_image
from responder.pipeline.services import iso
from responder.pipeline.undo import AskedUndo, ask_undo
from responder.store.vault import Locked
from responder.web.api.endpoints import Endpoints, services
from responder.web.api.incident_document import Approval, Fix
from responder.web.api.schemas import Answer, Flag, anything_by_name, moment, string
from responder.web.problems import REASONS, Problem

endpoints = Endpoints("fixes", "Options of the runbook, carried out: by whom, and what came of it.")


class FixRequest(Schema):
    option = fields.String(required=True, validate=validate.Length(1, 200))
    seen = fields.UUID(
        required=True,
        allow_none=True,
        metadata={"description": "The id of the decision that you look at; null: there is none."},
    )
    parameters = fields.Dict(
        keys=fields.String(),
        values=fields.String(validate=validate.Length(0, 1000)),
        load_default=dict,
        metadata={"description": "What the option `asks`, by name."},
    )
    dry_run = Flag(
        load_default=False,
        metadata={"description": "Make it, see what it changes, and take it back."},
    )


class UndoRequest(Schema):
    dry_run = Flag(
        load_default=False,
        metadata={"description": "Take it back, see what that changes, and leave it as it is."},
    )


class FixHeaders(Schema):
    key = fields.String(
        data_key="Idempotency-Key",
        validate=[
            validate.Length(1, 255),
            validate.Regexp(r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$"),
        ],
        metadata={"description": "The same request under the same key is one fix, for a day."},
    )


class FixLinks(Answer):
    self = string()
    incident = string()


class WholeFix(Fix):
    """A fix with all that it stands on."""

    incident = fields.UUID(required=True)
    decision = fields.UUID(required=True, allow_none=True)
    rule = string()
    rule_checksum = string()
    target = string()
    parameters = anything_by_name()
    recorded_at = moment(null=True)
    links = fields.Nested(FixLinks, required=True)


class Images(Answer):
    """The rows as the target wrote them."""

    before = fields.List(anything_by_name(), required=True)
    after = fields.List(anything_by_name(), required=True)
    expires_at = moment(null=True)


_PLACE = {"Location": {"schema": {"type": "string"}, "required": True}}
_AGAIN = {"Idempotency-Replayed": {"schema": {"const": "true"}, "required": True}}


@endpoints.post(
    "/incidents/<uuid:incident_id>/fixes",
    role="operator",
    headers=FixHeaders,
    body=FixRequest,
    answers={202: (WholeFix, Approval), 200: (WholeFix, Approval)},
    problems=["not_found", "conflict", "stale", "not_possible", "key_reused"],
    also={"responses": {202: {"headers": _PLACE}, 200: {"headers": {**_PLACE, **_AGAIN}}}},
)
def ask_for_fix(said: Mapping[str, Any], headers: Mapping[str, str], incident_id: UUID) -> Response:
    """Carry out an option of the runbook, at any severity, under your name.

    `202`: a worker carries it out now; its place says what becomes of it. A dangerous option waits
    for a second person, who asks for the very same until `expires_at`. `200`: you asked for it
    before under this key. An option may need a higher role than this call.
    """
    asked = Asked(incident_id, **said, key=headers.get("key"))
    return _begun(lambda: ask(services(), asked, g.caller.actor, g.caller.role))


@endpoints.post(
    "/fixes/<uuid:fix_id>/undo",
    role="operator",
    headers=FixHeaders,
    body=UndoRequest,
    answers={202: WholeFix, 200: WholeFix},
    problems=["not_found", "conflict", "not_possible", "key_reused"],
    also={"responses": {202: {"headers": _PLACE}, 200: {"headers": {**_PLACE, **_AGAIN}}}},
)
def undo_fix(said: Mapping[str, Any], headers: Mapping[str, str], fix_id: UUID) -> Response:
    """Take back what a fix changed, under your name: a fix of its own, which `undoes` the other.

    Only rows that are still as the fix left them come back, exactly as they were; `left` names the
    others. `202`: a worker does it now; its place says what becomes of it. `200`: you asked for it
    before under this key. An option may need a higher role than this call.
    """
    asked = AskedUndo(fix_id, **said, key=headers.get("key"))
    return _begun(lambda: ask_undo(services(), asked, g.caller.actor, g.caller.role))


def _begun(begin: Callable[[], Begun]) -> Response:
    """The fix that a worker carries out now, what waits for a second one, or why there is none."""
    try:
        begun = begin()
    except NotBegun as error:
        reason = error.objection
        raise Problem(REASONS[reason], reason, str(error), **error.more) from None
    if begun.fix is not None:
        response, place = fix(begun.fix), url_for("fixes.fix", fix_id=begun.fix)
    else:
        assert begun.approval is not None
        response = jsonify(told_approval(begun.approval))
        place = url_for("incidents.incident", incident_id=begun.approval["incident_id"])
    response.status_code = 200 if begun.again else 202
    response.headers["Location"] = place
    if begun.again:
        response.headers["Idempotency-Replayed"] = "true"
    return response


@endpoints.get(
    "/fixes/<uuid:fix_id>/images",
    role="admin",
    answers={200: Images},
    problems=["not_found", "not_possible"],
)
def fix_images(fix_id: UUID) -> Response:
    """The exact rows before and after a fix, for `undo_hours`; the audit says who looked."""
    try:
        image = read_image(services(), fix_id, g.caller.actor)
    except Locked as locked:
        raise Problem(409, "not_possible", f"they cannot be read: {locked}") from None
    if image is None:
        raise Problem(404, "not_found", "there is no such fix, or its exact rows are deleted")
    return jsonify(told_image(image))


@endpoints.get(
    "/fixes/<uuid:fix_id>", role="viewer", answers={200: WholeFix}, problems=["not_found"]
)
def fix(fix_id: UUID) -> Response:
    """One fix: what was asked for, what it changed, and whether it held."""
    with services().store.transaction() as tx:
        row = tx.maybe("fix", id=fix_id)
    if row is None:
        raise Problem(404, "not_found", "there is no such fix")
    base = f"{services().settings.public_url.rstrip('/')}/v1"
    told = {name: row[name] for name in ("rule", "rule_checksum", "target", "parameters")}
    return jsonify(
        {
            **told_fix(row),
            **told,
            "incident": row["incident_id"],
            "decision": row["decision_id"],
            "recorded_at": iso(row["recorded_at"]),
            "links": {
                "self": f"{base}/fixes/{fix_id}",
                "incident": f"{base}/incidents/{row['incident_id']}",
            },
        }
    )
