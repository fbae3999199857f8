"""Tokens of our own: JWTs signed by EdDSA keys in a file.

A token opens until it expires; one that was revoked opens nothing any more, on any host.
"""

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from responder.domain.actor import ROLES
from responder.domain.denial import Denial
from responder.domain.secret import Secret, SecretMissing
from responder.web.callers import Caller, Denied

ISSUER = "responder"
#: Clocks of hosts differ by so many seconds at most.
LEEWAY = 30
#: What PyJWT raises for a text that is no token, brackets in brackets and lone surrogates too.
NO_TOKEN = (jwt.InvalidTokenError, RecursionError, ValueError)
_ALGORITHM = "EdDSA"
_REQUIRED = ["exp", "iat", "sub", "aud", "iss", "jti", "role"]


class KeyFileWrong(SecretMissing):
    """A key file is not what `responder token keys` writes; it may be half written."""


class TokenKeys:
    """The keys of one or more files; all verify, the first one of the first file signs."""

    def __init__(self, files: Secret) -> None:
        self._files = files

    def issue(
        self,
        name: str,
        role: str,
        now: datetime,
        lifetime: timedelta,
        token_id: UUID,
        scope: Sequence[str] = (),
    ) -> str:
        """A token for a person or a program; `name` is what the audit shows.

        scope: the subjects of the API that it opens; nothing is all of them.
        """
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
        if scope:
            claims["scope"] = " ".join(scope)
        self._files.use(version)
        return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"kid": key_id})

    def caller(self, token: str) -> Caller:
        """Who a token stands for; Denied for whatever is wrong with it."""
        key_id = header_of(token).get("kid")
        key, version = self._keys().get(str(key_id), (None, ""))
        if key is None:
            raise Denied(Denial.UNKNOWN_KEY, "the token is signed with an unknown key")
        claims = verified(token, key.public_key(), _ALGORITHM, ISSUER, ISSUER, _REQUIRED)
        self._files.use(version)
        scope = claims.get("scope")
        try:
            token_id = UUID(claims["jti"])
        except ValueError:
            raise Denied(Denial.WRONG_CLAIMS, "the token's id is none of ours") from None
        if claims["role"] not in ROLES or not isinstance(scope, str | None):
            raise Denied(Denial.WRONG_CLAIMS, "the token names no role or no scope of ours")
        return Caller(
            claims["sub"],
            claims["role"],
            moment(claims["iat"]),
            moment(claims["exp"]),
            token_id,
            None if scope is None else frozenset(scope.split()),
        )

    def _keys(self) -> dict[str, tuple[Ed25519PrivateKey, str]]:
        """By id, each with the version of the secret that it is."""
        return {
            key_id: (key, version)
            for version in self._files.values()
            for key_id, key in read_keys(version).items()
        }


def header_of(token: str) -> dict[str, Any]:
    """What the token says of itself before anybody has checked it. Denied: it is none."""
    try:
        return jwt.get_unverified_header(token)
    except NO_TOKEN:
        raise Denied(Denial.NOT_A_TOKEN, "this is no token") from None


def verified(
    token: str, key: Any, algorithm: str, audience: str, issuer: str, required: list[str]
) -> dict[str, Any]:
    """The claims of a token that is right in all: by this key and algorithm alone. Denied."""
    try:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=audience,
            issuer=issuer,
            leeway=LEEWAY,
            options={"require": required},
        )
    except (*NO_TOKEN, OverflowError, jwt.InvalidKeyError) as error:
        why = next((_WHY[kind] for kind in type(error).__mro__ if kind in _WHY), None)
        raise Denied(why or Denial.WRONG_CLAIMS, f"the token is not valid: {error}") from None


#: The more special ones are found first.
_WHY: dict[type, Denial] = {
    jwt.ExpiredSignatureError: Denial.EXPIRED,
    jwt.ImmatureSignatureError: Denial.NOT_YET_VALID,
    jwt.InvalidAudienceError: Denial.WRONG_AUDIENCE,
    jwt.InvalidIssuerError: Denial.UNKNOWN_ISSUER,
    jwt.InvalidSignatureError: Denial.WRONG_SIGNATURE,
    jwt.InvalidAlgorithmError: Denial.WRONG_SIGNATURE,
    jwt.InvalidKeyError: Denial.WRONG_SIGNATURE,
    jwt.DecodeError: Denial.NOT_A_TOKEN,
}


def moment(claim: Any) -> datetime:
    """When a claim that was verified says."""
    try:
        return datetime.fromtimestamp(int(claim), UTC)
    except (ValueError, OverflowError, OSError):
        raise Denied(Denial.WRONG_CLAIMS, "the token says no time that there is") from None


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
