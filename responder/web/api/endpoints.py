"""How an endpoint is declared; what is declared guards it, reads for it and documents it."""

from collections.abc import Callable, Mapping, Sequence
from inspect import cleandoc
from typing import Any, NoReturn, Required, TypedDict, TypeVar, Unpack

from flask import Request, current_app
from flask_smorest import Blueprint
from marshmallow import EXCLUDE, RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import UnsupportedMediaType

from responder.pipeline.services import Services
from responder.sources import NotUnderstood, Unreadable, read_json
from responder.web.api.schemas import described, described_problems
from responder.web.guard import require
from responder.web.reading import whole_body

Call = Callable[..., Any]
View = TypeVar("View", bound=Call)


class Declared(TypedDict, total=False):
    """What is said of an endpoint.

    role: who may call it, None for everybody. query, body, headers: what is read; each is checked
    by its schema and handed to the view, in this order, before the parts of the path.
    answers: by status, of several kinds one each time; documented only, what the view returns
    leaves as it is.
    problems: the reasons that the view itself may raise; the others follow from the rest.
    also: more of OpenAPI's operation object, merged into it; a status is a number.
    """

    role: Required[str | None]
    answers: Required[Mapping[int, type[Schema] | tuple[type[Schema], ...]]]
    query: type[Schema]
    body: type[Schema]
    headers: type[Schema]
    problems: Sequence[str]
    also: Mapping[str, Any]


class _Parser(FlaskParser):
    """Reads what a caller sent; what is wrong with it leaves as one of our problems."""

    def load_json(self, req: Request, schema: Schema) -> Any:
        body = whole_body()
        if not body:
            return {}
        if not req.is_json:
            raise UnsupportedMediaType("send application/json")
        try:
            return read_json(body)
        except NotUnderstood as error:
            raise Unreadable(str(error)) from None

    def handle_error(
        self, error: ValidationError, req: Request, schema: Schema, **_: Any
    ) -> NoReturn:
        (messages,) = error.messages_dict.values()
        raise ValidationError(messages)


class Endpoints(Blueprint):  # type: ignore[misc]
    """The endpoints of one subject, under /v1."""

    ARGUMENTS_PARSER = _Parser()

    def __init__(self, subject: str, description: str) -> None:
        super().__init__(subject, __name__, url_prefix="/v1", description=description)

    def get(self, path: str, **declared: Unpack[Declared]) -> Callable[[View], View]:
        return self._endpoint("GET", path, declared)

    def post(self, path: str, **declared: Unpack[Declared]) -> Callable[[View], View]:
        return self._endpoint("POST", path, declared)

    def put(self, path: str, **declared: Unpack[Declared]) -> Callable[[View], View]:
        return self._endpoint("PUT", path, declared)

    def delete(self, path: str, **declared: Unpack[Declared]) -> Callable[[View], View]:
        return self._endpoint("DELETE", path, declared)

    def _endpoint(self, method: str, path: str, declared: Declared) -> Callable[[View], View]:
        def decorate(view: View) -> View:
            call = self._reading(self._answering(path, view, declared), declared)
            if declared["role"] is not None:
                call = require(declared["role"], self.name)(call)
            self.route(path, methods=[method])(call)
            return view

        return decorate

    def _answering(self, path: str, view: Call, declared: Declared) -> Call:
        answers = {
            status: _described(schemas if isinstance(schemas, tuple) else (schemas,))
            for status, schemas in declared["answers"].items()
        }
        operation: dict[str, Any] = {
            "operationId": view.__name__,
            "description": _description(view, declared),
            "responses": answers | described_problems(_reasons(path, declared)),
        }
        if declared["role"] is not None:
            operation["security"] = [{"token": [declared["role"]]}]
        documented: Call = self.doc(**declared.get("also", {}))(self.doc(**operation)(view))
        return documented

    def _reading(self, view: Call, declared: Declared) -> Call:
        """What is wrapped last is read first, and comes first among the view's arguments."""
        read = {
            "headers": declared.get("headers"),
            "json": declared.get("body"),
            "query": declared.get("query"),
        }
        for location, schema in read.items():
            if schema is not None:
                required = any(field.required for field in schema().fields.values())
                view = self.arguments(
                    schema,
                    location=location,
                    required=required,
                    unknown=EXCLUDE if location == "headers" else RAISE,
                    error_status_code=400,
                )(view)
        return view


def _described(schemas: tuple[type[Schema], ...]) -> dict[str, Any]:
    told = " Or: ".join(schema.__doc__ or "OK" for schema in schemas)
    return described({"oneOf": list(schemas)} if len(schemas) > 1 else schemas[0], told)


def _reasons(path: str, declared: Declared) -> list[str]:
    """The problems of an endpoint: those it names, and those that follow from what it declares."""
    reasons = list(declared.get("problems", ()))
    if "<uuid:" in path or "<int:" in path:
        reasons.append("not_found")
    if declared["role"] is not None:
        reasons += ["unauthenticated", "forbidden"]
    if declared.keys() & {"query", "body", "headers"}:
        reasons.append("wrong_parameters")
    if "body" in declared:
        reasons += ["not_json", "too_large", "wrong_media_type"]
    return [*reasons, "unavailable"]


def _description(view: Call, declared: Declared) -> str:
    more = cleandoc(view.__doc__ or "").partition("\n\n")[2]
    role = declared["role"]
    needed = (
        f"Needs a token of the role `{role}` or a higher one." if role else "Open to everybody."
    )
    return f"{more}\n\n{needed}".strip()


def services() -> Services:
    """The services of this process."""
    found: Services = current_app.extensions["responder"]
    return found
