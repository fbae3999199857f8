"""What the value of a key may be; a ValueError's text is the mistake that the operator reads."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, time, timedelta, tzinfo
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from responder.domain.duration import parse_duration
from responder.domain.matcher import Matcher, parse_matcher
from responder.domain.secret import Secret
from responder.outbound import on_safe_way

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00-\x1f]+")
_URL = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[!-~]*)?")
_PATH = re.compile(r"/[!-~]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_POINTER = re.compile(r"(/([^~/]|~[01])*)*")
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")
_SERVER = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIMES = re.compile(r"((?:[01]\d|2[0-3]):[0-5]\d)-((?:[01]\d|2[0-3]):[0-5]\d|24:00)")
_LONGEST_PATTERN = 500
MAX_PORT = 65_535
MAX_WAIT = timedelta(seconds=30)

Word = TypeVar("Word", bound=str)


def read_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError('must be text in quotes, "..."')
    return value


def read_filled_text(value: object) -> str:
    if not read_text(value).strip():
        raise ValueError("must not be empty")
    return read_text(value)


def read_switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false, without quotes")
    return value


def read_bytes(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError("must be a number of bytes above 0, without quotes")
    return value


def read_duration(value: object) -> timedelta:
    if not isinstance(value, str):
        raise ValueError('must be a duration in quotes, for example "30s", "10m" or "2h"')
    duration = parse_duration(value)
    if duration <= timedelta(0):
        raise ValueError("must be longer than 0")
    return duration


def read_deliveries_kept(value: object) -> timedelta:
    """A sender's own ids are remembered for so long."""
    return _at_least(7, value)


def read_audit_kept(value: object) -> timedelta:
    """Our database drops nothing younger, whoever asks."""
    return _at_least(30, value)


def _at_least(days: int, value: object) -> timedelta:
    duration = read_duration(value)
    if duration < timedelta(days=days):
        raise ValueError(f"must be {days}d or longer")
    return duration


def read_matcher(value: object) -> Matcher:
    return parse_matcher(read_text(value))


def read_secret(value: object) -> Secret:
    """One reference or a list of them; the text never repeats the value, which may be a secret."""
    written = value if isinstance(value, list) else [value]
    if not written:
        raise ValueError("must not be empty; write one secret or several, the newest first")
    references = tuple(
        each for each in written if isinstance(each, str) and _REFERENCE.fullmatch(each)
    )
    if len(references) < len(written):
        raise ValueError('a secret is written "env:NAME" or "file:PATH", never the value itself')
    return Secret(references)


def read_url(value: object) -> str:
    """The text never repeats the value: people write passwords into URLs."""
    if not isinstance(value, str) or not _URL.fullmatch(value):
        raise ValueError('must be like "https://host/path", without user and password')
    return value


def read_place(value: object) -> str:
    """Where a copy goes: a file or a URL."""
    if isinstance(value, str) and value.startswith("/") and value.isprintable():
        return value
    try:
        return read_url(value)
    except ValueError:
        wrong = 'must be a file such as "/mnt/witness/seals.jsonl" or a URL such as '
        raise ValueError(wrong + '"https://host/path", without user and password') from None


def read_base_url(value: object) -> str:
    """A URL to which paths are appended, so without query and without the last slash."""
    url = read_url(value)
    if "?" in url or "#" in url:
        raise ValueError('must be like "https://host/path", with nothing behind the path')
    return url.rstrip("/")


def read_issuer(value: object) -> str:
    """As the issuer writes itself, to the last slash; what it says is only worth its https."""
    url = read_url(value)
    if "?" in url or "#" in url:
        raise ValueError('must be like "https://host/path", with nothing behind the path')
    if not on_safe_way(url):
        raise ValueError("must begin with https://, unless it is on this machine")
    return url


def read_count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError("must be a whole number above 0, without quotes")
    return value


def read_sample(value: object) -> int:
    """One in so many; 0: none."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("must be a whole number, without quotes; 0 is none")
    return value


def read_waiting(value: object) -> timedelta:
    """How long a sender may wait for the answer; longer would block those that come after it."""
    duration = read_duration(value)
    if duration > MAX_WAIT:
        raise ValueError("must be at most 30s")
    return duration


def read_level(value: object) -> int:
    """Which number it must be, its place in the list says."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("must be a whole number, without quotes")
    return value


def read_days(value: object) -> tuple[int, ...]:
    """Days of the week, 0 is Monday."""
    if not isinstance(value, list) or not value:
        raise ValueError('must be a list of days such as ["mon", "tue"], not empty')
    named = [str(each).strip().lower() for each in value]
    if unknown := [repr(each) for each in named if each not in _DAYS]:
        raise ValueError(f"{', '.join(unknown)} is no day; write {', '.join(_DAYS)}")
    return tuple(sorted({_DAYS.index(each) for each in named}))


def read_times(value: object) -> tuple[time, time]:
    """From when to when; "24:00" is the end of the day."""
    found = _TIMES.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError('must be like "09:00-17:00"')
    opens, closes = found.groups()
    return time.fromisoformat(opens), time.fromisoformat(closes.replace("24:", "00:"))


def read_time_zone(value: object) -> tzinfo:
    """The rules of a place, not an offset: that changes twice a year."""
    name = read_filled_text(value)
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{name!r} is no time zone known here; write one such as Europe/Berlin"
        ) from None


def read_header(value: object) -> str:
    if not isinstance(value, str) or not _HEADER.fullmatch(value):
        raise ValueError('must be the name of a header, such as "X-Signature"')
    return value


def read_pattern(value: object) -> re.Pattern[str]:
    """A regular expression whose named groups say something."""
    written = read_filled_text(value)
    try:
        pattern = re.compile(written)
    except (OverflowError, RecursionError):  # of "a{99999999999}" and of "((((..."
        raise ValueError("is too large a regular expression") from None
    except re.error as error:
        raise ValueError(f"not a regular expression: {written!r}: {error}") from None
    if not pattern.groupindex:
        raise ValueError("has no named group, such as (?P<alertname>.+)")
    return pattern


def read_column(value: object) -> str:
    """Rows are told apart by their id, so that one stays."""
    if read_filled_text(value).lower() == "id":
        raise ValueError("must not be id, by which rows are told apart")
    return read_filled_text(value)


def read_secret_pattern(value: object) -> str:
    """A regular expression of what is redacted."""
    written = read_filled_text(value)
    if len(written) > _LONGEST_PATTERN:
        raise ValueError(f"must be at most {_LONGEST_PATTERN} characters")
    try:
        found = re.compile(written).search("")
    except (OverflowError, RecursionError):
        raise ValueError("is too large a regular expression") from None
    except re.error as error:
        raise ValueError(f"not a regular expression: {written!r}: {error}") from None
    if found:
        raise ValueError("matches the empty text, so it would be found everywhere")
    return written


def read_pointer(value: object) -> str:
    if not isinstance(value, str) or not _POINTER.fullmatch(value):
        raise ValueError('must be a JSON pointer, such as "/monitor/name" or "" for the whole')
    return value


def read_pointers(value: object) -> tuple[str, ...]:
    """One pointer or several."""
    written = value if isinstance(value, list) else [value]
    if not written:
        raise ValueError("must not be empty; write one JSON pointer or several")
    return tuple(read_pointer(each) for each in written)


def read_word(value: object) -> str:
    return read_filled_text(value).strip().lower()


def read_address(value: object) -> str:
    """An address of e-mail; it stands in headers, so nothing in it may end a line."""
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise ValueError('must be an address such as "on-call@example.com"')
    return value


def read_server(value: object) -> str:
    found = _SERVER.fullmatch(value) if isinstance(value, str) else None
    if not found or not 0 < int(found["port"]) <= MAX_PORT:
        raise ValueError('must be like "smtp.example.com:587"')
    return found[0]


def read_path(value: object) -> str:
    if not _PATH.fullmatch(read_text(value)):
        raise ValueError('must be a path such as "/health"')
    return read_text(value)


def one_of(words: Iterable[Word]) -> Callable[[object], Word]:
    """A reader that takes these words only."""
    known = {str(word): word for word in words}

    def read(value: object) -> Word:
        if not isinstance(value, str) or value not in known:
            raise ValueError("must be one of " + ", ".join(f'"{word}"' for word in known))
        return known[value]

    return read
