"""Standard Webhooks v1: how a webhook is signed, ours on the way out and others' on the way in."""

import base64
import hashlib
import hmac

MIN_SECRET_BYTES = 16


def sign(secret: str, identifier: str, timestamp: str, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over id, timestamp and raw body, joined by dots.

    secret: base64, with or without `whsec_`; ValueError, without the secret, when it is not.
    """
    signed = b".".join((identifier.encode(), timestamp.encode(), body))
    digest = hmac.digest(_key(secret), signed, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def _key(secret: str) -> bytes:
    encoded = secret.strip().removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        raise ValueError("the signing secret is not base64; write whsec_<base64>") from None
    if len(key) < MIN_SECRET_BYTES:
        raise ValueError(f"the signing secret is shorter than {MIN_SECRET_BYTES} bytes")
    return key
