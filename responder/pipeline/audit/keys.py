"""The keys that sign seals: JWK sets of Ed25519 keys, as `responder token keys` writes them."""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from responder.domain.secret import Secret, SecretMissing


class SealKeyWrong(SecretMissing):
    """A key of [seal] is not what `responder token keys` writes."""


class SigningKeys:
    """All keys verify, the first one of the first file signs. SealKeyWrong, SecretMissing."""

    def __init__(self, files: Secret) -> None:
        self._jwks = [jwk for text in files.values() for jwk in _read(text)]
        if not self._jwks or "d" not in self._jwks[0]:
            wrong = "the first key of [seal] cannot sign; make one with: responder token keys"
            raise SealKeyWrong(wrong)
        self.kid = str(self._jwks[0]["kid"])
        self._key = Ed25519PrivateKey.from_private_bytes(_bytes(self._jwks[0]["d"]))

    def sign(self, said: bytes) -> bytes:
        return self._key.sign(said)

    def public(self) -> "PublicKeys":
        return PublicKeys(self._jwks)


class PublicKeys:
    """What verifies a signature; JWK sets may hold the private part, too, which is not kept."""

    def __init__(self, jwks: Iterable[Mapping[str, Any]]) -> None:
        self._x = {str(jwk["kid"]): _public(jwk) for jwk in jwks}
        self._keys = {
            kid: Ed25519PublicKey.from_public_bytes(_bytes(x)) for kid, x in self._x.items()
        }

    def knows(self, kid: str) -> bool:
        return kid in self._keys

    def verifies(self, kid: str, signature: bytes, said: bytes) -> bool:
        """Whether one of these keys has signed this."""
        try:
            self._keys[kid].verify(signature, said)
        except (KeyError, InvalidSignature):
            return False
        return True

    def to_json(self) -> dict[str, Any]:
        """A public JWK set."""
        return {
            "keys": [
                {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": kid, "x": x}
                for kid, x in self._x.items()
            ]
        }


def keys_that_verify(files: Secret) -> PublicKeys:
    """All keys of these files; the public part is enough. SealKeyWrong, SecretMissing."""
    return PublicKeys([jwk for text in files.values() for jwk in _read(text)])


def public_keys(text: str) -> PublicKeys:
    """The keys of a JWK set, public or private. SealKeyWrong."""
    return PublicKeys(_read(text))


def _read(text: str) -> list[Mapping[str, Any]]:
    try:
        jwks = json.loads(text)["keys"]
        PublicKeys(jwks)
        return list(jwks)
    except (ValueError, KeyError, TypeError):
        wrong = "not a JWK set of Ed25519 keys; make one with: responder token keys"
        raise SealKeyWrong(f"the keys of [seal] are {wrong}") from None


def _public(jwk: Mapping[str, Any]) -> str:
    if "d" not in jwk:
        return str(jwk["x"])
    key = Ed25519PrivateKey.from_private_bytes(_bytes(jwk["d"])).public_key()
    return base64.urlsafe_b64encode(key.public_bytes_raw()).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
