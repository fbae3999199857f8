"""The one way out by HTTP: no redirects, no retries of its own, and over when the time is over."""

import re
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit

import requests

from responder.receivers.receiver import Undelivered

MAX_ANSWER = 4_096
MAX_RETRY_AFTER = 86_400.0

#: Request Timeout, Too Early and Too Many Requests: 4xx that say "later", not "never".
_LATER = frozenset({408, 425, 429})


class Refused(Undelivered):
    """The receiver answered, but not with 2xx; answer: the beginning of what it said."""

    def __init__(
        self, message: str, *, status: int, answer: bytes, retry_after: float | None
    ) -> None:
        permanent = status < 500 and status not in _LATER
        super().__init__(message, permanent=permanent, retry_after=retry_after)
        self.status = status
        self.answer = answer


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, now: datetime, timeout: float
) -> None:
    """Post JSON; Undelivered unless 2xx came within `timeout` seconds, whatever the receiver does.

    A look-up of a name and an answer that drips in byte by byte are out of any socket timeout's
    reach, so the request has a thread of its own, which is left alone when the time is over.
    now: what a Retry-After date is counted from.
    """
    outcome: list[Undelivered | None] = []

    def send() -> None:
        try:
            _send(url, body, headers, now, timeout)
        except Undelivered as undelivered:
            outcome.append(undelivered)
        else:
            outcome.append(None)

    sender = threading.Thread(target=send, name="post", daemon=True)
    sender.start()
    sender.join(timeout)
    if not outcome:
        raise _silent(url, timeout)
    if outcome[0] is not None:
        raise outcome[0]


def _send(url: str, body: bytes, headers: Mapping[str, str], now: datetime, timeout: float) -> None:
    headers = {"content-type": "application/json", "user-agent": _user_agent(), **headers}
    deadline = time.monotonic() + timeout
    try:
        with requests.post(
            url,
            data=body,
            headers=headers,
            timeout=(timeout, timeout),
            allow_redirects=False,
            stream=True,
        ) as response:
            if not 200 <= response.status_code < 300:
                raise _refused(url, response, now, deadline)
    except requests.Timeout:
        raise _silent(url, timeout) from None
    except requests.exceptions.SSLError:
        raise Undelivered(f"{_host(url)}: TLS failed", permanent=False) from None
    except (requests.RequestException, ValueError) as error:
        # a wrong URL or header is a ValueError, sometimes urllib3's own: no retry will mend it
        wrong = isinstance(error, ValueError)
        what = "the URL or a header is wrong" if wrong else "cannot be reached"
        raise Undelivered(f"{_host(url)}: {what}", permanent=wrong) from None


def _silent(url: str, timeout: float) -> Undelivered:
    return Undelivered(f"{_host(url)}: no answer within {timeout:g} s", permanent=False)


def _refused(url: str, response: requests.Response, now: datetime, deadline: float) -> Refused:
    status = response.status_code
    hint = "; redirects are not followed" if 300 <= status < 400 else ""
    return Refused(
        f"{_host(url)}: answered {status}{hint}",
        status=status,
        answer=_beginning(response, deadline),
        retry_after=_retry_after(response.headers.get("retry-after", ""), now),
    )


def _beginning(response: requests.Response, deadline: float) -> bytes:
    """What came until the deadline, at most MAX_ANSWER bytes."""
    answer = bytearray()
    try:
        for byte in response.iter_content(1):
            answer += byte
            if len(answer) >= MAX_ANSWER or time.monotonic() > deadline:
                break
    except requests.RequestException:
        pass
    return bytes(answer)


def _retry_after(told: str, now: datetime) -> float | None:
    """Seconds, from a number of them or an HTTP date (RFC 9110, 10.2.3); None for anything else."""
    if re.fullmatch(r"[0-9]{1,9}", told.strip()):
        seconds = float(told)
    else:
        try:
            date = parsedate_to_datetime(told)
        except (ValueError, OverflowError):
            return None
        seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _host(url: str) -> str:
    """The part of a URL that is never a secret."""
    try:
        return urlsplit(url).hostname or "the receiver"
    except ValueError:
        return "the receiver"


def _user_agent() -> str:
    try:
        return f"responder/{version('responder')}"
    except PackageNotFoundError:
        return "responder/0"
