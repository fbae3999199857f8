"""Where the file names its own receivers: each must be there and able to do what is asked of it.

It looks at the text as it is written: a receiver with a mistake in it is still no unknown one.
"""

from collections.abc import Iterator, Mapping
from typing import Any

#: The way to a key: names, and places in lists.
Way = tuple[str | int, ...]
#: Types that only add to what woke somebody already.
WAKES_NOBODY = ("pagerduty_notes",)


def mistaken_mentions(written: Mapping[str, Any]) -> Iterator[tuple[Way, str]]:
    """The way to each mention that cannot stand, and why."""
    known = _if_is(dict, written.get("receivers"))
    for way, name, wakes in _mentions(written, known):
        if not isinstance(name, str):
            continue  # the schema says so
        if name not in known:
            yield way, f"there is no receiver {name!r}; known are {', '.join(known) or 'none'}"
        elif wakes and _if_is(dict, known[name]).get("type") in WAKES_NOBODY:
            yield way, f"{name!r} wakes nobody: it writes notes for those who are awake"
    yield from _circles(known)


def _mentions(
    written: Mapping[str, Any], known: Mapping[str, Any]
) -> Iterator[tuple[Way, object, bool]]:
    """Each mention: the way to it, the name, and whether it is to wake somebody."""
    for index, route in enumerate(_if_is(list, written.get("routes"))):
        names = _if_is(list, _if_is(dict, route).get("receivers"))
        wakes = _if_is(dict, route).get("page") is True
        for at, name in enumerate(names):
            yield ("routes", index, "receivers", at), name, wakes
    resort = _if_is(list, _if_is(dict, written.get("last_resort")).get("receivers"))
    for at, name in enumerate(resort):
        yield ("last_resort", "receivers", at), name, True
    for name, receiver in known.items():
        if "fallback" in _if_is(dict, receiver):
            yield ("receivers", name, "fallback"), receiver["fallback"], True


def _circles(known: Mapping[str, Any]) -> Iterator[tuple[Way, str]]:
    """Fallbacks that end where they began; each circle once."""
    told: set[str] = set()
    for name in known:
        way = [name]
        while (following := _fallback(known, way[-1])) is not None and following not in way:
            way.append(following)
        if following == name and name not in told:
            told.update(way)
            yield ("receivers", name, "fallback"), f"goes in a circle: {' -> '.join([*way, name])}"


def _fallback(known: Mapping[str, Any], name: str) -> str | None:
    following = _if_is(dict, known[name]).get("fallback")
    return following if isinstance(following, str) and following in known else None


def _if_is(kind: type[Any], value: Any) -> Any:
    return value if isinstance(value, kind) else kind()
