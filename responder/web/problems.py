"""Errors as `application/problem+json` (RFC 9457); `type` is `urn:responder:<reason>`."""

import secrets
from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any

from flask import Flask, Response, jsonify
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from responder.domain.secret import SecretMissing
from responder.pipeline.accept import Overloaded, UnknownSource
from responder.sources import NotUnderstood, TooLarge, Unauthenticated, Unreadable
from responder.store import StoreAway
from responder.web.published import IssuerAway

#: How long a sender is asked to wait when we cannot keep its delivery, in seconds.
RETRY_AFTER = range(3, 9)


class Problem(Exception):
    """An error that the caller must mend; `reason` is one of the closed list in `REASONS`."""

    def __init__(self, status: int, reason: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.reason, self.detail, self.more = status, reason, detail, more


#: The closed list of problem types.
REASONS = {
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "unknown_source": 404,
    "not_json": 400,
    "wrong_parameters": 400,
    "not_understood": 422,
    "too_large": 413,
    "wrong_media_type": 415,
    "conflict": 409,
    "stale": 409,
    "not_possible": 409,
    "key_reused": 409,
    "overloaded": 503,
    "busy": 503,
    "unavailable": 503,
    "http": 0,
}

#: What a caller reads of them in the documentation; one sentence a reason.
SENTENCES = {
    "unauthenticated": "There is no valid credential in the request.",
    "forbidden": "The token's role or scope does not allow it, or gives no role at all.",
    "not_found": "There is no such thing, or no such path.",
    "unknown_source": "No source of this name is configured.",
    "not_json": "The body is not JSON that we can read.",
    "wrong_parameters": "A parameter is missing, unknown or wrong; `errors` says which.",
    "not_understood": "The body is JSON, but not of the shape that the source sends.",
    "too_large": "The body is longer than `max_body`.",
    "wrong_media_type": "The body is not declared as `application/json`.",
    "conflict": "What was asked for does not fit what is there by now.",
    "stale": "The decision that was looked at does not stand any more; see `difference`.",
    "not_possible": "It cannot be done here, now or at all; `detail` says why.",
    "key_reused": "Another request was made under this Idempotency-Key.",
    "overloaded": "The source has sent more than its `per_minute`; send it again.",
    "busy": "More comes than we can take; send it again after `Retry-After` seconds.",
    "unavailable": "Nothing was kept or changed; ask again after `Retry-After` seconds.",
    "http": "Any other answer of HTTP's own, such as 405; `title` and `detail` say more.",
}


def retry_after() -> str:
    """Of one answer; those who are sent away together do not come back together."""
    return str(secrets.choice(RETRY_AFTER))


def problem(status: int, reason: str, detail: str, **more: Any) -> Response:
    """The answer for a problem."""
    response = jsonify(
        {
            "type": f"urn:responder:{reason}",
            "title": reason.replace("_", " "),
            "status": status,
            "detail": detail,
            **more,
        }
    )
    response.status_code = status
    response.mimetype = "application/problem+json"
    if status == 503:
        response.headers["Retry-After"] = retry_after()
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="responder"'
    return response


def install(app: Flask) -> None:
    """Every error of every view leaves as a problem; nothing inside is told to the outside."""
    handlers: dict[type[Exception], Callable[[Any], Response]] = {
        Problem: lambda error: problem(error.status, error.reason, error.detail, **error.more),
        Unauthenticated: partial(_of, 401, "unauthenticated"),
        Unreadable: partial(_of, 400, "not_json"),
        NotUnderstood: partial(_of, 422, "not_understood"),
        UnknownSource: _unknown_source,
        ValidationError: _wrong_parameters,
        TooLarge: partial(_of, 413, "too_large"),
        Overloaded: _overloaded,
        IssuerAway: partial(_of, 503, "unavailable"),
        StoreAway: _away,
        SecretMissing: _away,
        HTTPException: http_problem,
    }
    for kind, handler in handlers.items():
        app.register_error_handler(kind, handler)


def _of(status: int, reason: str, error: Exception) -> Response:
    return problem(status, reason, str(error))


def _unknown_source(_: UnknownSource) -> Response:
    return problem(404, "unknown_source", "no source of this name is configured")


def _overloaded(error: Overloaded) -> Response:
    response = problem(503, "overloaded", str(error))
    response.headers["Retry-After"] = str(ceil(error.retry_after))
    return response


def _wrong_parameters(error: ValidationError) -> Response:
    return problem(400, "wrong_parameters", "see errors", errors=error.messages)


def _away(_: Exception) -> Response:
    return problem(503, "unavailable", "nothing was kept; send it again")


def http_problem(error: HTTPException) -> Response:
    """The answer for an error of HTTP's own."""
    status = error.code or 500
    reason = next((name for name, code in REASONS.items() if code == status), "http")
    response = problem(status, reason, error.description or error.name)
    for name, value in error.get_headers():  # such as Allow
        response.headers.setdefault(name, value)
    return response
