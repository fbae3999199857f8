"""Slack's incoming webhooks: the brief as Block Kit blocks, within its limits by construction."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from responder.domain import settings
from responder.domain.notification import Happening, Message
from responder.domain.secret import SecretMissing
from responder.outbound import Refused, Undelivered, post
from responder.receivers.brief import REPEATED, Brief, brief, label_of
from responder.receivers.brief.piece import Part, Piece
from responder.receivers.brief.text import as_json, is_link

#: Slack's own limits. The 50 blocks are never reached: of everything, a brief has a few.
MAX_HEADER = 150
MAX_SECTION = 3_000
#: Undocumented; others met `msg_blocks_too_long` at some 13,200.
MAX_TOTAL = 12_000
ADDED_TO_A_BLOCK = 40
#: Ours: a line of links, and a paragraph; the longest command fits into it.
MAX_LINE = 2_000
MAX_PLAIN = 2_500

#: Errors that the same message would meet again.
_FOR_EVER = frozenset(
    {
        *("invalid_payload", "invalid_blocks", "invalid_blocks_format", "no_text", "invalid_token"),
        *("missing_text_or_fallback_or_attachments", "msg_blocks_too_long", "msg_too_long"),
        *("channel_not_found", "channel_is_archived", "posting_to_general_channel_denied"),
        *("action_prohibited", "no_service", "no_service_id", "no_active_hooks", "no_team"),
        *("team_disabled", "user_not_found", "too_many_attachments"),
    }
)
_MARKS = {"P0": "🔴", "P1": "🟠", "P2": "🟡", "P3": "🔵"}
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
#: `<!channel>`, `@here`: what calls people. A space of no width makes it text.
_CALL = re.compile(r"<(?=[!@#])|@(?=here|channel|everyone)", re.IGNORECASE)
_FORMAT = re.compile(r"(?<!\w)[*_~`]|[*_~`](?!\w)")
_NO_WIDTH = "\u200b"
_CUT = "… cut here; the incident has the rest."


class Slack:
    """One channel; the receiver's secret is the webhook's URL."""

    def __init__(self, receiver: settings.Receiver) -> None:
        self._receiver = receiver

    def deliver(self, message: Message, now: datetime, timeout: float) -> None:
        body = as_json(encode(message))
        try:
            answer = post(self._url(), body, {}, now=now, timeout=timeout)
        except Refused as refused:
            said = _word(refused.answer)
            if not said:
                raise
            raise Undelivered(
                f"Slack refuses the message: {said} ({refused.status})",
                permanent=refused.permanent,
                retry_after=refused.retry_after,
                maybe=refused.maybe,
            ) from None
        if answer != b"ok":  # Slack tells some errors with 200
            said = _word(answer)
            permanent = said in _FOR_EVER
            raise Undelivered(
                f"Slack does not say ok: {said or 'something else'}",
                permanent=permanent,
                maybe=not permanent,
            )

    def _url(self) -> str:
        """A file may be mended at any time, so a wrong one is tried again; it is never shown."""
        secret = self._receiver.secret
        assert secret is not None
        try:
            url = secret.value().strip()
        except SecretMissing as missing:
            raise Undelivered(str(missing), permanent=False) from None
        if not is_link(url):
            raise Undelivered(f"{secret.references[0]} holds no http or https URL", permanent=False)
        return url


def encode(message: Message) -> dict[str, Any]:
    """The payload: `text` is what a lock screen shows, the blocks are the message."""
    told = brief(message)
    text = _fitted(_unformatted(_uncalling(told.in_short)), MAX_LINE, _ENTITIES)
    head = [_header(told), _context(_plain(told.state))]
    if message.repeated:
        head.append(_context(_plain(REPEATED)))
    tail = list(_links(told.links))
    left = MAX_TOTAL - sum(map(_size, [*head, *tail, _context(_plain(_CUT))])) - _length(text)
    body: list[dict[str, Any]] = []
    for block in (block for part in told.parts for block in _blocks(part)):
        left -= _size(block)
        if left < 0:
            body.append(_context(_plain(_CUT)))
            break
        body.append(block)
    return {
        "text": text,
        "blocks": [*head, *body, *tail],
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _header(told: Brief) -> dict[str, Any]:
    """A mark to be recognised without reading, then the severity for who does not see colours."""
    mark = _MARKS.get(told.severity, "⚪")
    if told.happening == Happening.RESOLVED:
        mark = "✅"
    elif told.happening == Happening.ACKNOWLEDGED:
        mark = "👀"
    text = _fitted(_uncalling(f"{mark} {told.severity} {told.title}"), MAX_HEADER)
    return {"type": "header", "text": {"type": "plain_text", "text": text, "emoji": False}}


def _blocks(part: Part) -> Iterator[dict[str, Any]]:
    """Only our own words are markup; text from outside is plain, or stands in a code block."""
    yield _section(_mrkdwn(f"*{part.title}*"))
    for piece in part.pieces:
        if piece.text:
            yield _section(_plain(piece.text))
        if piece.rows or piece.command:
            yield _section(_code(piece))


def _code(piece: Piece) -> dict[str, Any]:
    """A command to be copied is shown exactly as it is, so plain when a code block would not."""
    text = _uncalling(piece.rows).replace("`", "'") or piece.command
    room = MAX_SECTION - len("```\n\n```")
    fitted = _fitted(text, room, _ENTITIES)
    if piece.command and ("```" in text or fitted.endswith("…")):
        return _plain(text)
    return _mrkdwn(f"```\n{fitted}\n```")


def _links(links: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """One line of them, as many as fit."""
    told, left = [], MAX_LINE
    for name, href in links.items():
        shown = _unformatted(_uncalling(label_of(name, href)))
        label = _fitted(shown, 100, _ENTITIES).replace("|", " ")
        link = f"<{_fitted(href, MAX_LINE, _ENTITIES)}|{label}>"
        left -= len(link) + 3
        if left >= 0:
            told.append(link)
    if told:
        yield _context(_mrkdwn(" · ".join(told)))


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": _fitted(_uncalling(text), MAX_PLAIN), "emoji": False}


def _mrkdwn(text: str) -> dict[str, Any]:
    """verbatim: Slack makes no links and mentions of its own."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _section(text: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "section", "text": text}


def _context(text: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "context", "elements": [text]}


def _uncalling(text: str) -> str:
    return _CALL.sub(lambda match: match[0] + _NO_WIDTH, text)


def _unformatted(text: str) -> str:
    return _FORMAT.sub(lambda match: _NO_WIDTH + match[0] + _NO_WIDTH, text)


def _fitted(text: str, limit: int, entities: Mapping[str, str] | None = None) -> str:
    """As much as fits, escaped with `entities`, and measured as what JavaScript calls length."""
    kept, used = [], 0
    for character in text:
        shown = (entities or {}).get(character, character)
        kept.append(shown)
        used += _length(shown)
        if used > limit:
            while used >= limit:
                used -= _length(kept.pop())
            return "".join(kept) + "…"
    return "".join(kept)


def _length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _size(block: Mapping[str, Any]) -> int:
    """Slack counts more than the text: the JSON of a block, and something of its own for each."""
    return _length(json.dumps(block, ensure_ascii=False)) + ADDED_TO_A_BLOCK


def _word(answer: bytes) -> str:
    """Slack's name of an error; anything else of an answer stays out of our logs."""
    said = answer[:100].decode("ascii", "replace").strip()
    return said if re.fullmatch(r"[a-z_]{2,60}", said) else ""
