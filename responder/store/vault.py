"""What stands encrypted in our database: AES-256-GCM, with keys that are not in it.

What is encrypted begins with the id of its key, and opens only at the place it was made for: who
can write to our database cannot move one delivery's body to another.
"""

import base64
import binascii
import hashlib
import os
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from responder.domain.secret import Secret, SecretMissing

_KEY, _KEY_ID, _NONCE = 32, 8, 12
#: What is shorter is kept as it is; what is longer would fill pages of its own.
_SHORT = 1000
#: Stands behind the place of what was packed before it was encrypted, so that nobody need guess.
_PACKED = " packed"
#: Seconds for which the keys are remembered; a file that is gone must not cost each request a wait.
_REMEMBERED = 5.0


class Locked(Exception):
    """A key is missing or wrong, so this is neither encrypted nor read; the operator must act."""


class Vault:
    """Encrypts with the first of the live keys, opens with any; files are read again.

    Keys that were read once are used on while they cannot be read.
    """

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self._lock = threading.Lock()
        self._keys: dict[bytes, AESGCM] = {}
        self._trouble = ""
        self._until = 0.0

    def encrypt(self, plain: bytes, place: str) -> bytes:
        """place: the table and the row's id, which must be told again to open it. Locked."""
        key_id, key = next(iter(self._live().items()))
        nonce = os.urandom(_NONCE)
        if len(plain) > _SHORT:
            plain, place = zlib.compress(plain, level=1), place + _PACKED
        return key_id + nonce + key.encrypt(nonce, plain, place.encode())

    def decrypt(self, encrypted: bytes, place: str) -> bytes:
        """What was encrypted for this place. Locked: its key is not live, or it was changed."""
        key_id, rest = encrypted[:_KEY_ID], encrypted[_KEY_ID:]
        keys = self._live()
        if key_id not in keys:
            keys = self._live(anew=True)
        if key_id not in keys:
            raise Locked(f"it is encrypted with the key {key_id.hex()}, not one of vault.keys")
        nonce, rest = rest[:_NONCE], rest[_NONCE:]
        try:
            with suppress(InvalidTag):
                return zlib.decompress(
                    keys[key_id].decrypt(nonce, rest, (place + _PACKED).encode())
                )
            return keys[key_id].decrypt(nonce, rest, place.encode())
        except (InvalidTag, ValueError):
            raise Locked("it does not open: it was changed, or is not what stood here") from None

    def _live(self, anew: bool = False) -> dict[bytes, AESGCM]:
        """The keys by their ids, the first first. Locked when none was ever read."""
        with self._lock:
            if anew or time.monotonic() >= self._until:
                self._read()
                self._until = time.monotonic() + _REMEMBERED
            if not self._keys:
                raise Locked(f"vault.keys: {self._trouble}")
            return self._keys

    def _read(self) -> None:
        try:
            self._keys = dict(read_keys(self._secret))
        except (SecretMissing, ValueError) as error:
            self._trouble = str(error)


def new_key() -> str:
    """A key as its file holds it: 32 random bytes in base64, and a line's end."""
    return base64.b64encode(os.urandom(_KEY)).decode() + "\n"


def read_keys(secret: Secret) -> Iterator[tuple[bytes, AESGCM]]:
    """Each key with its id. SecretMissing, ValueError."""
    for value in secret.values():
        key = read_key(value)
        yield key_id(key), AESGCM(key)


def read_key(text: str) -> bytes:
    """The bytes of a key. ValueError, which repeats nothing of it."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY:
        raise ValueError("not a key of 32 bytes in base64; make one with: responder vault key")
    return key


def key_id(key: bytes) -> bytes:
    """What names a key and does not tell it."""
    return hashlib.sha256(b"responder vault key" + key).digest()[:_KEY_ID]
