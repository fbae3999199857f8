"""The API's description of itself: OpenAPI 3.1 at /openapi.json, and as a page at /docs."""

from collections.abc import Iterable

from apispec import APISpec
from flask import Blueprint, Flask, Response, current_app, jsonify
from flask_smorest import Api

from responder import __version__
from responder.web.api.by_hand import describe_plain_views
from responder.web.api.endpoints import Endpoints
from responder.web.api.maintenance import ItemRequest

pages = Blueprint("pages", __name__)

#: The page's own files and this process, nothing else.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; font-src 'self'; frame-ancestors 'none'; base-uri 'none';"
    " form-action 'none'"
)
_ABOUT = """\
Everything under `/v1` but the webhooks needs `Authorization: Bearer <token>` of a role:
`viewer` < `operator` < `admin` (`responder token issue --name NAME --role ROLE`, or the token of
an issuer that is configured).

Every error is `application/problem+json`; its `type` is `urn:responder:<reason>`. Lists are
`{"items": [...], "next": cursor or null}`, newest first.
"""


class _Api(Api):  # type: ignore[misc]
    """flask-smorest's, without its own errors and paging: ours are `problems` and `lists`."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """`problems.install` has done it."""

    def _register_responses(self) -> None:
        """Each endpoint describes its own."""

    def _register_pagination_header(self) -> None:
        """The cursor is in the body."""


def describe(app: Flask, subjects: Iterable[Endpoints]) -> None:
    """Register the endpoints of the API, each with its description."""
    named = {"title": "responder", "version": __version__, "openapi_version": "3.1.0"}
    api = _Api(app, spec_kwargs={**named, "info": {"description": _ABOUT}})
    token = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    api.spec.components.security_scheme("token", token)
    api.spec.components.schema(ItemRequest.__name__, schema=ItemRequest)  # a field refers to it
    for endpoints in subjects:
        api.register_blueprint(endpoints)
    describe_plain_views(app, api.spec)
    app.extensions["responder.openapi"] = api.spec


@pages.get("/openapi.json")
def openapi() -> Response:
    """This document."""
    spec: APISpec = current_app.extensions["responder.openapi"]
    return jsonify(spec.to_dict())


@pages.get("/docs")
def docs() -> Response:
    """This document as a page."""
    page = current_app.send_static_file("docs/index.html")
    page.headers["Content-Security-Policy"] = _PAGE_POLICY
    return page
