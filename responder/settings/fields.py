"""How values stand together in responder.toml, so that every mistake is found and keeps its key."""

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from marshmallow import RAISE, Schema, ValidationError, fields
from marshmallow.exceptions import SCHEMA
from marshmallow.validate import Length

from responder.settings.values import one_of

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_WORDS: dict[str, Any] = {
    "required": "missing; this key must be written",
    "invalid": "must be a list, [...]",
    "type": "must be a table, a [heading] with its keys below",
    "unknown": "unknown key",
}

#: Of a list that is not worth writing without an element.
FILLED = Length(min=1, error="must not be empty")

Key = TypeVar("Key", bound=Hashable)


class Value(fields.Field[Any]):
    """A key whose value one of the readers of `values` understands."""

    default_error_messages = _WORDS

    def __init__(self, read: Callable[[object], Any], **options: Any) -> None:
        super().__init__(**options)
        self.read = read

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            return self.read(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class Table(fields.Nested):
    """A table with fixed keys."""

    default_error_messages = _WORDS


class Items(fields.Field[Any]):
    """A list; its mistakes carry their index."""

    default_error_messages = _WORDS

    def __init__(self, inner: fields.Field[Any], **options: Any) -> None:
        super().__init__(**options)
        self.inner = inner

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        return tuple(_each(enumerate(value), lambda _, item: self.inner.deserialize(item)).values())


class Named(fields.Field[Any]):
    """A table whose keys the operator chooses; with `make`, they are names: [sources.<name>]."""

    default_error_messages = _WORDS

    def __init__(
        self, inner: fields.Field[Any], make: Callable[..., Any] | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.inner, self.make = inner, make

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise self.make_error("type")
        return _each(value.items(), self._entry)

    def _entry(self, name: str, item: object) -> Any:
        if self.make is None:
            return self.inner.deserialize(item)
        if not isinstance(item, dict):
            raise self.make_error("type")
        mistakes: dict[str, Any] = {}
        try:
            loaded = self.inner.deserialize(item)
        except ValidationError as error:
            mistakes = error.messages_dict
        if not NAME.fullmatch(name):
            wrong = "not a name; write a-z, 0-9, _ and -, with a letter or digit first"
            mistakes.setdefault(SCHEMA, []).append(wrong)
        if mistakes:
            raise ValidationError(mistakes)
        return self.make(name=name, **loaded)


class ByType(fields.Field[Any]):
    """A table whose other keys depend on its key `type`."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        super().__init__()
        self.tables = tables

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            kind = one_of(self.tables)(value.get("type"))
        except ValueError as error:
            raise ValidationError({"type": [str(error)]}) from None
        return self.tables[kind].deserialize(value)


def _each(pairs: Iterable[tuple[Key, Any]], read: Callable[[Key, Any], Any]) -> dict[Key, Any]:
    loaded, mistakes = {}, {}
    for key, item in pairs:
        try:
            loaded[key] = read(key, item)
        except ValidationError as error:
            mistakes[key] = error.messages
    if mistakes:
        raise ValidationError(mistakes)
    return loaded


class Keys(Schema):
    """The fixed keys of one table; any other is a mistake that names the key probably meant."""

    error_messages = _WORDS

    class Meta:
        unknown = RAISE

    @property
    def names(self) -> list[str]:
        """The keys as they are written in the file."""
        return [field.data_key or name for name, field in self.fields.items()]

    def handle_error(self, error: ValidationError, data: Any, **kwargs: Any) -> None:
        mistakes, names = error.messages_dict, self.names
        for key in mistakes.keys() - {*names, SCHEMA}:
            close = get_close_matches(key, names, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"
            mistakes[key] = [f"unknown key; {hint}"]
