"""The rules of Block Kit, each at its limit and one past it."""

from typing import Any

import pytest
import requests

from responder.cli.demo.stand_in import StandIn
from responder.cli.demo.stand_in.slack import MAX_MESSAGES_A_MINUTE
from tests.stand_in import Clock

CHANNEL = "/services/T000/B000/not-so-secret"


def post(stand_in: StandIn, payload: Any, path: str = CHANNEL) -> requests.Response:
    return requests.post(stand_in.url + path, json=payload, timeout=5)


def plain(length: int, **more: Any) -> dict[str, Any]:
    return {"type": "plain_text", "text": "x" * length, **more}


def mrkdwn(length: int, **more: Any) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": "x" * length, **more}


def header(length: int) -> dict[str, Any]:
    return {"type": "header", "text": plain(length)}


def section(length: int = 1, **more: Any) -> dict[str, Any]:
    return {"type": "section", "text": mrkdwn(length), **more}


def fields(count: int, length: int = 1) -> dict[str, Any]:
    return {"type": "section", "fields": [mrkdwn(length)] * count}


def context(count: int, element: Any = None) -> dict[str, Any]:
    return {"type": "context", "elements": [element or mrkdwn(1)] * count}


def actions(count: int, **button: Any) -> dict[str, Any]:
    return {"type": "actions", "elements": [{"type": "button", "text": plain(1), **button}] * count}


def image(length: int, **more: Any) -> dict[str, Any]:
    url = "https://shop.example/".ljust(length, "x")
    return {"type": "image", "image_url": url, "alt_text": "a graph", **more}


URL = "https://shop.example/"
DIVIDER = {"type": "divider"}

FINE = [
    [section(3000)],
    [section(1, block_id="b" * 255)],
    [{"type": "section", "text": plain(3000, emoji=True)}],
    [section(1, accessory={"type": "button", "text": plain(75), "url": URL})],
    [section(1, accessory=image(100))],
    [fields(10)],
    [fields(1, 2000)],
    [header(150)],
    [{"type": "header", "text": {"type": "plain_text", "text": "🔴" * 75}}],
    [context(10)],
    [context(1, image(3000))],
    [actions(25)],
    [actions(1, text=plain(75), url=URL.ljust(3000, "x"), value="v" * 2000, action_id="a" * 255)],
    [actions(1, style="danger")],
    [image(3000, title=plain(2000), alt_text="a" * 2000)],
    [{"type": "markdown", "text": "x" * 12_000}],
    [{"type": "rich_text", "elements": [{"type": "rich_text_preformatted", "elements": []}]}],
    [DIVIDER] * 50,
]

INVALID = [
    [section(3001)],
    [section(0)],
    [{"type": "section"}],
    [{"type": "section", "text": "a bare text"}],
    [section(1, block_id="b" * 256)],
    [section(1, block_id="same"), section(1, block_id="same")],
    [section(1, colour="red")],
    [{"type": "section", "text": mrkdwn(1, emoji=True)}],
    [{"type": "section", "text": plain(1, verbatim=True)}],
    [{"type": "section", "text": {"type": "html", "text": "x"}}],
    [section(1, accessory={"type": "button", "text": mrkdwn(1)})],
    [fields(11)],
    [fields(0)],
    [fields(1, 2001)],
    [header(151)],
    [{"type": "header", "text": {"type": "plain_text", "text": "🔴" * 76}}],
    [{"type": "header", "text": mrkdwn(1)}],
    [context(11)],
    [context(0)],
    [context(1, "a bare text")],
    [actions(26)],
    [actions(0)],
    [actions(1, text=plain(76))],
    [actions(1, text=mrkdwn(1))],
    [actions(1, url=URL.ljust(3001, "x"))],
    [actions(1, url="")],
    [actions(1, url="shop.example")],
    [actions(1, value="v" * 2001)],
    [actions(1, action_id="a" * 256)],
    [actions(1, style="green")],
    [image(3001)],
    [image(100, alt_text="")],
    [image(100, title=plain(2001))],
    [{"type": "markdown", "text": "x" * 6_001}] * 2,
    [{"type": "rich_text", "elements": [{"type": "section", "elements": []}]}],
    [DIVIDER] * 51,
    [{"type": "blink", "text": mrkdwn(1)}],
    [{"text": mrkdwn(1)}],
]


@pytest.mark.parametrize("blocks", FINE)
def test_blocks_within_all_limits_are_taken_and_kept_raw(stand_in: StandIn, blocks: Any) -> None:
    answer = post(stand_in, {"blocks": blocks})
    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers["content-type"].startswith("text/plain")
    (kept,) = stand_in.received()["slack"]
    assert (kept["path"], kept["payload"]) == (CHANNEL, {"blocks": blocks})


@pytest.mark.parametrize("blocks", INVALID)
def test_blocks_that_slack_refuses_are_refused(stand_in: StandIn, blocks: Any) -> None:
    for payload in ({"text": "x", "blocks": blocks}, {"attachments": [{"blocks": blocks}]}):
        answer = post(stand_in, payload)
        assert (answer.status_code, answer.text) == (400, "invalid_blocks")
        assert answer.headers["content-type"].startswith("text/plain")
    received = stand_in.received()
    assert received["slack"] == []
    assert [each["answer"] for each in received["refused"]] == ["invalid_blocks"] * 2


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ({}, "no_text"),
        ({"text": " ", "blocks": []}, "no_text"),
        ([], "invalid_payload"),
        ("text", "invalid_payload"),
        ({"text": 1}, "invalid_payload"),
        ({"blocks": '[{"type": "divider"}]'}, "invalid_blocks_format"),
        ({"blocks": ["text"]}, "invalid_blocks_format"),
        ({"attachments": {"text": "x"}}, "invalid_attachments"),
        ({"attachments": [{"text": "x"}] * 101}, "too_many_attachments"),
        ({"blocks": [section(3000)] * 5}, "msg_blocks_too_long"),
        ({"attachments": [{"blocks": [section(3000)] * 5}]}, "msg_blocks_too_long"),
    ],
)
def test_what_is_no_message_is_refused(stand_in: StandIn, payload: Any, told: str) -> None:
    answer = post(stand_in, payload)
    assert (answer.status_code, answer.text) == (400, told)
    assert stand_in.received()["slack"] == []


def test_slack_wants_json_and_its_content_type(stand_in: StandIn) -> None:
    for body, kind in ((b"{", "application/json"), (b'{"text": "x"}', "text/plain")):
        answer = requests.post(
            stand_in.url + CHANNEL, body, headers={"content-type": kind}, timeout=5
        )
        assert (answer.status_code, answer.text) == (400, "invalid_payload")


def test_a_message_has_a_size_to_which_every_block_adds(stand_in: StandIn) -> None:
    """Measured by others: 13,200, of which 40 headers take a good 4,000."""
    four = [section(3000)] * 4
    assert post(stand_in, {"blocks": [*four, section(700)]}).text == "ok"
    assert post(stand_in, {"blocks": [*four, section(800)]}).text == "msg_blocks_too_long"
    headers = [header(10)] * 40
    assert post(stand_in, {"blocks": [*headers, *four[:2]]}).text == "ok"
    assert post(stand_in, {"blocks": [*headers, *four[:3]]}).text == "msg_blocks_too_long"


def test_a_text_alone_is_a_message(stand_in: StandIn) -> None:
    for payload in ({"text": "x" * 100_000}, {"attachments": [{"color": "danger", "text": "x"}]}):
        assert post(stand_in, payload).text == "ok"


def test_a_channel_takes_a_message_a_second_on_average(stand_in: StandIn, clock: Clock) -> None:
    assert MAX_MESSAGES_A_MINUTE == 60
    answers = [post(stand_in, {"text": "x"}) for _ in range(61)]
    assert [each.status_code for each in answers] == [200] * 60 + [429]
    assert post(stand_in, {"text": "x"}, "/services/T000/B000/another").status_code == 200
    wait = int(answers[-1].headers["retry-after"])
    assert 1 <= wait <= 61
    clock.now += wait - 2
    assert post(stand_in, {"text": "x"}).status_code == 429
    clock.now += 2
    assert post(stand_in, {"text": "x"}).status_code == 200


@pytest.mark.parametrize("path", ["/services", "/services/"])
def test_a_channel_has_a_path(stand_in: StandIn, path: str) -> None:
    assert post(stand_in, {"text": "x"}, path).status_code == 404
