"""Which rule would answer a payload, and why not another one."""

from datetime import UTC, datetime

from flask import Response, jsonify
from marshmallow import fields

from responder.domain.alert import AlertStatus
from responder.domain.decision import Reason
from responder.domain.severity import Severity
from responder.pipeline.accept import parse_only
from responder.pipeline.explain import explain
from responder.web.api.endpoints import Endpoints, services
from responder.web.api.schemas import Answer, many, string, strings_by_name
from responder.web.reading import whole_body

endpoints = Endpoints("explain", "Which rule would answer a payload, and why not another one.")


class Trial(Answer):
    rule = string()
    severity = string(of=Severity)
    failed = string(null=True, told="The first condition that did not hold; null: it matches.")


class Explained(Answer):
    """An alert that was understood; what is none has `malformed` or `echo` alone."""

    malformed = fields.String(metadata={"description": "Why it would be quarantined."})
    echo = fields.Dict(metadata={"description": "What somebody did on a pager; no alert."})
    alert = string()
    fingerprint = string()
    status = string(of=AlertStatus)
    labels = strings_by_name()
    declared_severity = string(of=Severity, null=True)
    severity_word = string(null=True)
    severity = string(of=Severity)
    rule = string(null=True)
    target = string(null=True)
    key = string()
    parameters = strings_by_name()
    trouble = string(of=Reason, null=True)
    detail = string()
    rules = many(Trial)


class Explanation(Answer):
    alerts = many(Explained(partial=True))


@endpoints.post(
    "/explain/<source_name>",
    role="viewer",
    answers={200: Explanation},
    problems=["unknown_source", "not_json", "too_large", "not_understood"],
    also={
        "requestBody": {
            "description": "What the source would send; no signature is asked for.",
            "content": {"application/json": {"schema": {}}},
            "required": True,
        }
    },
)
def explain_payload(source_name: str) -> Response:
    """Which rule would answer this payload, and why not another one; touches nothing."""
    notices = parse_only(services(), source_name, whole_body(), datetime.now(UTC))
    return jsonify({"alerts": [explain(services().catalogue, notice) for notice in notices]})
