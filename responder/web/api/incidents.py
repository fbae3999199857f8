"""Incidents: the document, the trail, and what a person says about them."""

from typing import Any
from uuid import UUID

from flask import Response, g, jsonify
from marshmallow import Schema, fields, validate

from responder.domain.incident import IncidentStatus
from responder.domain.review import Standing, Verdict
from responder.domain.severity import Severity
from responder.pipeline.breaker import NotOpen, reset
from responder.pipeline.document import document, summary
from responder.pipeline.people import LONGEST_NOTE, acknowledge, close, note
from responder.pipeline.review import judge
from responder.store.incidents import incident_from_row
from responder.web.api import lists
from responder.web.api.endpoints import Endpoints, services
from responder.web.api.incident_document import AuditEvent, Incident, IncidentDocument
from responder.web.api.schemas import STORABLE, listed, why
from responder.web.problems import Problem

endpoints = Endpoints("incidents", "The answering of one fault, from the first notice to its end.")


class Filters(lists.Page):
    status = fields.String(validate=validate.OneOf([str(each) for each in IncidentStatus]))
    severity = fields.String(validate=validate.OneOf([str(each) for each in Severity]))
    rule = fields.String(validate=STORABLE)
    q = fields.String(validate=STORABLE, metadata={"description": "A part of the title."})
    review = fields.String(
        validate=validate.OneOf([str(each) for each in Standing]),
        metadata={"description": "Those that wait for a verdict, or have waited too long."},
    )


class ResetRequest(Schema):
    reason = why()


class NoteRequest(Schema):
    text = fields.String(required=True, validate=validate.Length(1, LONGEST_NOTE))


class ReviewRequest(Schema):
    verdict = fields.String(required=True, validate=validate.OneOf([str(each) for each in Verdict]))
    note = fields.String(load_default="", validate=validate.Length(0, LONGEST_NOTE))


@endpoints.get("/incidents", role="viewer", query=Filters, answers={200: listed(Incident)})
def incidents(asked: dict[str, Any]) -> Response:
    """The newest incidents that meet the filters."""
    filters = {name: asked.get(name) for name in ("status", "severity", "rule", "q")}
    with services().store.transaction() as tx:
        rows = (
            tx.all("incidents_to_review", review=asked["review"], **filters, **lists.before(asked))
            if "review" in asked
            else tx.all("incidents", **filters, **lists.before(asked))
        )
    items = [summary(incident_from_row(row)) for row in rows]
    return lists.listed(items, rows, asked, "opened_at")


@endpoints.get(
    "/incidents/<uuid:incident_id>",
    role="viewer",
    answers={200: IncidentDocument},
    problems=["not_found"],
)
def incident(incident_id: UUID) -> Response:
    """The incident document."""
    with services().store.transaction() as tx:
        found = document(services(), tx, incident_id)
    if found is None:
        raise Problem(404, "not_found", "there is no such incident")
    return jsonify(found)


@endpoints.get(
    "/incidents/<uuid:incident_id>/events",
    role="viewer",
    answers={200: listed(AuditEvent)},
    problems=["not_found"],
)
def events(incident_id: UUID) -> Response:
    """The trail of an incident, oldest first: it is read as a story."""
    with services().store.transaction() as tx:
        if tx.maybe("incident", id=incident_id) is None:
            raise Problem(404, "not_found", "there is no such incident")
        rows = tx.all("incident_events", id=incident_id)
    return lists.whole([lists.plain(row) for row in rows])


@endpoints.post(
    "/incidents/<uuid:incident_id>/acknowledge",
    role="operator",
    answers={200: IncidentDocument},
    problems=["not_found"],
)
def acknowledge_incident(incident_id: UUID) -> Response:
    """Somebody has it; pagers that were woken for it are told."""
    acknowledge(services(), incident_id, g.caller.actor)
    return incident(incident_id)


@endpoints.post(
    "/incidents/<uuid:incident_id>/resolve",
    role="operator",
    answers={200: IncidentDocument},
    problems=["not_found"],
)
def resolve_incident(incident_id: UUID) -> Response:
    """It is over; notices that still fire are kept down for a while."""
    close(services(), incident_id, g.caller.actor)
    return incident(incident_id)


@endpoints.post(
    "/incidents/<uuid:incident_id>/notes",
    role="operator",
    body=NoteRequest,
    answers={200: IncidentDocument},
    problems=["not_found"],
)
def note_incident(said: dict[str, Any], incident_id: UUID) -> Response:
    """What the others should know; receivers that follow the incident are told."""
    note(services(), incident_id, g.caller.actor, said["text"])
    return incident(incident_id)


@endpoints.post(
    "/incidents/<uuid:incident_id>/review",
    role="operator",
    body=ReviewRequest,
    answers={200: IncidentDocument},
    problems=["not_found"],
)
def review_incident(said: dict[str, Any], incident_id: UUID) -> Response:
    """Your verdict on what the responder did; nobody is told, and you may change it.

    `harmful` takes back the promotion of each version of the rule that fixed something here by
    itself; `review.took_back` says so.
    """
    judge(services(), incident_id, g.caller.actor, Verdict(said["verdict"]), said["note"])
    return incident(incident_id)


@endpoints.post(
    "/incidents/<uuid:incident_id>/reset",
    role="operator",
    body=ResetRequest,
    answers={200: IncidentDocument},
    problems=["not_found", "conflict"],
)
def reset_breaker(said: dict[str, Any], incident_id: UUID) -> Response:
    """Close the breaker of the incident's key: you have looked, and it may be fixed again.

    It is diagnosed and decided anew. `409`: the breaker is closed.
    """
    try:
        reset(services().store, incident_id, g.caller.actor, said["reason"])
    except NotOpen as error:
        raise Problem(409, "conflict", str(error)) from None
    return incident(incident_id)
