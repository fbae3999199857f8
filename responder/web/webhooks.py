"""The door for senders: short, and nothing is acknowledged that is not committed."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from responder.domain.secret import SecretMissing
from responder.pipeline.accept import Accepted, Overloaded, UnknownSource, accept, refuse
from responder.pipeline.services import Services
from responder.sources import Request, TooLarge, Unauthenticated, Unreadable
from responder.store import StoreAway
from responder.web.counters import count_accepted, count_refused
from responder.web.reading import whole_body
from responder.web.waiting import Waiting, patience

webhooks = Blueprint("webhooks", __name__)

#: In the environment of a request that the door has read: why it was not accepted.
REFUSED = "responder.refused"
#: What is refused, by the reason of its problem.
_REFUSALS: dict[type[Exception], str] = {
    Unauthenticated: "unauthenticated",
    Unreadable: "not_json",
    UnknownSource: "unknown_source",
    TooLarge: "too_large",
    RequestEntityTooLarge: "too_large",
    Overloaded: "overloaded",
    StoreAway: "unavailable",
    SecretMissing: "unavailable",
}


@webhooks.route("/v1/webhooks/<source>", methods=["POST", "PUT"])
def receive(source: str) -> tuple[Response, int]:
    """202 when the delivery is committed; else a problem that fits the sender's retry rules."""
    services: Services = current_app.extensions["responder"]
    try:
        if REFUSED in request.environ:
            raise request.environ[REFUSED]
        accepted = take(services, source, _raw)
    except tuple(_REFUSALS) as refused:
        _refused(services, source, refused)
        raise
    return _answer(services, source, accepted)


def take(services: Services, source: str, read: Callable[[], Request]) -> Accepted:
    """Accept what can be read, counted and with a line in the log."""
    began = time.perf_counter()
    accepted = accept(services, source, read())
    count_accepted(accepted, source, time.perf_counter() - began)
    services.log.info(
        "delivery", source=source, delivery=str(accepted.delivery), outcome=accepted.outcome
    )
    return accepted


def _raw() -> Request:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Request(headers, whole_body(), datetime.now(UTC))


def _refused(services: Services, source: str, refused: Exception) -> None:
    """Counted exactly; a line and an audit event say so once in a while."""
    reason = next(_REFUSALS[kind] for kind in type(refused).__mro__ if kind in _REFUSALS)
    count_refused(source, reason)
    if isinstance(refused, StoreAway | SecretMissing):
        services.log.warning("nothing was kept", reason=reason, why=str(refused))
    else:
        refuse(services, source, request.remote_addr or "", reason)


def _answer(services: Services, source: str, accepted: Accepted) -> tuple[Response, int]:
    waiting: Waiting = current_app.extensions["responder.waiting"]
    wait = patience(request.headers.get("Prefer", ""), services.settings.sources[source])
    if wait is not None:
        documents = waiting.documents(services, accepted.delivery, wait)
        if documents is not None:
            answer = jsonify({"delivery": str(accepted.delivery), "incidents": documents})
            answer.headers["Preference-Applied"] = f"wait={wait.total_seconds():.0f}"
            return answer, 200
    return jsonify(told(services, accepted)), 202


def told(services: Services, accepted: Accepted) -> dict[str, Any]:
    """What the sender of a kept delivery hears."""
    base = services.settings.public_url.rstrip("/")
    return {
        "delivery": str(accepted.delivery),
        "alerts": accepted.alerts,
        "quarantined": accepted.quarantined,
        "duplicate": accepted.outcome == "duplicate",
        "links": {"self": f"{base}/v1/deliveries/{accepted.delivery}"},
    }
