"""Slack: what the channel sees, within Slack's limits, and what its answers mean."""

import json
import re
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import responses
from hypothesis import given

from responder.domain import settings
from responder.domain.notification import Happening, Message
from responder.domain.secret import Secret
from responder.receivers import RECEIVERS, Undelivered
from responder.receivers.brief.text import as_json
from responder.receivers.slack import encode
from tests.receivers.documents import (
    ACKNOWLEDGED,
    BARE,
    FIXED,
    HOSTILE,
    P0,
    RESOLVED,
    SUMMARY,
    changed,
    documents,
    happenings,
    message,
    patient,
)

URL = "https://hooks.slack.example/services/T000/B000/sEcReTsEcReT"
NOW = datetime.now(UTC)
LIMITS = {"header": 150, "section": 3_000, "context": 3_000}


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "url").write_text(URL + "\n")
    return tmp_path / "url"


def deliver(place: Path, told: Message | None = None) -> None:
    receiver = settings.Receiver("channel", "slack", secret=Secret((f"file:{place}",)))
    RECEIVERS["slack"](receiver).deliver(told or message(P0), NOW, timeout=5)


def failure(place: Path) -> Undelivered:
    """What went wrong; nowhere does it show the URL."""
    with pytest.raises(Undelivered) as failed:
        deliver(place)
    assert "sEcReT" not in "".join(traceback.format_exception(failed.value))
    return failed.value


def texts(payload: Mapping[str, Any], kind: str = "") -> list[str]:
    """The texts of all blocks, or of those of one kind."""
    found = [
        text
        for block in payload["blocks"]
        for text in (block["elements"] if block["type"] == "context" else [block["text"]])
    ]
    return [text["text"] for text in found if text["type"] == kind or not kind]


def check(payload: Mapping[str, Any]) -> None:
    """Slack's own rules (CONTRACTS 2.3)."""
    assert set(payload) == {"text", "blocks", "unfurl_links", "unfurl_media"}
    assert 0 < len(payload["text"]) <= 3_000
    assert 0 < len(payload["blocks"]) <= 50
    total = len(payload["text"])
    for block in payload["blocks"]:
        is_context = block["type"] == "context"
        inner = block["elements"] if is_context else [block["text"]]
        assert set(block) == {"type", "elements" if is_context else "text"}
        assert 1 <= len(inner) <= 10
        for text in inner:
            assert 1 <= len(text["text"]) <= LIMITS[block["type"]]
            assert text["type"] in ("plain_text", "mrkdwn")
            assert text["type"] == "plain_text" or text["verbatim"] is True
            assert block["type"] != "header" or text["type"] == "plain_text"
            total += len(text["text"])
    assert total <= 12_000


_LINK = re.compile(r"<https?://[^\s<>|]+\|[^<>|]+>")


def check_markup(payload: Mapping[str, Any]) -> None:
    """Markup is ours alone: links, code blocks, and titles in bold."""
    for text in [*texts(payload, "mrkdwn"), payload["text"]]:
        bare = _LINK.sub("", text)
        assert "<" not in bare
        assert ">" not in bare
        assert not re.search(r"&(?!amp;|lt;|gt;)", bare)
        is_code = bare.startswith("```\n") and bare.endswith("\n```")
        assert is_code or not re.search(r"@(here|channel|everyone)", bare, re.IGNORECASE)
        inner = bare[4:-4] if is_code else bare
        assert "```" not in inner
        if not is_code and not re.fullmatch(r"\*[A-Za-z ]+\*", bare):
            assert not re.search(r"(?<![\w\u200b])[*_~`](?=[^\s\u200b])", inner)
    for text in texts(payload, "plain_text"):
        assert "<!" not in text
        assert "<@" not in text


def test_it_posts_to_the_secret_url(web: responses.RequestsMock, place: Path) -> None:
    web.post(URL, body="ok")
    deliver(place)
    request = web.calls[0].request
    assert isinstance(request.body, bytes)
    payload = json.loads(request.body)
    assert payload == encode(message(P0))
    assert (payload["unfurl_links"], payload["unfurl_media"]) == (False, False)


def test_a_page_is_understood_at_once() -> None:
    payload = encode(message(P0))
    check(payload)
    assert payload["text"].startswith(
        "[P0] The shop's database does not answer: The host answers and nothing listens"
    )
    shown = texts(payload)
    assert shown[0] == "🔴 P0 The shop's database does not answer"
    assert shown[3] == P0["findings"][0]["summary"]
    assert "```\ncurl --silent https://status.supabase.com/api/v2/summary.json\n```" in shown
    told = [shown.index(f"*{title}*") for title in ("Cause", "Decision", "You can", "Evidence")]
    assert told == sorted(told)


@pytest.mark.parametrize(
    ("document", "happening", "header", "says"),
    [
        (BARE, Happening.OPENED, "🔴 P0 ", "still looking for the cause"),
        (FIXED, Happening.UPDATED, "🟡 P2 ", "Fixed and verified"),
        (ACKNOWLEDGED, Happening.ACKNOWLEDGED, "👀 P0 ", "Acknowledged by alice after 3 min"),
        (RESOLVED, Happening.RESOLVED, "✅ P2 ", "Resolved by its sender after 4 min"),
        (SUMMARY, Happening.SUMMARY, "🔴 P0 2,913 more incidents", "12 P0, 40 P1, 2,861 P2"),
        ({}, Happening.OPENED, "⚪ P? incident", "still looking for the cause"),
        (changed(P0, incident={"severity": "P3"}), Happening.OPENED, "🔵 P3 ", "Opened"),
    ],
)
def test_each_happening(
    document: dict[str, Any], happening: Happening, header: str, says: str
) -> None:
    payload = encode(message(document, happening))
    check(payload)
    assert texts(payload)[0].startswith(header)
    assert any(says in text for text in texts(payload))


def test_a_second_attempt_says_so() -> None:
    again = "Sent again: the first attempt may have arrived."
    assert again in texts(encode(message(P0, repeated=True)))
    assert again not in texts(encode(message(P0)))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_from_outside_is_markup(hostile: str) -> None:
    document = changed(
        P0,
        incident={"title": hostile, "target": hostile, "rule": hostile},
        findings=[{"name": hostile, "summary": hostile, "rows": [{hostile: hostile}, {"b": "c"}]}],
        links={hostile[:30]: "https://example.com/?a=<&b=>", "source": "https://example.com/?a&b"},
    )
    document["alerts"][0].update(labels={hostile: hostile}, name=hostile)
    document["options"][0].update(title=hostile, run=hostile, caution=hostile)
    payload = encode(message(document))
    check(payload)
    check_markup(payload)
    assert "<https://example.com/?a&amp;b|source (example.com)>" in texts(payload)[-1]


@patient
@given(documents(), happenings)
def test_any_document_is_within_the_limits(document: dict[str, Any], happening: Happening) -> None:
    payload = encode(message(document, happening, repeated=True))
    check(payload)
    check_markup(payload)
    as_json(payload).decode()


@pytest.mark.parametrize("character", ["x", "&", "😀", "`"])
def test_the_longest_document_is_cut_and_keeps_its_links(character: str) -> None:
    long = character * 5_000
    document = changed(
        P0,
        incident={"title": long},
        findings=[
            {"name": long, "summary": long, "rows": [{f"c{n}": long + str(n)} for n in range(9)]}
        ]
        * 9,
        options=[{"name": "o", "title": long, "offered": True, "caution": long, "run": long[:900]}]
        * 9,
        diagnosis=[{"question": long, "error": {"message": long}}] * 9,
    )
    document["alerts"][0]["labels"] = {f"l{number}": long for number in range(50)}
    payload = encode(message(document))
    check(payload)
    assert "incident" in texts(payload)[-1]
    used = sum(len(text.encode("utf-16-le")) // 2 for text in [*texts(payload), payload["text"]])
    assert 6_000 < used <= 12_000
    packed = json.dumps(payload["blocks"], ensure_ascii=False, separators=(",", ":"))
    counted = len(packed.encode("utf-16-le")) // 2 + 40 * len(payload["blocks"])
    assert counted + len(payload["text"]) <= 12_500


def test_the_fullest_document_has_few_enough_blocks() -> None:
    fixes = [{**FIXED["fixes"][0], "option": str(number)} for number in range(9)]
    questions = [{"question": "q", "status": "ok", "rows": [{"a": 1}]}] * 9
    failures = [{"question": "q", "error": {"message": "m"}}] * 9
    rows = [{"name": str(number), "summary": "s", "rows": [{"a": 1}]} for number in range(9)]
    options = [{"title": "t", "offered": True, "run": "r", "caution": "c"}] * 9
    for findings in ([], rows):
        document = changed(P0, fixes=fixes, findings=findings, options=options)
        document["diagnosis"] = questions + failures
        payload = encode(message(document, repeated=True))
        check(payload)
        assert not any("cut here" in text for text in texts(payload))


def test_rows_do_not_end_their_code_block() -> None:
    findings = [{"summary": "s", "rows": [{"a": "``` *x*", "b": "`"}]}]
    payload = encode(message(changed(P0, findings=findings)))
    assert "```\na  ''' *x*\nb  '\n```" in texts(payload, "mrkdwn")


def test_a_command_is_copied_as_it_is_or_not_shown() -> None:
    def shown(run: str) -> list[str]:
        return texts(encode(message(changed(P0, options=[{"offered": True, "run": run}]))))

    assert "```\npsql <<'E'  && echo `id`\n```".replace("<", "&lt;").replace(
        "&&", "&amp;&amp;"
    ) in (shown("psql <<'E'  && echo `id`"))
    assert "cat ```fence```" in shown("cat ```fence```")
    assert any("x" * 1_200 in text for text in shown("x" * 1_200))
    assert not any("xxx" in text for text in shown("x" * 1_201))
    assert any("too long to be shown" in text for text in shown("x" * 1_201))


@pytest.mark.parametrize(
    ("body", "permanent"),
    [
        ("invalid_payload", True),
        ("invalid_blocks", True),
        ("no_text", True),
        ("channel_is_archived", True),
        ("msg_blocks_too_long", True),
        ("rollup_error", False),
        ("rate_limited", False),
        ("", False),
        ("OK", False),
        ("ok\n", False),
        ("<html>Welcome to the guest network</html>", False),
        ("ok" * 5_000, False),
    ],
)
def test_a_200_is_not_enough(
    web: responses.RequestsMock, place: Path, body: str, permanent: bool
) -> None:
    web.post(URL, body=body)
    failed = failure(place)
    assert (failed.permanent, failed.maybe) == (permanent, not permanent)
    assert "html" not in str(failed)


@pytest.mark.parametrize(
    ("status", "body", "permanent", "maybe"),
    [
        (400, "invalid_payload", True, False),
        (403, "action_prohibited", True, False),
        (404, "channel_not_found", True, False),
        (410, "channel_is_archived", True, False),
        (302, "", True, False),
        (429, "rate_limited", False, False),
        (500, "rollup_error", False, True),
        (503, f"<html>{URL}</html>", False, True),
    ],
)
def test_a_refusal(
    web: responses.RequestsMock,
    place: Path,
    status: int,
    body: str,
    permanent: bool,
    maybe: bool,
) -> None:
    web.post(URL, status=status, body=body, headers={"retry-after": "7", "location": URL})
    failed = failure(place)
    assert (failed.permanent, failed.maybe) == (permanent, maybe)
    assert failed.retry_after == 7.0
    assert str(status) in str(failed)
    assert not body.isidentifier() or body in str(failed)


@pytest.mark.parametrize(
    "wrong", ["hooks.slack.example/sEcReT", "ftp://sEcReT/x", "https:///sEcReT", "sEcReT\x00"]
)
def test_a_wrong_url_is_named_by_its_place(place: Path, wrong: str) -> None:
    place.write_text(wrong)
    failed = failure(place)
    assert f"file:{place} holds no http or https URL" in str(failed)
    assert not failed.permanent


def test_a_missing_url_may_come_back(place: Path) -> None:
    place.unlink()
    failed = failure(place)
    assert "cannot be read" in str(failed)
    assert not failed.permanent


def test_an_unknown_host_does_not_show_the_url(place: Path) -> None:
    place.write_text("http://127.0.0.1:1/services/sEcReT")
    failed = failure(place)
    assert (failed.permanent, failed.maybe) == (False, False)
