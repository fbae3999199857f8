"""Logging in to the console, and out."""

from flask import Response, current_app, g, request

from responder.web import sessions
from responder.web.console.pages import Pages, back_to, go_to, own_path, services, show
from responder.web.problems import Problem
from responder.web.tokens import TokenKeys, not_revoked


def register(pages: Pages) -> None:
    """Everybody may come to the door."""

    @pages.read("/login", role=None)
    def login() -> Response:
        if g.session is not None:
            return go_to(own_path(request.args.get("next")))
        return show("login", next=own_path(request.args.get("next")), wrong="")

    @pages.change("/login", role=None)
    def log_in() -> Response:
        wanted = own_path(request.form.get("next"))
        keys: TokenKeys = current_app.extensions["responder.token_keys"]
        try:
            caller = not_revoked(keys.caller(request.form.get("token", "").strip()))
        except Problem as problem:
            return show("login", 401, next=wanted, wrong=problem.detail)
        response = go_to(wanted)
        sessions.keep_cookie(services(), response, sessions.begin(services(), caller))
        return response

    @pages.change("/logout", role=None)
    def log_out() -> Response:
        sessions.end(services())
        response = back_to("login")
        sessions.drop_cookie(services(), response)
        return response
