"""What a strict mail server refuses in a letter (RFC 5321, RFC 5322), by its reply."""

import re
from email.utils import getaddresses, parsedate_to_datetime

MAX_LINE = 998
_NEEDED = ("from", "date", "message-id")
_ONCE = (*_NEEDED, "to", "cc", "subject", "sender", "reply-to", "in-reply-to", "references")
_HEADER = re.compile(r"([!-9;-~]+):(.*)", re.DOTALL)
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_MESSAGE_ID = re.compile(r"<[^<>\s@]+@[^<>\s@]+>")


def mistake(raw: bytes) -> str:
    """The refusal, empty when nothing is wrong."""
    if _BARE.search(raw):
        return "550 5.6.11 A CR or LF stands alone"
    if any(len(line) > MAX_LINE for line in raw.split(b"\r\n")):
        return f"500 5.5.2 A line is longer than {MAX_LINE} octets"
    if not raw.isascii() or b"\0" in raw:
        return "554 5.6.1 8BITMIME was not offered"
    head = f"\r\n{raw.decode('ascii')}".partition("\r\n\r\n")[0]
    return _head_mistake(head)


def _head_mistake(head: str) -> str:
    lines = re.split(r"\r\n(?![ \t])", head)
    matches = [_HEADER.fullmatch(line) for line in lines if line]
    headers = [(found[1].lower(), found[2].strip()) for found in matches if found]
    if len(headers) < len(matches):
        return "550 5.6.0 A line of the head is no header"
    names = [name for name, _ in headers]
    for name in _ONCE:
        if names.count(name) > 1:
            return f"550 5.7.1 More than one {name} header"
    for name in _NEEDED:
        if name not in names:
            return f"550 5.7.1 The {name} header is missing"
    return _needed_mistake(dict(headers))


def _needed_mistake(headers: dict[str, str]) -> str:
    if not all("@" in address for _, address in getaddresses([headers["from"]])):
        return "550 5.7.1 The from header holds no address"
    if not _MESSAGE_ID.fullmatch(headers["message-id"]):
        return "550 5.7.1 The message-id header is malformed"
    try:
        parsedate_to_datetime(headers["date"])
    except ValueError:
        return "550 5.7.1 The date header is malformed"
    return ""
