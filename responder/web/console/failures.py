"""What goes wrong in the console is a page, too: what it was, what was written, and the way on."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from flask import Response, current_app, g, request, url_for
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from responder.domain.secret import SecretMissing
from responder.store import StoreAway
from responder.web.callers import Denied
from responder.web.console.pages import Pages, harden, show
from responder.web.console.sentences import listed
from responder.web.console.words import here
from responder.web.guard import note_denial
from responder.web.problems import RETRY_AFTER, Problem, http_problem
from responder.web.published import IssuerAway


def install(pages: Pages) -> None:
    """Errors of its views, and of addresses under it that are no page's."""
    for kind, handler in _ERRORS.items():
        pages.register_error_handler(kind, handler)
    for unknown in (NotFound, MethodNotAllowed):
        pages.app_errorhandler(unknown)(_no_page)


def _failed(status: int, detail: str) -> Response:
    """What went wrong, what somebody wrote that is not kept, and where they go on."""
    response = show(
        "failed",
        status,
        title=HTTPStatus(status).phrase,
        detail=detail,
        written=g.get("written", []),
        way=_way_on(status),
    )
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


def _way_on(status: int) -> tuple[str, str] | None:
    """The text and the address of a link."""
    page = _page_above(request.path)
    if status == HTTPStatus.UNAUTHORIZED:
        return "Log in", url_for("console.login", next=page)
    if status == HTTPStatus.SERVICE_UNAVAILABLE and request.method == "GET":
        return "Try again", here()
    if page != request.path or request.query_string:
        return "Back to the page", page
    return None


def _page_above(path: str) -> str:
    """The page of a form's address, which is the nearest above it."""
    known = current_app.url_map.bind("")
    while path.startswith("/console/"):
        if known.test(path, "GET"):
            return path
        path = path.rpartition("/")[0]
    return url_for("console.now")


def _no_page(error: HTTPException) -> Response:
    """An address that nobody has: for people a page, for programs a problem."""
    if not request.path.startswith("/console/"):
        return http_problem(error)
    return harden(_failed(error.code or 404, "There is no such page."))


def _wrong(error: ValidationError) -> Response:
    where = "address" if request.method == "GET" else "form"
    names = listed(sorted(error.normalized_messages()))  # type: ignore[no-untyped-call]
    return _failed(400, f"Something in the {where} is missing or wrong: {names}.")


def _denied(denied: Denied) -> Response:
    note_denial(denied)
    return _failed(denied.status, denied.detail)


def _away(_: Exception) -> Response:
    return _failed(503, "Our database does not answer. Nothing was changed; try again.")


_ERRORS: Mapping[type[Exception], Callable[[Any], Response]] = {
    Denied: _denied,
    IssuerAway: lambda error: _failed(503, f"{error}; try again."),
    Problem: lambda error: _failed(error.status, error.detail),
    ValidationError: _wrong,
    HTTPException: lambda error: _failed(error.code or 500, error.description or error.name),
    StoreAway: _away,
    SecretMissing: _away,
}
