"""responder.toml -> frozen settings; every mistake at once, each with its key, no secret in any."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from marshmallow import ValidationError
from marshmallow.exceptions import SCHEMA

from responder.domain.secret import Secret, SecretMissing
from responder.domain.settings import Receiver, Route, Settings
from responder.settings.schema import RECEIVER_TYPES, SOURCE_TYPES, FileKeys

__all__ = [
    "RECEIVER_TYPES",
    "SOURCE_TYPES",
    "SettingsWrong",
    "load",
    "read",
    "unreadable_secrets",
]

#: What a receiver's secret is called in the file.
_SECRET_KEYS = {
    "pagerduty": "routing_key",
    "pagerduty_notes": "token",
    "slack": "webhook_url",
    "email": "password",
}
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class SettingsWrong(Exception):
    """The operator must change the settings; each line of `mistakes` starts with its key."""

    def __init__(self, origin: str, mistakes: list[str]) -> None:
        super().__init__("\n  ".join([f"{origin} cannot be used:", *mistakes]))
        self.mistakes = mistakes


def load(path: Path) -> Settings:
    """The settings in this file; SettingsWrong with every mistake."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        wrong = "there is no such file; give another one with --config or RESPONDER_CONFIG"
    except UnicodeDecodeError:
        wrong = "is not UTF-8 text"
    except OSError as error:
        wrong = f"cannot be read: {error.strerror}"
    else:
        return read(text, str(path))
    raise SettingsWrong(str(path), [f"{path}: {wrong}"])


def read(text: str, origin: str) -> Settings:
    """The settings in this text; SettingsWrong with every mistake. origin: where the text is from.

    Without the cause attached, which holds the whole file: a secret may stand in it by mistake.
    """
    try:
        written = tomllib.loads(text)
    except ValueError as error:
        raise SettingsWrong(origin, [f"{origin}: not TOML: {error}"]) from None
    except RecursionError:
        raise SettingsWrong(origin, [f"{origin}: brackets in brackets, too deep"]) from None
    mistakes = list(_unknown_receivers(written))
    try:
        loaded = FileKeys().load(written)
    except ValidationError as error:
        mistakes = [*_lines(error.messages), *mistakes]
    if mistakes:
        raise SettingsWrong(origin, mistakes) from None
    routes = loaded.pop("routes", ()) or _default_routes(loaded.get("receivers", {}))
    last_resort = loaded.pop("last_resort", {}).get("receivers")
    return Settings(**loaded, routes=routes, last_resort=last_resort)


def _lines(found: Any, key: str = "") -> Iterator[str]:
    """marshmallow's tree of messages as lines; a name that is no bare key of TOML is quoted."""
    if not isinstance(found, dict):
        # Without a key only if the file has one with marshmallow's own name for the whole.
        yield from (f"{key or SCHEMA}: {message}" for message in found)
        return
    for part, inner in found.items():
        yield from _lines(inner, key if part == SCHEMA else _joined(key, part))


def _joined(key: str, part: str | int) -> str:
    if isinstance(part, int):
        return f"{key}[{part}]"
    quoted = part if _BARE_KEY.fullmatch(part) else json.dumps(part)
    return f"{key}.{quoted}" if key else quoted


def _unknown_receivers(written: Mapping[str, Any]) -> Iterator[str]:
    """On the text as written: a receiver with a mistake in it is still no unknown one."""
    known = _if_is(dict, written.get("receivers"))
    names = ", ".join(known) or "none"
    for key, name in _named_receivers(written):
        if isinstance(name, str) and name not in known:
            yield f"{key}: there is no receiver {name!r}; known are {names}"
    for name, receiver in known.items():
        if _if_is(dict, receiver).get("fallback") == name:
            yield f"receivers.{name}.fallback: must be another receiver"


def _named_receivers(written: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    lists = [
        (f"routes[{index}].receivers", _if_is(dict, route).get("receivers"))
        for index, route in enumerate(_if_is(list, written.get("routes")))
    ]
    resort = _if_is(dict, written.get("last_resort")).get("receivers")
    for key, names in [*lists, ("last_resort.receivers", resort)]:
        yield from ((f"{key}[{place}]", name) for place, name in enumerate(_if_is(list, names)))
    for name, receiver in _if_is(dict, written.get("receivers")).items():
        if "fallback" in _if_is(dict, receiver):
            yield f"receivers.{name}.fallback", receiver["fallback"]


def _if_is(kind: type[Any], value: Any) -> Any:
    return value if isinstance(value, kind) else kind()


def _default_routes(receivers: Mapping[str, Receiver]) -> tuple[Route, ...]:
    """Pagers wake, the others hear of all; the pipeline decides which P2 or P3 is worth waking."""
    pagers = tuple(each.name for each in receivers.values() if each.type == "pagerduty")
    others = tuple(each.name for each in receivers.values() if each.type != "pagerduty")
    routes = (Route(pagers, page=True), Route(others))
    return tuple(route for route in routes if route.receivers)


def unreadable_secrets(settings: Settings) -> list[str]:
    """A line for each secret that cannot be read now: its key and why."""
    return [line for key, secret in _secrets(settings) for line in _unreadable(key, secret)]


def _unreadable(key: str, secret: Secret) -> Iterator[str]:
    for reference in secret.references:
        try:
            Secret((reference,)).value()
        except SecretMissing as error:
            yield f"{key}: {error}"


def _secrets(settings: Settings) -> Iterator[tuple[str, Secret]]:
    found: list[tuple[str, Secret | None]] = [
        ("database", settings.database),
        ("token_keys", settings.token_keys),
    ]
    for name, source in settings.sources.items():
        found.append((f"sources.{name}.bearer", source.bearer))
        found.append((f"sources.{name}.basic.password", source.basic_password))
        found.append((f"sources.{name}.secret", source.secret))
        found.append((f"sources.{name}.token", source.token))
    for name, target in settings.targets.items():
        found.append((f"targets.{name}.reading", target.reading))
        found.append((f"targets.{name}.writing", target.writing))
    for name, receiver in settings.receivers.items():
        key = _SECRET_KEYS.get(receiver.type, "secret")
        found.append((f"receivers.{name}.{key}", receiver.secret))
    if settings.dead_man is not None:
        found.append(("dead_man.url", settings.dead_man.url))
    return ((key, secret) for key, secret in found if secret)
