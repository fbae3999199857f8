"""The door for senders: short, and nothing is acknowledged that is not committed."""

from flask import Blueprint, Response, current_app, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from responder.pipeline.accept import UnknownSource, accept, refuse
from responder.pipeline.services import Services
from responder.sources import Request, Unauthenticated, Unreadable

webhooks = Blueprint("webhooks", __name__)


@webhooks.post("/v1/webhooks/<source>")
def receive(source: str) -> tuple[Response, int]:
    """202 when the delivery is committed; else a problem that fits the sender's retry rules."""
    services: Services = current_app.extensions["responder"]
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        raw = Request(headers, request.get_data(cache=False))
        if len(raw.body) > services.settings.max_body:
            raise RequestEntityTooLarge
        accepted = accept(services, source, raw)
    except (Unauthenticated, Unreadable, UnknownSource, RequestEntityTooLarge) as refused:
        refuse(services, source, request.remote_addr or "", type(refused).__name__)
        raise
    base = services.settings.public_url.rstrip("/")
    answer = {
        "delivery": str(accepted.delivery),
        "alerts": accepted.alerts,
        "quarantined": accepted.quarantined,
        "duplicate": accepted.outcome == "duplicate",
        "links": {"self": f"{base}/v1/deliveries/{accepted.delivery}"},
    }
    return jsonify(answer), 202
