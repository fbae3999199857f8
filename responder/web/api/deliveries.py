"""What was handed in, and what became of it."""

from typing import Any
from uuid import UUID

from flask import Response, g, jsonify
from marshmallow import fields, validate

from responder.domain.alert import AlertOutcome, AlertStatus, DeliveryOutcome
from responder.pipeline.raw import read_body
from responder.pipeline.redrive import NotRedriven, redrive_delivery
from responder.store.vault import Locked
from responder.web.api import lists
from responder.web.api.endpoints import Endpoints, services
from responder.web.api.schemas import (
    STORABLE,
    Answer,
    described,
    listed,
    many,
    moment,
    string,
    strings_by_name,
)
from responder.web.problems import Problem

endpoints = Endpoints("deliveries", "What was handed in, and what became of each alert.")


class Delivery(Answer):
    """One accepted HTTP request."""

    id = fields.UUID(required=True)
    received_at = moment()
    source = string()
    outcome = string(of=DeliveryOutcome)
    alert_count = fields.Integer(required=True)
    triaged_at = moment(null=True)
    note = string()


class DeliveredAlert(Answer):
    id = fields.UUID(required=True)
    received_at = moment()
    source = string()
    outcome = string(of=AlertOutcome)
    fingerprint = string(null=True)
    status = string(of=AlertStatus, null=True)
    name = string(null=True)
    incident_id = fields.UUID(required=True, allow_none=True)
    note = string()


class WholeDelivery(Delivery):
    headers = strings_by_name()
    body_sha256 = string()
    body_bytes = fields.Integer(required=True)
    alerts = many(DeliveredAlert)


class Deliveries(lists.Page):
    outcome = fields.String(load_default=None, validate=validate.OneOf(list(DeliveryOutcome)))
    source = fields.String(load_default=None, validate=STORABLE)


class Redriven(Answer):
    """What is understood now is a delivery of its own."""

    delivery = fields.UUID(required=True)
    alerts = fields.Integer(required=True)
    quarantined = fields.Integer(required=True)


@endpoints.get("/deliveries", role="viewer", query=Deliveries, answers={200: listed(Delivery)})
def deliveries(asked: dict[str, Any]) -> Response:
    """The newest deliveries; outcome=quarantined are those that were not understood."""
    filters = {name: asked[name] for name in ("outcome", "source")}
    with services().store.transaction() as tx:
        rows = tx.all("deliveries", **filters, **lists.before(asked))
    return lists.listed([lists.plain(row) for row in rows], rows, asked, "received_at")


@endpoints.get(
    "/deliveries/<uuid:delivery_id>",
    role="viewer",
    answers={200: WholeDelivery},
    problems=["not_found"],
)
def delivery(delivery_id: UUID) -> Response:
    """One delivery, with what became of each of its alerts."""
    with services().store.transaction() as tx:
        row = tx.maybe("delivery", id=delivery_id)
        alerts = tx.all("delivery_alerts", id=delivery_id)
    if row is None:
        raise Problem(404, "not_found", "there is no such delivery")
    return jsonify({**lists.plain(row), "alerts": [lists.plain(alert) for alert in alerts]})


@endpoints.get(
    "/deliveries/<uuid:delivery_id>/body",
    role="admin",
    answers={},
    problems=["not_found", "not_possible"],
    also={"responses": {200: described({"type": "string"}, media_type="application/octet-stream")}},
)
def delivery_body(delivery_id: UUID) -> Response:
    """The raw body, as it came, for `raw_days`; the audit says who looked at it."""
    try:
        body = read_body(services(), delivery_id, g.caller.actor)
    except Locked as locked:
        raise Problem(409, "not_possible", f"it cannot be read: {locked}") from None
    if body is None:
        raise Problem(404, "not_found", "there is no such delivery, or its body is deleted")
    return Response(body, content_type="application/octet-stream")


@endpoints.post(
    "/deliveries/<uuid:delivery_id>/redrive",
    role="operator",
    answers={202: Redriven},
    problems=["not_found", "not_possible"],
)
def redrive(delivery_id: UUID) -> tuple[Response, int]:
    """Read a quarantined delivery again, after its settings or its parser were mended."""
    try:
        accepted = redrive_delivery(services(), delivery_id, g.caller.actor)
    except NotRedriven as error:
        raise Problem(409, "not_possible", str(error)) from None
    told = {"alerts": accepted.alerts, "quarantined": accepted.quarantined}
    return jsonify({"delivery": str(accepted.delivery), **told}), 202
