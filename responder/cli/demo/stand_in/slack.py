"""Slack's incoming webhook: the rules of Block Kit, and short answers in plain text.

It knows the blocks that an alert needs; of what Slack takes besides (menus, inputs, videos) it
takes nothing.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from responder.cli.demo.stand_in.http import NOT_FOUND, Reply, Request
from responder.cli.demo.stand_in.kept import Kept
from responder.cli.demo.stand_in.pace import Pace

MAX_MESSAGES_A_MINUTE = 60
MAX_BLOCKS = 50
MAX_ATTACHMENTS = 100
MAX_ID = 255
MAX_TEXT, MAX_FIELD, MAX_HEADER, MAX_BUTTON = 3_000, 2_000, 150, 75
MAX_MARKDOWN = 12_000
MAX_URL, MAX_VALUE = 3_000, 2_000
MAX_FIELDS, MAX_CONTEXT, MAX_ACTIONS = 10, 10, 25
#: Undocumented. Measured by others: text and some 100 characters for each block are counted, which
#: is the JSON of the blocks with what Slack itself adds to each.
MAX_MESSAGE = 13_200
ADDED_TO_A_BLOCK = 40

_BOTH = ("plain_text", "mrkdwn")
_RICH = ("rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote")


class Slack:
    """Any path below /services/ is a channel."""

    def __init__(self, kept: Kept, clock: Callable[[], float]) -> None:
        self._kept = kept
        self._pace = Pace(MAX_MESSAGES_A_MINUTE, clock)

    def __call__(self, request: Request) -> Reply:
        if request.method != "POST" or not re.fullmatch("/services/.+", request.path):
            return NOT_FOUND
        wait = self._pace.wait(request.path)
        if wait:
            return Reply(429, "rate_limited", {"retry-after": str(wait)})
        try:
            payload = request.json()
        except ValueError:
            payload = None
        is_json = request.headers.get("content-type", "").startswith("application/json")
        if not is_json or not isinstance(payload, dict):
            return Reply(400, "invalid_payload")
        mistake = _mistake(payload)
        if mistake:
            return Reply(400, mistake)
        self._kept.keep("slack", path=request.path, payload=payload)
        return Reply(200, "ok")


def _mistake(payload: Mapping[str, Any]) -> str:
    """Slack's word for what is wrong, empty when nothing is."""
    text, attachments = payload.get("text") or "", payload.get("attachments") or []
    if not isinstance(text, str):
        return "invalid_payload"
    if not isinstance(attachments, list) or not all(isinstance(each, dict) for each in attachments):
        return "invalid_attachments"
    if len(attachments) > MAX_ATTACHMENTS:
        return "too_many_attachments"
    lists = [each.get("blocks") or [] for each in (payload, *attachments)]
    if not all(_is_list(each, dict) for each in lists):
        return "invalid_blocks_format"
    if not (text.strip() or attachments or any(lists)):
        return "no_text"
    if not all(_are_blocks(each) for each in lists):
        return "invalid_blocks"
    if sum(map(_size, lists)) > MAX_MESSAGE:
        return "msg_blocks_too_long"
    return ""


def _size(blocks: list[Any]) -> int:
    packed = json.dumps(blocks, ensure_ascii=False, separators=(",", ":"))
    return _length(packed) + ADDED_TO_A_BLOCK * len(blocks)


def _length(text: str) -> int:
    """As JavaScript counts: an emoji is two characters."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _are_blocks(blocks: list[Mapping[str, Any]]) -> bool:
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    markdown = sum(len(str(each.get("text"))) for each in blocks if each.get("type") == "markdown")
    return (
        len(blocks) <= MAX_BLOCKS
        and all(_is_string(id, MAX_ID) for id in ids)
        and len(set(ids)) == len(ids)
        and markdown <= MAX_MARKDOWN
        and all(map(_is_block, blocks))
    )


def _is_block(block: Mapping[str, Any]) -> bool:
    match block.get("type"):
        case "divider":
            return _has(block)
        case "header":
            return _has(block, "text") and _is_text(block["text"], MAX_HEADER, "plain_text")
        case "section":
            return _is_section(block)
        case "context":
            return _has(block, "elements") and _is_list_of(
                block["elements"], MAX_CONTEXT, lambda each: _is_image(each) or _is_text(each)
            )
        case "actions":
            return _has(block, "elements") and _is_list_of(
                block["elements"], MAX_ACTIONS, _is_button
            )
        case "image":
            return _is_image(block)
        case "markdown":
            return _has(block, "text") and _is_string(block["text"], MAX_MARKDOWN)
        case "rich_text":
            return _has(block, "elements") and _is_list_of(
                block["elements"], MAX_BLOCKS, _is_rich_text
            )
    return False


def _is_section(block: Mapping[str, Any]) -> bool:
    fields, accessory = block.get("fields"), block.get("accessory")
    return (
        _has(block, optional=("text", "fields", "accessory", "expand"))
        and ("text" in block or "fields" in block)
        and ("text" not in block or _is_text(block["text"]))
        and (
            "fields" not in block
            or _is_list_of(fields, MAX_FIELDS, lambda each: _is_text(each, MAX_FIELD))
        )
        and ("accessory" not in block or _is_button(accessory) or _is_image(accessory))
    )


def _is_text(value: Any, limit: int = MAX_TEXT, *kinds: str) -> bool:
    """Slack refuses `emoji` beside mrkdwn and `verbatim` beside plain_text."""
    return (
        isinstance(value, dict)
        and value.get("type") in (kinds or _BOTH)
        and _has(value, "text", optional=("emoji" if value["type"] == _BOTH[0] else "verbatim",))
        and _is_string(value["text"], limit)
    )


def _is_button(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("type") == "button"
        and _has(value, "text", optional=("action_id", "url", "value", "style"))
        and _is_text(value["text"], MAX_BUTTON, "plain_text")
        and _is_string(value.get("action_id", "-"), MAX_ID)
        and _is_string(value.get("value", "-"), MAX_VALUE)
        and ("url" not in value or _is_url(value["url"]))
        and value.get("style", "primary") in ("primary", "danger")
    )


def _is_image(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("type") == "image"
        and _has(value, "image_url", "alt_text", optional=("title",))
        and _is_url(value["image_url"])
        and _is_string(value["alt_text"], MAX_VALUE)
        and ("title" not in value or _is_text(value["title"], MAX_VALUE, "plain_text"))
    )


def _is_rich_text(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("type") in _RICH
        and _is_list(value.get("elements"), dict)
    )


def _has(value: Mapping[str, Any], *names: str, optional: Iterable[str] = ()) -> bool:
    """Slack refuses a key that it does not know."""
    return set(names) <= set(value) <= {*names, *optional, "type", "block_id"}


def _is_list(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)


def _is_list_of(value: Any, limit: int, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and 1 <= len(value) <= limit and all(map(is_right, value))


def _is_string(value: Any, limit: int) -> bool:
    return isinstance(value, str) and 1 <= _length(value) <= limit


def _is_url(value: Any) -> bool:
    return _is_string(value, MAX_URL) and value.startswith(("https://", "http://"))
