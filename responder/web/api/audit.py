"""The audit: events by person, rule, target and time, and the proof of them in place."""

from typing import Any

from flask import Response, jsonify
from marshmallow import Schema, fields

from responder.pipeline.audit.report import Kind
from responder.pipeline.audit.search import Search, find_events
from responder.pipeline.audit.verify import verify_incident, verify_newest
from responder.web.api import lists
from responder.web.api.endpoints import Endpoints, services
from responder.web.api.incident_document import AuditEvent
from responder.web.api.schemas import (
    STORABLE,
    Answer,
    integer,
    listed,
    many,
    string,
    strings,
    strings_by_name,
)

endpoints = Endpoints("audit", "What was done by whom, and the proof that nobody changed it.")


def _text(told: str) -> fields.String:
    return fields.String(validate=STORABLE, metadata={"description": told})


def _time(told: str) -> fields.AwareDateTime:
    return fields.AwareDateTime(format="iso", metadata={"description": told})


class Filters(lists.Page):
    actor = _text("By this person or program.")
    incident = fields.UUID(metadata={"description": "Of this incident."})
    rule = _text("Of incidents that this rule answers, the newest incident first.")
    target = _text("Of incidents on this target, the newest incident first.")
    what = _text("Only this, such as `fix`; `row` are the digests of rows, else left out.")
    subject = _text("About this, such as `autofix`.")
    since = _time("From this time on.")
    until = _time("Before this time.")


class FoundEvent(AuditEvent):
    """One recorded fact, and the incident that it is about."""

    incident_id = fields.UUID(required=True, allow_none=True)


class Asked(Schema):
    incident = fields.UUID(
        metadata={"description": "The events and rows of this one; else the newest seals."}
    )


class Trouble(Answer):
    """One thing that is not what it was."""

    kind = string(of=Kind)
    subject = string(told="The event, row or seal.")
    says = string()
    about = strings_by_name()


class Waiting(Answer):
    """What is not sealed yet."""

    events = integer()
    seconds = fields.Float(required=True)


class Unproven(Answer):
    """What is older than the first seal."""

    events = integer()
    rows = integer()


class DroppedPartition(Answer):
    """What retention dropped, by its own record."""

    partition = string()
    events = integer()


class Proof(Answer):
    """What was looked at, and what was found."""

    ok = fields.Boolean(required=True)
    looked_at = string()
    seals = integer()
    last_seal = fields.Integer(required=True, allow_none=True)
    events = integer()
    rows = integer()
    unsealed = fields.Nested(Waiting, required=True)
    unproven = fields.Nested(Unproven, required=True)
    dropped = many(DroppedPartition)
    copies = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(allow_none=True),
        required=True,
        metadata={"description": "The last seal that each copy has; only the command reads them."},
    )
    notes = strings()
    trouble_count = integer()
    troubles = many(Trouble)


@endpoints.get("/audit", role="viewer", query=Filters, answers={200: listed(FoundEvent)})
def audit(asked: dict[str, Any]) -> Response:
    """The newest events that meet the filters."""
    names = ("actor", "what", "subject", "incident", "rule", "target", "since", "until")
    search = Search(**{name: asked.get(name) for name in names})
    with services().store.transaction() as tx:
        rows = find_events(tx, search, **lists.before(asked))
    items = [
        {name: value for name, value in lists.plain(row).items() if name != "filed_at"}
        for row in rows
    ]
    return lists.listed(items, rows, asked, search.orders_by)


@endpoints.get("/audit/verify", role="viewer", query=Asked, answers={200: Proof})
def verify_audit(asked: dict[str, Any]) -> Response:
    """Verify in place the newest seals, or one incident's events and rows.

    All of it, and the copies outside: `responder audit verify`.
    """
    settings = services().settings.seal
    with services().store.transaction() as tx:
        if "incident" in asked:
            report = verify_incident(tx, settings, asked["incident"])
        else:
            report = verify_newest(tx, settings)
    return jsonify(report.to_json())
