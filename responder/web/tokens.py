"""JWTs of our own: EdDSA keys in a file, roles viewer < operator < admin.

A token opens until it expires; one that was revoked opens nothing any more, on any host.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import current_app, g, request

from responder.domain.actor import ROLES, Actor, ActorKind, may
from responder.domain.secret import Secret, SecretMissing
from responder.pipeline.services import Services
from responder.web.problems import Problem

ISSUER = "responder"
_ALGORITHM = "EdDSA"
_REQUIRED = ["exp", "iat", "sub", "aud", "iss", "jti", "role"]
P = ParamSpec("P")
R = TypeVar("R")


class KeyFileWrong(SecretMissing):
    """A key file is not what `responder token keys` writes; it may be half written."""


@dataclass(frozen=True)
class Caller:
    """Who calls, with which role and which token."""

    name: str
    role: str
    token_id: UUID

    @property
    def actor(self) -> Actor:
        return Actor(ActorKind.PERSON, self.name)


class TokenKeys:
    """The keys of one or more files; all verify, the first one of the first file signs."""

    def __init__(self, files: Secret) -> None:
        self._files = files

    def issue(
        self, name: str, role: str, now: datetime, lifetime: timedelta, token_id: UUID
    ) -> str:
        """A token for a person or a program; `name` is what the audit shows."""
        key_id, (key, version) = next(iter(self._keys().items()))
        claims = {
            "iss": ISSUER,
            "aud": ISSUER,
            "sub": name,
            "role": role,
            "iat": now,
            "exp": now + lifetime,
            "jti": str(token_id),
        }
        self._files.use(version)
        return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"kid": key_id})

    def caller(self, token: str) -> Caller:
        """Who a token stands for; Problem 401 for whatever is wrong with it."""
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            key, version = self._keys().get(str(key_id), (None, ""))
            if key is None:
                raise Problem(401, "unauthenticated", "the token is signed with an unknown key")
            claims = jwt.decode(
                token,
                key.public_key(),
                algorithms=[_ALGORITHM],
                audience=ISSUER,
                issuer=ISSUER,
                leeway=30,
                options={"require": _REQUIRED},
            )
        except jwt.InvalidTokenError as error:
            raise Problem(401, "unauthenticated", f"the token is not valid: {error}") from None
        self._files.use(version)
        if claims["role"] not in ROLES:
            raise Problem(401, "unauthenticated", "the token names no role of ours")
        try:
            return Caller(claims["sub"], claims["role"], UUID(claims["jti"]))
        except ValueError:
            raise Problem(401, "unauthenticated", "the token's id is none of ours") from None

    def _keys(self) -> dict[str, tuple[Ed25519PrivateKey, str]]:
        """By id, each with the version of the secret that it is."""
        return {
            key_id: (key, version)
            for version in self._files.values()
            for key_id, key in read_keys(version).items()
        }


def new_keys(key_id: UUID) -> str:
    """The content of a fresh key file: a private JWK set."""
    key = Ed25519PrivateKey.generate()
    jwk = {
        "kty": "OKP",
        "crv": "Ed25519",
        "alg": _ALGORITHM,
        "kid": str(key_id),
        "x": _base64(key.public_key().public_bytes_raw()),
        "d": _base64(key.private_bytes_raw()),
    }
    return json.dumps({"keys": [jwk]}, indent=2) + "\n"


def read_keys(text: str) -> dict[str, Ed25519PrivateKey]:
    """The keys of a file by id; KeyFileWrong says what to do."""
    try:
        return {
            jwk["kid"]: Ed25519PrivateKey.from_private_bytes(
                base64.urlsafe_b64decode(jwk["d"] + "=" * (-len(jwk["d"]) % 4))
            )
            for jwk in json.loads(text)["keys"]
        }
    except (ValueError, KeyError, TypeError):
        wrong = "the token keys are not a private JWK set; make one with: responder token keys"
        raise KeyFileWrong(wrong) from None


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def require(role: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A view that only callers of this role or a higher one may use; they are in `g.caller`."""

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not token:
                raise Problem(401, "unauthenticated", "send Authorization: Bearer <token>")
            caller = not_revoked(_token_keys().caller(token.strip()))
            if not may(caller.role, role):
                raise Problem(403, "forbidden", f"this needs the role {role}")
            g.caller = caller
            return view(*args, **kwargs)

        return guarded

    return decorate


def not_revoked(caller: Caller) -> Caller:
    """Asked at each request, so that a revocation holds from the very next one; Problem 401."""
    services: Services = current_app.extensions["responder"]
    with services.store.transaction() as tx:
        if tx.one("token_revoked", id=caller.token_id)["revoked"]:
            raise Problem(401, "unauthenticated", "the token was revoked")
    return caller


def _token_keys() -> TokenKeys:
    keys: Any = current_app.extensions["responder.token_keys"]
    assert isinstance(keys, TokenKeys)
    return keys
