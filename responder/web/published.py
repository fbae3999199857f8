"""The public keys of an issuer: asked for seldom, and good for hours while it is away.

A token whose key was read lately never waits for the issuer. What is kept is in this
process' memory.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from responder.domain.settings import Issuer
from responder.outbound import Undelivered, get, on_safe_way
from responder.sources import NotUnderstood, Unreadable, read_json

#: Seconds after which the keys are asked for again, and for which they open while nobody answers.
FRESH, STALE = 300.0, 12 * 3600.0
#: So long after the last asking the next caller waits for the answer: what was withdrawn in a night
#: in which nobody came must not open in the morning.
LULL = 2 * FRESH
#: At least so many seconds lie between two askings, whatever came of the first.
COOL_DOWN = 10.0
_TIMEOUT = 3.0
#: Only by these, each key by its own; a shared secret is none.
ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)


#: Bits; a shorter one can be factored by whoever has the means.
SHORTEST_RSA = 2048


class IssuerAway(Exception):
    """The issuer does not answer, so nobody can tell whether its tokens are right; try again."""


@dataclass(frozen=True)
class _Known:
    keys: Mapping[str, jwt.PyJWK] = field(default_factory=dict)
    discovery: Mapping[str, Any] = field(default_factory=dict)
    at: float = -math.inf


class Published:
    """What one issuer publishes. warn: told, with `why`, when it cannot be asked; clock: seconds
    that only go forward.
    """

    def __init__(
        self,
        issuer: Issuer,
        warn: Callable[..., object],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._issuer, self._warn, self._clock = issuer, warn, clock
        self._known = _Known()
        self._asked_at = -math.inf
        self._asking = threading.Lock()

    def key(self, key_id: str) -> jwt.PyJWK | None:
        """The key of this id, None when the issuer has none. IssuerAway."""
        if self._clock() - self._asked_at > LULL:
            self._ask_now(patience=2 * _TIMEOUT)
        found = self._current().keys.get(key_id)
        if found is not None:
            if self._clock() - self._known.at > FRESH:
                self._ask_behind()
            return found
        self._ask_now(patience=0.0 if self._current().keys else 2 * _TIMEOUT)
        return self._some().keys.get(key_id)

    def endpoint(self, name: str) -> str:
        """An address of the issuer's, as its discovery names it. IssuerAway."""
        if not self._current().discovery:
            self._ask_now(patience=2 * _TIMEOUT)
        url = self._some().discovery.get(name)
        if not isinstance(url, str) or not on_safe_way(url):
            raise IssuerAway(f"{self._issuer.name} names no {name} that can be trusted")
        return url

    def _current(self) -> _Known:
        return self._known if self._clock() - self._known.at < STALE else _Known()

    def _some(self) -> _Known:
        known = self._current()
        if not known.keys:
            raise IssuerAway(f"{self._issuer.name} cannot be asked for its keys")
        return known

    def _ask_behind(self) -> None:
        if self._cool() and self._asking.acquire(blocking=False):
            threading.Thread(target=self._ask, name="issuer", daemon=True).start()

    def _ask_now(self, patience: float) -> None:
        """Ask, or wait so many seconds for whoever asks; a stranger's key is no reason to wait, or
        to ask often.
        """
        if self._asking.acquire(timeout=patience):
            if self._cool():  # nobody has asked lately, or while we waited
                self._ask()
            else:
                self._asking.release()

    def _cool(self) -> bool:
        return self._clock() - self._asked_at > COOL_DOWN

    def _ask(self) -> None:
        """With `_asking` in hand, which it lets go of; what fails leaves all as it was."""
        try:
            discovery = {} if self._issuer.jwks_url else self._discovered()
            url = self._issuer.jwks_url or str(discovery.get("jwks_uri"))
            self._known = _Known(_keys(_read(url)), discovery, self._clock())
        except (Undelivered, NotUnderstood, Unreadable, _Nonsense) as why:
            self._warn("keys not read", issuer=self._issuer.name, why=str(why))
        finally:
            self._asked_at = self._clock()
            self._asking.release()

    def _discovered(self) -> Mapping[str, Any]:
        told = _read(f"{self._issuer.url.rstrip('/')}/.well-known/openid-configuration")
        if told.get("issuer") != self._issuer.url:
            raise _Nonsense("its discovery names another issuer; write it as it does")
        return told


class _Nonsense(Exception):
    """What the issuer says is not what an issuer says."""


def _read(url: str) -> Mapping[str, Any]:
    if not on_safe_way(url):
        raise _Nonsense("its keys are at no https:// address")
    told = read_json(
        get(url, {"accept": "application/json"}, now=datetime.now(UTC), timeout=_TIMEOUT)
    )
    if not isinstance(told, dict):
        raise _Nonsense("its answer is no object")
    return told


def _keys(told: Mapping[str, Any]) -> Mapping[str, jwt.PyJWK]:
    """The keys of a set that we can use, by their ids; others are left out."""
    written = told.get("keys")
    found = [_key(each) for each in written] if isinstance(written, list) else []
    keys = {str(each.key_id): each for each in found if each is not None}
    if not keys:
        raise _Nonsense("it publishes no key that can be used")
    return keys


def _key(written: Any) -> jwt.PyJWK | None:
    if not isinstance(written, dict) or not isinstance(written.get("kid"), str):
        return None
    if written.get("use", "sig") != "sig" or written.get("kty") == "oct":
        return None
    if "d" in written:  # with a private key that is published everybody signs
        return None
    try:
        key = jwt.PyJWK(written)
    except (
        jwt.PyJWTError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        NotImplementedError,
    ):
        return None
    short = isinstance(key.key, RSAPublicKey) and key.key.key_size < SHORTEST_RSA
    return None if short or key.algorithm_name not in ALGORITHMS else key
