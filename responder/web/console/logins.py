"""Where somebody is logged in, and how they end it there."""

from flask import Response, g, request
from marshmallow import EXCLUDE, Schema, fields

from responder.web import sessions
from responder.web.console.pages import Pages, back_to, services, show


class _Ended(Schema):
    id = fields.List(fields.UUID(), required=True)


def register(pages: Pages) -> None:
    """For everybody, about themselves alone."""

    @pages.read("/sessions")
    def own_sessions() -> Response:
        return show("sessions", rows=sessions.of(services(), g.caller.name))

    @pages.change("/sessions/end", role="viewer")
    def end_own_sessions() -> Response:
        told = {"id": request.form.getlist("id")}
        sessions.end_these(services(), g.caller, _Ended(unknown=EXCLUDE).load(told)["id"])
        return back_to("own_sessions")
