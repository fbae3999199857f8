"""Standard Webhooks v1 on the way in: who signed it, and that it is not an old one sent again.

From standard-webhooks spec/standard-webhooks.md. Svix sends the same under names of its own.
"""

import hmac
import re

from responder.domain.secret import Secret, SecretMissing
from responder.domain.signing import sign
from responder.sources.adapter import Request, Unauthenticated

#: How far the signed timestamp may be from our clock, either way.
WINDOW_SECONDS = 300
#: A dot would move the border between what is signed.
_ID = re.compile(r"[!-\-/-~]{1,200}")
_SECONDS = re.compile(r"[0-9]{1,12}")


def check(request: Request, secret: Secret) -> None:
    """Unauthenticated unless id, timestamp and body are signed with a live secret, and lately.

    SecretMissing: a secret is not there, or none that anything can be signed with.
    """
    told = identifier(request)
    if not _ID.fullmatch(told):
        raise Unauthenticated("there is no id of the message as Standard Webhooks has it")
    timestamp = _header(request, "timestamp")
    if not _SECONDS.fullmatch(timestamp):
        raise Unauthenticated("there is no timestamp in seconds")
    if abs(request.at.timestamp() - int(timestamp)) > WINDOW_SECONDS:
        raise Unauthenticated(f"the timestamp is more than {WINDOW_SECONDS} s away")
    right = _right(request, secret)
    given = [_unpadded(each) for each in _header(request, "signature").split(" ")]

    fitting = [
        value
        for value, known in right.items()
        if any([hmac.compare_digest(each, known) for each in given])
    ]
    if not fitting:
        raise Unauthenticated("the signature is missing or not made with a live secret")
    for value in fitting:
        secret.use(value)


def identifier(request: Request) -> str:
    """The sender's id of this message, the same at each of its attempts; empty without."""
    return _header(request, "id")


def _header(request: Request, name: str) -> str:
    family = "webhook" if "webhook-id" in request.headers else "svix"
    return request.headers.get(f"{family}-{name}", "")


def _right(request: Request, secret: Secret) -> dict[str, bytes]:
    """The signature by each live secret, with its version before it."""
    told, timestamp = identifier(request), _header(request, "timestamp")
    signatures = {}
    for reference, value in secret.versions():
        try:
            signatures[value] = _unpadded(sign(value, told, timestamp, request.body))
        except ValueError as error:
            raise SecretMissing(f"{reference}: {error}") from None
    return signatures


def _unpadded(signature: str) -> bytes:
    """Compared as text: base64 has several forms of the same bytes, a signature only one."""
    return signature.rstrip("=").encode(errors="replace")
