"""The one way out by HTTP: no redirects, no retries of its own, and over when the time is over."""

import re
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, NewConnectionError

from responder.domain.redaction import SECRETS

#: An answer that is longer is cut; none that we read needs more.
MAX_ANSWER = 1_000_000
MAX_REFUSAL = 4_096
MAX_RETRY_AFTER = 86_400.0

#: Request Timeout, Too Early and Too Many Requests: 4xx that say "later", not "never".
_LATER = frozenset({408, 425, 429})


class Undelivered(Exception):
    """The message did not arrive, as far as we know; it never holds a secret or a whole URL.

    permanent: trying again is useless; retry_after: seconds that the receiver asks us to wait;
    maybe: nobody can say that it did not arrive, so a second attempt may double it.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool,
        retry_after: float | None = None,
        maybe: bool = False,
    ) -> None:
        super().__init__(SECRETS.text(message))
        self.permanent = permanent
        self.retry_after = retry_after
        self.maybe = maybe


class Refused(Undelivered):
    """The receiver answered, but not with 2xx; answer: the beginning of what it said."""

    def __init__(
        self, message: str, *, status: int, answer: bytes, retry_after: float | None
    ) -> None:
        permanent = status < 500 and status not in _LATER
        super().__init__(message, permanent=permanent, retry_after=retry_after, maybe=status >= 500)
        self.status = status
        self.answer = answer


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, now: datetime, timeout: float
) -> bytes:
    """Post JSON and return the answer; Undelivered unless 2xx came within `timeout` seconds.

    now: what a Retry-After date is counted from.
    """
    headers = {"content-type": "application/json", **headers}
    return _in_time("POST", url, body, headers, now, timeout)


def get(url: str, headers: Mapping[str, str], *, now: datetime, timeout: float) -> bytes:
    """The answer to a GET; Undelivered as `post`."""
    return _in_time("GET", url, None, headers, now, timeout)


def on_safe_way(url: str) -> bool:
    """Whether nobody on the way can read or change what is said there: https, or a loopback."""
    try:
        parts = urlsplit(url)
        local = parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
    except ValueError:
        local = False
    return url.startswith("https://") or (url.startswith("http://") and local)


def _in_time(
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    now: datetime,
    timeout: float,
) -> bytes:
    """A look-up of a name and an answer that drips in byte by byte are out of any socket timeout's
    reach, so the request has a thread of its own, which is left alone when the time is over.
    """
    outcome: list[bytes | Undelivered] = []

    def send() -> None:
        try:
            outcome.append(_send(method, url, body, headers, now, timeout))
        except Undelivered as undelivered:
            outcome.append(undelivered)

    sender = threading.Thread(target=send, name="outbound", daemon=True)
    sender.start()
    sender.join(timeout)
    if not outcome:
        raise _silent(url, timeout)
    if isinstance(outcome[0], Undelivered):
        raise outcome[0]
    return outcome[0]


def _send(
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    now: datetime,
    timeout: float,
) -> bytes:
    deadline = time.monotonic() + timeout
    try:
        with requests.request(
            method,
            url,
            data=body,
            headers={"user-agent": _user_agent(), **headers},
            timeout=(timeout, timeout),
            allow_redirects=False,
            stream=True,
        ) as response:
            if not 200 <= response.status_code < 300:
                raise _refused(url, response, now, deadline)
            return _read(response, deadline)
    except requests.ConnectTimeout:
        raise _unreached(url) from None
    except requests.Timeout:
        raise _silent(url, timeout) from None
    except requests.exceptions.SSLError:
        raise Undelivered(f"{_host(url)}: TLS failed", permanent=False) from None
    except requests.ConnectionError as error:
        raise _broken(url, error) from None
    except (requests.RequestException, ValueError) as error:
        # a wrong URL or header is a ValueError, sometimes urllib3's own: no retry will mend it
        wrong = isinstance(error, ValueError)
        what = "the URL or a header is wrong" if wrong else "cannot be reached"
        raise Undelivered(f"{_host(url)}: {what}", permanent=wrong) from None


def _silent(url: str, timeout: float) -> Undelivered:
    said = f"{_host(url)}: no answer within {timeout:g} s"
    return Undelivered(said, permanent=False, maybe=True)


def _unreached(url: str) -> Undelivered:
    return Undelivered(f"{_host(url)}: cannot be reached", permanent=False)


def _broken(url: str, error: requests.ConnectionError) -> Undelivered:
    """Refused before a connection stood, or cut while the message was under way."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, NewConnectionError):
        return _unreached(url)
    return Undelivered(f"{_host(url)}: the connection broke", permanent=False, maybe=True)


def _refused(url: str, response: requests.Response, now: datetime, deadline: float) -> Refused:
    status = response.status_code
    hint = "; redirects are not followed" if 300 <= status < 400 else ""
    return Refused(
        f"{_host(url)}: answered {status}{hint}",
        status=status,
        answer=_read(response, deadline, MAX_REFUSAL),
        retry_after=_retry_after(response.headers.get("retry-after", ""), now),
    )


def _read(response: requests.Response, deadline: float, limit: int = MAX_ANSWER) -> bytes:
    """What came until the deadline, at most `limit` bytes."""
    answer = bytearray()
    try:
        while len(answer) < limit and time.monotonic() < deadline:
            piece = response.raw.read1(limit, decode_content=True)
            if not piece:
                break
            answer += piece
    except (HTTPError, OSError):
        pass
    return bytes(answer[:limit])


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
