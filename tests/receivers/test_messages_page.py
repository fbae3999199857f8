"""docs/messages.md shows what people really get: every block of it is made here anew."""

import json
import re
from datetime import UTC
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from responder.domain import settings
from responder.domain.notification import Happening
from responder.receivers import email, pagerduty, slack
from responder.receivers.brief import brief
from responder.receivers.brief.plain import plain
from responder.receivers.pagerduty_notes import MAX_NOTE
from tests.receivers.documents import (
    AT,
    BARE,
    DIGEST,
    FIXED,
    MAINTENANCE,
    P0,
    RESOLVED,
    SUMMARY,
    message,
)

PAGE = Path(__file__).parent.parent.parent / "docs" / "messages.md"
RECEIVER = settings.Receiver("team", "email", sender="r@example.com", to=("team@example.com",))


def in_slack(document: dict[str, Any], happening: Happening) -> str:
    """The blocks, below each other."""
    blocks = slack.encode(message(document, happening))["blocks"]
    texts = [(block.get("elements") or [block["text"]])[0]["text"] for block in blocks]
    return "\n\n".join(texts)


def in_a_mail(document: dict[str, Any], happening: Happening) -> str:
    raw = email.encode(message(document, happening), RECEIVER, AT.astimezone(UTC))
    letter = message_from_bytes(raw, policy=policy.default)
    body = letter.get_body(("plain",))
    assert body is not None
    text = str(body.get_content()).replace("\r\n", "\n")
    return f"Subject: {letter['Subject']}\n\n{text}".rstrip()


def in_a_note(document: dict[str, Any], happening: Happening) -> str:
    return plain(brief(message(document, happening)), False, MAX_NOTE)


def in_pagerduty(document: dict[str, Any], happening: Happening) -> str:
    """The line that is read aloud, and the details that stand first."""
    payload = json.loads(pagerduty.encode(message(document, happening), "key"))["payload"]
    details = payload["custom_details"]
    first = {name: details[name] for name in ("cause", "decision", "options") if name in details}
    shown = {"summary": payload["summary"], "severity": payload["severity"], **first}
    return json.dumps(shown, indent=2, ensure_ascii=False)


EXAMPLES = {
    "slack P0": in_slack(P0, Happening.OPENED),
    "slack bare": in_slack(BARE, Happening.OPENED),
    "slack summary": in_slack(SUMMARY, Happening.SUMMARY),
    "slack maintenance": in_slack(MAINTENANCE, Happening.MAINTENANCE),
    "slack digest": in_slack(DIGEST, Happening.DIGEST),
    "mail fixed": in_a_mail(FIXED, Happening.UPDATED),
    "note resolved": in_a_note(RESOLVED, Happening.RESOLVED),
    "pagerduty P0": in_pagerduty(P0, Happening.OPENED),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_page_shows_it(name: str) -> None:
    blocks = re.findall(r"^~~~\w*\n(.*?)\n~~~$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert EXAMPLES[name] in blocks
