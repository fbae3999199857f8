"""What several subjects answer and read; answers are described by these, never filtered."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from marshmallow import EXCLUDE, Schema, fields, validate

from responder.web.problems import REASONS, SENTENCES

#: PostgreSQL stores any text but this character.
STORABLE = validate.Regexp(r"^[^\u0000]*$", error="must not hold a NUL character")


class Answer(Schema):
    """Base of what is answered: every field is always there; a later version may add more."""

    class Meta:
        unknown = EXCLUDE


class Problem(Answer):
    """Every error, whatever went wrong (RFC 9457)."""

    type = fields.String(
        required=True,
        validate=validate.OneOf([f"urn:responder:{reason}" for reason in REASONS]),
        metadata={"description": "\n".join(f"- `{r}`: {told}" for r, told in SENTENCES.items())},
    )
    title = fields.String(required=True, metadata={"description": "The reason in words."})
    status = fields.Integer(required=True)
    detail = fields.String(required=True, metadata={"description": "For people."})
    errors = fields.Dict(metadata={"description": "What is wrong, by parameter."})
    difference = fields.Dict(
        metadata={"description": "Both decisions, `seen` and `now`, and in what it `differs`."}
    )
    fix = fields.UUID(metadata={"description": "The fix that is open."})
    run = fields.String(metadata={"description": "The command for a person to run."})


class Flag(fields.Boolean):
    """true or false, not what could be meant by it."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


def why() -> fields.String:
    """The reason that a caller gives for what they do; the audit shows it."""
    # ASCII: readers of our document take fewer characters for white space than Python does.
    something = validate.Regexp(re.compile(r"^\s*\S", re.ASCII), error="say something")
    said = [validate.Length(1, 500), something]
    return fields.String(required=True, validate=said)


def string(of: Iterable[str] | None = None, null: bool = False, told: str = "") -> fields.String:
    """A text that is always there; `of` is the closed list it comes from."""
    return fields.String(
        required=True,
        allow_none=null,
        validate=validate.OneOf([str(each) for each in of]) if of is not None else [],
        metadata={"description": told} if told else {},
    )


def integer(told: str = "") -> fields.Integer:
    """A whole number that is always there."""
    return fields.Integer(required=True, metadata={"description": told} if told else {})


def moment(null: bool = False) -> fields.DateTime:
    """A time in ISO 8601."""
    return fields.DateTime(required=True, allow_none=null)


def many(schema: type[Schema] | Schema) -> fields.List[Any]:
    return fields.List(fields.Nested(schema), required=True)


def strings() -> fields.List[str]:
    return fields.List(fields.String(), required=True)


def strings_by_name() -> fields.Dict:
    return fields.Dict(keys=fields.String(), values=fields.String(), required=True)


def anything_by_name(null: bool = False) -> fields.Dict:
    return fields.Dict(required=True, allow_none=null)


@cache
def listed(schema: type[Schema]) -> type[Schema]:
    """The schema of a list: the newest first, and where it goes on."""
    return type(
        f"{schema.__name__}List",
        (Answer,),
        {
            "items": many(schema),
            "next": string(null=True, told="The cursor of the next page; null: this is the last."),
        },
    )


def described(
    schema: Any,
    told: str = "OK",
    media_type: str = "application/json",
    headers: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """OpenAPI's response object."""
    body = {"description": told, "content": {media_type: {"schema": schema}}}
    return body | {"headers": headers} if headers else body


def described_problems(reasons: Iterable[str]) -> dict[int, dict[str, Any]]:
    """The responses of problems with these reasons, by status."""
    by_status: dict[int, list[str]] = {}
    for reason in dict.fromkeys(reasons):
        by_status.setdefault(REASONS[reason], []).append(reason)
    return {status: _described_problem(status, named) for status, named in by_status.items()}


#: What a problem says beside its body.
_HEADERS: Mapping[int, Mapping[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}},
    503: {"Retry-After": {"schema": {"type": "integer"}, "required": True}},
}


def _described_problem(status: int, reasons: Sequence[str]) -> dict[str, Any]:
    types = [f"urn:responder:{reason}" for reason in reasons]
    narrowed = {"properties": {"type": {"enum": types}, "status": {"const": status}}}
    return described(
        {"allOf": [Problem, narrowed]},
        "\n".join(f"`{reason}`: {SENTENCES[reason]}" for reason in reasons),
        "application/problem+json",
        _HEADERS.get(status),
    )
