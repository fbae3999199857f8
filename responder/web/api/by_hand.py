"""The views that are plain Flask, described by hand: the door for senders, health, these pages."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from apispec import APISpec
from flask import Flask
from marshmallow import fields

from responder.web.api.incident_document import IncidentDocument
from responder.web.api.schemas import Answer, described, described_problems, many, string

#: How senders prove who they are; `[sources.<name>]` in responder.toml says which of them holds.
_SENDERS: Mapping[str, Mapping[str, str]] = {
    "sender_bearer": {"type": "http", "scheme": "bearer"},
    "sender_basic": {"type": "http", "scheme": "basic"},
    "standard_webhooks": {"type": "apiKey", "in": "header", "name": "webhook-signature"},
    "grafana": {"type": "apiKey", "in": "header", "name": "X-Grafana-Alerting-Signature"},
    "pagerduty": {"type": "apiKey", "in": "header", "name": "X-PagerDuty-Signature"},
}


class DeliveryLinks(Answer):
    self = string()


class Accepted(Answer):
    """The delivery is committed; what becomes of it can be asked for."""

    delivery = fields.UUID(required=True)
    alerts = fields.Integer(required=True)
    quarantined = fields.Integer(required=True)
    duplicate = fields.Boolean(required=True)
    links = fields.Nested(DeliveryLinks, required=True)


class Answered(Answer):
    """The delivery is committed, and what became of it."""

    delivery = fields.UUID(required=True)
    incidents = many(IncidentDocument)


class Health(Answer):
    status = string()


class Alive(Health):
    version = string()


_APPLIED = {"Preference-Applied": {"schema": {"type": "string"}, "required": True}}
_WEBHOOK: Mapping[str, Any] = {
    "tags": ["webhooks"],
    "summary": "Hand in what a monitor tells.",
    "description": (
        "Authenticated by what the source's settings name. `202`: the delivery is committed, also"
        " when its payload is not understood (`quarantined`). `503`: nothing was kept."
    ),
    "security": [{name: []} for name in _SENDERS],
    "parameters": [
        {
            "in": "header",
            "name": "Prefer",
            "description": "`wait=N`: wait up to N seconds (at most 30) for the diagnosis.",
            "schema": {"type": "string"},
        },
    ],
    "requestBody": {
        "description": "The JSON of the source's type, whatever its media type is called.",
        "content": {"application/json": {"schema": {}}},
        "required": True,
    },
    "responses": {
        200: described(Answered, "Waited for, and ready in time.", headers=_APPLIED),
        202: described(Accepted, "Committed."),
        **described_problems(
            [
                *("not_json", "unauthenticated", "unknown_source", "too_large"),
                *("overloaded", "unavailable"),
            ]
        ),
    },
}
_HEALTHZ: Mapping[str, Any] = {
    "tags": ["health"],
    "summary": "This process answers.",
    "responses": {200: described(Alive)},
}
_READYZ: Mapping[str, Any] = {
    "tags": ["health"],
    "summary": "This process can keep a delivery.",
    "responses": {200: described(Health), **described_problems(["unavailable"])},
}
_METRICS: Mapping[str, Any] = {
    "tags": ["health"],
    "summary": "Prometheus metrics, counted at the moment of the scrape.",
    "description": "Needs a token of the role `viewer` or a higher one.",
    "security": [{"token": ["viewer"]}],
    "responses": {
        200: described({"type": "string"}, media_type="text/plain"),
        **described_problems(["unauthenticated", "forbidden", "unavailable"]),
    },
}
_OPENAPI: Mapping[str, Any] = {
    "tags": ["documentation"],
    "summary": "This document.",
    "responses": {200: described({"type": "object"})},
}
_DOCS: Mapping[str, Any] = {
    "tags": ["documentation"],
    "summary": "This document as a page.",
    "responses": {200: described({"type": "string"}, media_type="text/html")},
}
#: By Flask's name of the view.
_PLAIN: Mapping[str, Mapping[str, Any]] = {
    "webhooks.receive": _WEBHOOK,
    "health.healthz": _HEALTHZ,
    "health.readyz": _READYZ,
    "health.metrics": _METRICS,
    "pages.openapi": _OPENAPI,
    "pages.docs": _DOCS,
}
_TAGS: Mapping[str, str] = {
    "webhooks": "The door for senders.",
    "health": "Is it alive, is it ready, and the numbers.",
    "documentation": "The API, described by itself.",
}


def describe_plain_views(app: Flask, spec: APISpec) -> None:
    """Add them to the document; their paths are those of the application's routes."""
    for name, scheme in _SENDERS.items():
        spec.components.security_scheme(name, dict(scheme))
    for tag, told in _TAGS.items():
        spec.tag({"name": tag, "description": told})
    for view, operation in _PLAIN.items():
        (rule,) = app.url_map.iter_rules(view)
        name, methods = view.partition(".")[2], sorted(rule.methods or ())
        named = {
            method.lower(): {"operationId": f"{name}_{method}".lower(), **deepcopy(operation)}
            for method in methods
            if method not in ("HEAD", "OPTIONS")
        }
        spec.path(rule=rule, operations=named)
