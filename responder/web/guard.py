"""Who may do what: the caller of a request, and the trail of those who were denied."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Flask, Response, current_app, g, request

from responder.domain.actor import Actor, ActorKind, may
from responder.domain.denial import Denial
from responder.pipeline.refusals import record_refusal
from responder.pipeline.services import Services
from responder.web.callers import Denied, admitted
from responder.web.counters import count_denied
from responder.web.issuers import Issuers
from responder.web.problems import problem

P = ParamSpec("P")
R = TypeVar("R")

#: It has a trail of its own: senders are no people.
_SENDERS = "webhooks"


def require(role: str, subject: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A view that only callers of this role or a higher one may use; they are in `g.caller`.

    subject: what a token's scope must name, if it has one.
    """

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not token:
                raise Denied(Denial.NO_TOKEN, "send Authorization: Bearer <token>")
            services: Services = current_app.extensions["responder"]
            g.caller = caller = admitted(services, issuers().caller(token.strip()))
            if not may(caller.role, role):
                raise Denied(Denial.ROLE, f"this needs the role {role}")
            if caller.scope is not None and subject not in caller.scope:
                raise Denied(Denial.SCOPE, f"the token's scope does not name {subject}")
            return view(*args, **kwargs)

        return guarded

    return decorate


def issuers() -> Issuers:
    """Whoever vouches for people, with what this process knows of their keys."""
    found: Issuers = current_app.extensions["responder.issuers"]
    return found


def note_denial(denied: Denied) -> None:
    """Whoever answers a denial itself says so here."""
    g.denied = denied


def watch_denials(app: Flask) -> None:
    """Each denied attempt is counted, and audited once a minute."""

    @app.errorhandler(Denied)
    def denied(error: Denied) -> Response:
        note_denial(error)
        return problem(error.status, error.reason, error.detail)

    @app.after_request
    def noted(response: Response) -> Response:
        denied: Denied | None = g.get("denied")
        refused = denied or response.status_code in (401, 403)
        if refused and request.blueprint != _SENDERS:
            _record(denied)
        return response


def _record(denied: Denied | None) -> None:
    """A view that says 403 by itself means the caller's role."""
    why = denied.why if denied else Denial.ROLE
    subject = request.blueprint or "unknown"
    count_denied(subject, why)
    caller = g.get("caller")
    who = denied.who if denied and denied.who else caller.name if caller else "unknown"
    record_refusal(
        current_app.extensions["responder"],
        "denied",
        Actor(ActorKind.PERSON, who),
        f"door {subject}",
        request.remote_addr or "",
        why,
        asked_for=ascii(f"{request.method} {request.path}"[:100]),
    )
