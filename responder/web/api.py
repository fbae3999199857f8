"""The API for people and programs: deliveries, incidents with their trail, rules, explain."""

import base64
import json
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, current_app, g, jsonify, request
from marshmallow import RAISE, Schema, ValidationError, fields, validate

from responder.domain.severity import Severity
from responder.pipeline.accept import parse_only
from responder.pipeline.document import document, summary
from responder.pipeline.explain import describe_rule, explain
from responder.pipeline.people import acknowledge, close
from responder.pipeline.services import Services, iso
from responder.store.incidents import incident_from_row
from responder.web.problems import Problem
from responder.web.tokens import require

api = Blueprint("api", __name__, url_prefix="/v1")

_STORABLE = validate.ContainsNoneOf("\0", error="must not hold a NUL character")


class _Page(Schema):
    class Meta:
        unknown = RAISE

    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200))
    cursor = fields.String(load_default=None)


class _IncidentFilters(_Page):
    status = fields.String(
        load_default=None, validate=validate.OneOf(["open", "acknowledged", "resolved"])
    )
    severity = fields.String(load_default=None, validate=validate.OneOf(list(Severity)))
    rule = fields.String(load_default=None, validate=_STORABLE)
    q = fields.String(load_default=None, validate=_STORABLE)


def _services() -> Services:
    services: Services = current_app.extensions["responder"]
    return services


@api.get("/deliveries")
@require("viewer")
def deliveries() -> Response:
    """The newest deliveries."""
    asked = _Page().load(request.args)
    with _services().store.transaction() as tx:
        rows = tx.all("deliveries", limit=asked["limit"] + 1, **_before(asked["cursor"]))
    return _listed([_plain(row) for row in rows], rows, asked["limit"], "received_at")


@api.get("/deliveries/<uuid:delivery_id>")
@require("viewer")
def delivery(delivery_id: UUID) -> Response:
    """One delivery, with what became of each of its alerts."""
    with _services().store.transaction() as tx:
        row = tx.maybe("delivery", id=delivery_id)
        alerts = tx.all("delivery_alerts", id=delivery_id)
    if row is None:
        raise Problem(404, "not_found", "there is no such delivery")
    return jsonify({**_plain(row), "alerts": [_plain(alert) for alert in alerts]})


@api.get("/incidents")
@require("viewer")
def incidents() -> Response:
    """The newest incidents that meet the filters."""
    asked = _IncidentFilters().load(request.args)
    filters = {name: asked[name] for name in ("status", "severity", "rule", "q")}
    with _services().store.transaction() as tx:
        rows = tx.all("incidents", limit=asked["limit"] + 1, **filters, **_before(asked["cursor"]))
    items = [summary(incident_from_row(row)) for row in rows]
    return _listed(items, rows, asked["limit"], "opened_at")


@api.get("/incidents/<uuid:incident_id>")
@require("viewer")
def incident(incident_id: UUID) -> Response:
    """The incident document."""
    services = _services()
    with services.store.transaction() as tx:
        found = document(services, tx, incident_id)
    if found is None:
        raise Problem(404, "not_found", "there is no such incident")
    return jsonify(found)


@api.get("/incidents/<uuid:incident_id>/events")
@require("viewer")
def events(incident_id: UUID) -> Response:
    """The trail of an incident, oldest first: it is read as a story."""
    with _services().store.transaction() as tx:
        if tx.maybe("incident", id=incident_id) is None:
            raise Problem(404, "not_found", "there is no such incident")
        rows = tx.all("incident_events", id=incident_id)
    return jsonify({"items": [_plain(row) for row in rows], "next": None})


@api.post("/incidents/<uuid:incident_id>/acknowledge")
@require("operator")
def acknowledge_incident(incident_id: UUID) -> Response:
    """Somebody has it; pagers that were woken for it are told."""
    return _changed(incident_id, acknowledge(_services(), incident_id, g.caller.actor))


@api.post("/incidents/<uuid:incident_id>/resolve")
@require("operator")
def resolve_incident(incident_id: UUID) -> Response:
    """It is over; notices that still fire are kept down for a while."""
    return _changed(incident_id, close(_services(), incident_id, g.caller.actor))


@api.get("/rules")
@require("viewer")
def rules() -> Response:
    """The loaded rules in the order in which they are tried."""
    services = _services()
    with services.store.transaction() as tx:
        promotions = tx.all("promotions")
    described = [
        describe_rule(services, rule, promotions) for rule in services.catalogue.rules.values()
    ]
    return jsonify({"items": described, "next": None})


@api.get("/rules/<name>")
@require("viewer")
def rule(name: str) -> Response:
    """One rule with its questions, options and statements."""
    services = _services()
    found = services.catalogue.rules.get(name)
    if found is None:
        raise Problem(404, "not_found", "there is no such rule")
    with services.store.transaction() as tx:
        promotions = tx.all("promotions")
    return jsonify(describe_rule(services, found, promotions, whole=True))


@api.post("/explain/<source>")
@require("viewer")
def explain_payload(source: str) -> Response:
    """Which rule would answer this payload, and why not another one; touches nothing."""
    notices = parse_only(_services(), source, request.get_data(cache=False))
    return jsonify({"alerts": [explain(_services().catalogue, notice) for notice in notices]})


def _changed(incident_id: UUID, known: bool) -> Response:
    if not known:
        raise Problem(404, "not_found", "there is no such incident")
    return incident(incident_id)


def _plain(row: Any) -> dict[str, Any]:
    return {
        name: iso(value) if isinstance(value, datetime) else value for name, value in row.items()
    }


def _listed(items: list[Any], rows: list[Any], limit: int, time: str) -> Response:
    more = len(rows) > limit
    last = rows[limit - 1] if more else None
    cursor = last and _cursor(last[time], last["id"])
    return jsonify({"items": items[:limit], "next": cursor})


def _cursor(moment: datetime, row_id: UUID) -> str:
    return base64.urlsafe_b64encode(json.dumps([moment.isoformat(), str(row_id)]).encode()).decode()


def _before(cursor: str | None) -> dict[str, Any]:
    if cursor is None:
        return {"before": None, "before_id": None}
    try:
        moment, row_id = json.loads(base64.urlsafe_b64decode(cursor))
        return {"before": datetime.fromisoformat(moment), "before_id": UUID(row_id)}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise ValidationError({"cursor": ["not a cursor of this list"]}) from None
