"""What proves who sent a request: bearer or basic credentials, and HMAC signatures."""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable

from responder.domain.secret import Secret
from responder.domain.settings import Source
from responder.sources.adapter import Request, Unauthenticated

_HEX = re.compile(r"[0-9a-f]{64}")


def is_configured(source: Source) -> bool:
    """Whether `check` has anything to compare with."""
    return source.bearer is not None or source.basic_password is not None


def check(request: Request, source: Source) -> None:
    """Unauthenticated unless a live credential of the source is in the Authorization header.

    Only the secret of the scheme that was used is read, so SecretMissing says what matters.
    """
    if not is_configured(source):
        raise Unauthenticated(f"no credential is configured for source {source.name!r}")
    scheme, _, given = request.headers.get("authorization", "").strip().partition(" ")
    match scheme.lower():
        case "":
            raise Unauthenticated("there is no Authorization header")
        case "bearer" if source.bearer is not None:
            opens = _is_live(_raw(given.strip()), source.bearer)
        case "basic" if source.basic_password is not None:
            opens = _opens_basic(given.strip(), source.basic_user, source.basic_password)
        case _:
            raise Unauthenticated("the Authorization header has a scheme that is not configured")
    if not opens:
        raise Unauthenticated("the credential is not one of the live ones")


def check_signature(given: Iterable[str], message: bytes, secret: Secret) -> None:
    """Unauthenticated unless one of these is the hex HMAC-SHA256 of it with a live secret.

    Hex in lower case, as all senders write it: what is accepted has one form only.
    """
    tried = [each for each in given if _HEX.fullmatch(each)]

    def signed_with(key: str) -> bool:
        right = hmac.digest(key.encode(), message, "sha256").hex()
        return any([hmac.compare_digest(each, right) for each in tried])

    if not secret.fits(signed_with):
        raise Unauthenticated("the signature is missing or not made with a live secret")


def _opens_basic(given: str, user: str, password: Secret) -> bool:
    try:
        decoded = base64.b64decode(_raw(given), validate=True)
    except binascii.Error:
        raise Unauthenticated("the basic credential is not base64") from None
    given_user, _, given_password = decoded.partition(b":")
    right_user = hmac.compare_digest(given_user, user.encode())
    # Whoever has the password alone has not used it: both are compared, whatever either says.
    return password.fits(
        lambda value: hmac.compare_digest(given_password, value.encode()) & right_user
    )


def _is_live(given: bytes, secret: Secret) -> bool:
    return secret.fits(lambda value: hmac.compare_digest(given, value.encode()))


def _raw(header: str) -> bytes:
    """The bytes as they came: servers hand headers over as Latin-1."""
    try:
        return header.encode("latin-1")
    except UnicodeEncodeError:
        raise Unauthenticated("the Authorization header is not text of one byte each") from None
