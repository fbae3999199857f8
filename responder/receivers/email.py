"""E-mail: the brief as a letter; all letters of an incident are one thread."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape

from responder.domain import settings
from responder.domain.notification import Happening, Message
from responder.domain.secret import SecretMissing
from responder.outbound import Undelivered
from responder.receivers.brief import REPEATED, Brief, brief, label_of
from responder.receivers.brief.piece import Part
from responder.receivers.brief.plain import plain
from responder.receivers.brief.text import cut
from responder.receivers.smtp import Refusal, Server, send

MAX_SUBJECT = 150
MAX_LETTER = 20_000
#: 7 bits and short lines, so that every server on the way takes it.
_POLICY = policy.SMTP.clone(cte_type="7bit")
_COLOURS = {"P0": "#c00000", "P1": "#e06000", "P2": "#c0a000", "P3": "#3070c0"}
_IMPORTANCE = {"P0": "high", "P1": "high", "P3": "low"}


class Email:
    """One mailbox or several, by way of one server."""

    def __init__(self, receiver: settings.Receiver) -> None:
        self._receiver = receiver

    def deliver(self, message: Message, now: datetime, timeout: float) -> None:
        receiver = self._receiver
        try:
            password = receiver.secret.value() if receiver.secret else ""
        except SecretMissing as missing:
            raise Undelivered(str(missing), permanent=False) from None
        host, _, port = receiver.url.rpartition(":")
        server = Server(host.strip("[]"), int(port), receiver.security, receiver.user, password)

        def write(refusals: Sequence[Refusal]) -> bytes:
            return encode(message, receiver, now, refusals)

        send(server, receiver.sender, receiver.to, write, timeout)


def encode(
    message: Message,
    receiver: settings.Receiver,
    now: datetime,
    refusals: Sequence[Refusal] = (),
) -> bytes:
    """The letter; who is not among its readers, because the server refused them, is named."""
    told = brief(message)
    letter = EmailMessage(policy=_POLICY)
    for name, value in _headers(message, told, receiver, now).items():
        letter[name] = value
    notes = [f"The mail server refused this mail for {refusal}." for refusal in refusals]
    text = plain(told, message.repeated, MAX_LETTER)
    letter.set_content("\n\n".join([text, *notes]) + "\n")
    letter.add_alternative(_html(told, message.repeated, notes), subtype="html")
    return letter.as_bytes()


def _headers(
    message: Message, told: Brief, receiver: settings.Receiver, now: datetime
) -> Mapping[str, str]:
    """The subject stays the same while the severity does: some readers thread by it."""
    domain = receiver.sender.rpartition("@")[2]
    root = f"<{_atom(message.dedup_key)}@{domain}>"
    headers = {
        "From": f"responder <{receiver.sender}>",
        "To": ", ".join(receiver.to),
        "Subject": _subject(told),
        "Date": format_datetime(now.astimezone(UTC)),
        "Message-ID": f"<{_atom(message.id)}@{domain}>",
        "In-Reply-To": root,
        "References": root,
        "Auto-Submitted": "auto-generated",
    }
    importance = _IMPORTANCE.get(told.severity)
    if importance and message.happening != Happening.RESOLVED:
        headers["Importance"] = importance
    return headers


def _subject(told: Brief) -> str:
    """One line, and nothing in it that a reader would take for an encoded word (RFC 2047)."""
    return cut(told.headline, MAX_SUBJECT).replace("=?", "= ?")


def _atom(identifier: str) -> str:
    """What may stand before the @ of a Message-ID."""
    kept = "".join(
        each for each in identifier if each.isascii() and (each.isalnum() or each in "-_")
    )
    return kept[:100] or "unknown"


def _html(told: Brief, repeated: bool, notes: Sequence[str]) -> str:
    """The same again: many readers show plain text in letters of unequal width, tables suffer."""
    colour = _COLOURS.get(told.severity, "#606060")
    body = [f"<h2>{escape(told.headline)}</h2>", _paragraph(told.state)]
    body += [_paragraph(note) for note in ([REPEATED] if repeated else [])]
    body += [line for part in told.parts for line in _part(part)]
    body += [_paragraph(note) for note in notes]
    links = [
        f'<a href="{escape(href)}">{escape(label_of(name, href))}</a>'
        for name, href in told.links.items()
    ]
    body.append(f"<p>{' · '.join(links)}</p>")
    style = f"border-left: 8px solid {colour}; padding-left: 12px; font-family: sans-serif"
    return f'<!DOCTYPE html>\n<div style="{style}">\n' + "\n".join(body) + "\n</div>\n"


def _part(part: Part) -> list[str]:
    lines = [f"<h3>{escape(part.title)}</h3>"]
    for piece in part.pieces:
        if piece.text:
            lines.append(_paragraph(piece.text))
        if piece.rows or piece.command:
            lines.append(f"<pre>{escape(piece.rows or piece.command)}</pre>")
    return lines


def _paragraph(text: str) -> str:
    return "<p>" + "<br>\n".join(escape(each) for each in text.splitlines()) + "</p>"
