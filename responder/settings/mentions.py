"""Where the file names its own receivers, contacts and issuers: each must be there and fit for it.

It looks at the text as it is written: a receiver with a mistake in it is still no unknown one.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from responder.domain.alert import OWN_SOURCE
from responder.domain.settings import OF_INCIDENTS
from responder.settings.issuers import mistaken_issuers
from responder.settings.levels import mistaken_levels

#: The way to a key: names, and places in lists.
Way = tuple[str | int, ...]
#: Types that only add to what woke somebody already.
WAKES_NOBODY = ("pagerduty_notes",)


def mistaken_mentions(written: Mapping[str, Any]) -> Iterator[tuple[Way, str]]:
    """The way to each mention that cannot stand, and why."""
    if OWN_SOURCE in _if_is(dict, written.get("sources")):
        yield ("sources", OWN_SOURCE), "is what our own alerts come from; choose another name"
    known = _if_is(dict, written.get("receivers"))
    for way, name, wakes in _mentions(written, known):
        if not isinstance(name, str):
            continue  # the schema says so
        if name not in known:
            yield way, f"there is no receiver {name!r}; known are {', '.join(known) or 'none'}"
        elif wakes and _if_is(dict, known[name]).get("type") in WAKES_NOBODY:
            yield way, f"{name!r} wakes nobody: it writes notes for those who are awake"
        elif way[0] == "digest" and _if_is(dict, known[name]).get("type") in OF_INCIDENTS:
            yield way, f"{name!r} tells of incidents alone; take a slack, an email or a webhook"
    yield from _circles(known)
    yield from _contacts(written, known)
    for place, why in mistaken_levels(written.get("levels")):
        yield ("levels", place, "level"), why
    issuers, login = _if_is(dict, written.get("issuers")), _if_is(dict, written.get("login"))
    yield from mistaken_issuers(issuers, login)


def _mentions(
    written: Mapping[str, Any], known: Mapping[str, Any]
) -> Iterator[tuple[Way, object, bool]]:
    """Each mention: the way to it, the name, and whether it is to wake somebody."""
    for index, route in enumerate(_if_is(list, written.get("routes"))):
        names = _if_is(list, _if_is(dict, route).get("receivers"))
        wakes = _if_is(dict, route).get("page") is True
        for at, name in enumerate(names):
            yield ("routes", index, "receivers", at), name, wakes
    for index, level in enumerate(_if_is(list, written.get("levels"))):
        for at, name in enumerate(_if_is(list, _if_is(dict, level).get("receivers"))):
            yield ("levels", index, "receivers", at), name, True
    for contact, keys in _if_is(dict, written.get("contacts")).items():
        for at, name in enumerate(_if_is(list, _if_is(dict, keys).get("receivers"))):
            yield ("contacts", contact, "receivers", at), name, True
    resort = _if_is(list, _if_is(dict, written.get("last_resort")).get("receivers"))
    for at, name in enumerate(resort):
        yield ("last_resort", "receivers", at), name, True
    digest = _if_is(list, _if_is(dict, written.get("digest")).get("receivers"))
    for at, name in enumerate(digest):
        yield ("digest", "receivers", at), name, False
    for name, receiver in known.items():
        if "fallback" in _if_is(dict, receiver):
            yield ("receivers", name, "fallback"), receiver["fallback"], True


def _contacts(written: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[tuple[Way, str]]:
    """Contacts that are not there, and addresses that no server sends to."""
    contacts = _if_is(dict, written.get("contacts"))
    for index, level in enumerate(_if_is(list, written.get("levels"))):
        for at, name in enumerate(_if_is(list, _if_is(dict, level).get("contacts"))):
            if isinstance(name, str) and name not in contacts:
                why = f"there is no contact {name!r}; known are {', '.join(contacts) or 'none'}"
                yield ("levels", index, "contacts", at), why
    if not any(_if_is(dict, each).get("type") == "email" for each in known.values()):
        for name, keys in contacts.items():
            if "email" in _if_is(dict, keys):
                why = "needs a receiver of type email, whose server sends to this address"
                yield ("contacts", name, "email"), why


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
