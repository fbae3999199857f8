"""What the address of a page asks for: each state of a page is a link."""

from typing import Any

from flask import request
from marshmallow import EXCLUDE, Schema


def asked_for(schema: type[Schema]) -> dict[str, Any]:
    """The filters in the address; an empty field filters nothing. ValidationError."""
    said = {name: value for name, value in request.args.items() if value.strip()}
    found: dict[str, Any] = schema(unknown=EXCLUDE).load(said)
    return found
