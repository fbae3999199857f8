"""Which secrets we can make ourselves, and what is to be done at the other side of each."""

import base64
import secrets
from collections.abc import Callable

from responder.domain.ids import new_id
from responder.domain.settings import Settings
from responder.web.tokens import new_keys


def maker(settings: Settings, key: str) -> Callable[[], str] | None:
    """What makes a new version of this secret; None: somebody else makes it."""
    section, _, rest = key.partition(".")
    name, _, field = rest.partition(".")
    if key == "token_keys":
        return lambda: new_keys(new_id())
    if section == "sources" and field in ("bearer", "basic.password"):
        return _token
    if section == "sources" and field == "secret":
        return {"generic": _signing, "grafana": _token}.get(settings.sources[name].type)
    if section == "receivers" and field == "secret":
        return _signing
    return None


def other_side(settings: Settings, key: str) -> str:
    """What to do with a new version, in a sentence."""
    section, _, rest = key.partition(".")
    name, _, field = rest.partition(".")
    if key == "token_keys":
        return (
            "New tokens are signed with the new key, so bring the file to each host first; tokens"
            " of the old one open until it is retired: issue those anew that must go on."
        )
    if key == "database":
        return "Restart each process of ours, one after the other: it is read when they start."
    if section == "sources" and field != "token":
        return (
            f"Give it to whoever posts to /v1/webhooks/{name}; until then the old one opens, too."
        )
    if section == "receivers" and field == "secret":
        return (
            f"Give it to whoever checks our signatures at {settings.receivers[name].url}; our"
            " messages carry a signature of each version."
        )
    return "It is used from the next connection or message on; no restart is needed."


def _token() -> str:
    return secrets.token_urlsafe(32)


def _signing() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
