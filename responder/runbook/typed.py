"""Plain data made into our dataclasses, each value looked at: it comes from code of a rule."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
_WORDS = {str: "a text", bool: "true or false", int: "a number"}


def typed(kind: type[T], plain: object, place: str) -> T:
    """A `kind` from its fields; ValueError names the one that is missing or of another type."""
    if not isinstance(plain, Mapping):
        raise ValueError(f"{place} must be {kind.__name__}, not {_shown(plain)}")
    hints = _hints(cast(Hashable, kind))
    if plain.keys() != hints.keys():
        names = ", ".join(sorted(map(str, plain.keys() ^ hints.keys())))
        raise ValueError(f"{place} is no {kind.__name__}: {names[:200]}")
    return kind(
        **{name: _typed(hint, plain[name], f"{place}.{name}") for name, hint in hints.items()}
    )


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    return get_type_hints(kind)


def _typed(hint: Any, value: Any, place: str) -> Any:
    if hint is Any or type(value) is hint:
        return value
    if isinstance(hint, UnionType):
        return _one_of(get_args(hint), value, place)
    if isinstance(hint, type) and is_dataclass(hint):
        return typed(hint, value, place)
    if get_origin(hint) is Sequence:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{place} must be a list, not {_shown(value)}")
        (part,) = get_args(hint)
        return tuple(_typed(part, each, f"{place}[{n}]") for n, each in enumerate(value))
    if get_origin(hint) is Mapping:
        if not isinstance(value, Mapping) or not all(type(name) is str for name in value):
            raise ValueError(f"{place} must have names and values, not {_shown(value)}")
        part = get_args(hint)[1]
        return {name: _typed(part, each, f"{place}.{name}") for name, each in value.items()}
    raise ValueError(f"{place} must be {_WORDS[hint]}, not {_shown(value)}")


def _one_of(kinds: Sequence[Any], value: Any, place: str) -> Any:
    """None or the other one; or the dataclass that `kind` names."""
    if NoneType in kinds:
        (other,) = (kind for kind in kinds if kind is not NoneType)
        return None if value is None else _typed(other, value, place)
    named = {kind.__name__: kind for kind in kinds}
    fields = dict(value) if isinstance(value, Mapping) else {}
    kind = named.get(str(fields.pop("kind", "")))
    if kind is None:
        raise ValueError(f"{place} must be {', '.join(named)}, not {_shown(value)}")
    return typed(kind, fields, place)


def _shown(value: object) -> str:
    return repr(value)[:80]
