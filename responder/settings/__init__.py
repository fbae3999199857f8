"""responder.toml -> frozen settings; every mistake at once, each with its key, no secret in any."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

from marshmallow import ValidationError
from marshmallow.exceptions import SCHEMA

from responder.domain.hours import Hours
from responder.domain.redaction import Redaction
from responder.domain.secret import Secret, SecretMissing
from responder.domain.settings import Receiver, Route, Settings
from responder.domain.signing import sign
from responder.settings.levels import join
from responder.settings.mentions import mistaken_mentions
from responder.settings.receivers import RECEIVER_TYPES
from responder.settings.schema import FileKeys
from responder.settings.sources import SOURCE_TYPES
from responder.store.vault import read_key

__all__ = [
    "RECEIVER_TYPES",
    "SOURCE_TYPES",
    "SettingsWrong",
    "load",
    "read",
    "secrets_of",
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
    mistakes = [f"{reduce(_joined, way, '')}: {why}" for way, why in mistaken_mentions(written)]
    try:
        loaded = FileKeys().load(written)
    except ValidationError as error:
        mistakes = [*_lines(error.messages), *mistakes]
    if mistakes:
        raise SettingsWrong(origin, mistakes) from None
    receivers = loaded.pop("receivers", {})
    routes = loaded.pop("routes", ()) or _default_routes(receivers)
    last_resort = loaded.pop("last_resort", {}).get("receivers")
    digest = loaded.pop("digest", {}).get("receivers")
    written = loaded.pop("contacts", {}).values()
    contacts, mailed = join(written, receivers, loaded.get("business_hours", Hours()))
    redact = loaded.pop("redact", Redaction())
    targets = loaded.pop("targets", {})
    return Settings(
        **loaded,
        redact=redact,
        targets={name: replace(each, redact=redact) for name, each in targets.items()},
        receivers={**receivers, **mailed},
        contacts=contacts,
        routes=routes,
        last_resort=last_resort,
        digest=digest,
    )


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


def _default_routes(receivers: Mapping[str, Receiver]) -> tuple[Route, ...]:
    """Pagers wake, the others hear of all; the pipeline decides which P2 or P3 is worth waking."""
    pagers = tuple(each.name for each in receivers.values() if each.type == "pagerduty")
    others = tuple(each.name for each in receivers.values() if each.type != "pagerduty")
    routes = (Route(pagers, page=True), Route(others))
    return tuple(route for route in routes if route.receivers)


def unreadable_secrets(settings: Settings) -> list[str]:
    """A line for each secret that cannot be used now: its key and why."""
    signing = dict.fromkeys(_signing(settings), lambda value: sign(value, "", "", b""))
    trials: Mapping[str, Callable[[str], object]] = {"vault.keys": read_key, **signing}
    return [
        line
        for key, secret in secrets_of(settings)
        for line in _unusable(key, secret, trials.get(key, str))
    ]


def _unusable(key: str, secret: Secret, trial: Callable[[str], object]) -> Iterator[str]:
    for reference in secret.references:
        try:
            for value in Secret((reference,)).values():
                trial(value)
        except SecretMissing as error:
            yield f"{key}: {error}"
        except ValueError as error:
            yield f"{key}: {reference}: {error}"


def _signing(settings: Settings) -> set[str]:
    """The keys of secrets that sign by Standard Webhooks, which not every text can."""
    sources = [name for name, source in settings.sources.items() if source.type == "generic"]
    hooks = [name for name, each in settings.receivers.items() if each.type == "webhook"]
    return {f"sources.{name}.secret" for name in sources} | {
        f"receivers.{name}.secret" for name in hooks
    }


def secrets_of(settings: Settings) -> Iterator[tuple[str, Secret]]:
    """Every secret that is configured, with its key in the file."""
    found: list[tuple[str, Secret | None]] = [
        ("database", settings.database),
        ("token_keys", settings.token_keys),
        ("vault.keys", settings.vault.keys),
    ]
    for name, source in settings.sources.items():
        found.append((f"sources.{name}.bearer", source.bearer))
        found.append((f"sources.{name}.basic.password", source.basic_password))
        found.append((f"sources.{name}.secret", source.secret))
        found.append((f"sources.{name}.token", source.token))
    for name, target in settings.targets.items():
        found.append((f"targets.{name}.reading", target.reading))
        found.append((f"targets.{name}.writing", target.writing))
        found.append((f"targets.{name}.direct_url", target.direct_url))
    for name, receiver in settings.receivers.items():
        if name.startswith("contacts."):
            continue  # its password is that of the receiver whose server it uses
        key = _SECRET_KEYS.get(receiver.type, "secret")
        found.append((f"receivers.{name}.{key}", receiver.secret))
    if settings.dead_man is not None:
        found.append(("dead_man.url", settings.dead_man.url))
    found.append(("login.client_secret", settings.login.client_secret))
    if settings.seal is not None:
        found.append(("seal.key", settings.seal.key))
    return ((key, secret) for key, secret in found if secret)
