"""Notes on PagerDuty incidents: on those that ours came from, else on the one that we raised."""

import json
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses
from hypothesis import given

from responder.domain import settings
from responder.domain.notification import Happening
from responder.domain.secret import Secret
from responder.receivers import RECEIVERS, Undelivered
from responder.receivers.brief import brief
from responder.receivers.brief.plain import plain
from responder.receivers.pagerduty_notes import MAX_NOTE
from tests.receivers.documents import (
    BARE,
    EXAMPLES,
    FIXED,
    KEY,
    P0,
    RESOLVED,
    SUMMARY,
    after,
    changed,
    documents,
    happenings,
    message,
    patient,
)

API = "https://api.pagerduty.example"
TOKEN = "y_NbAkKc66ryYTWUXYEu"
WRITTEN = {"note": {"id": "N1"}}
NOW = datetime.now(UTC)
OLD, NEW = after(days=-30), after(seconds=2)


def came_from(*ids: object, kind: str = "pagerduty", **more: Any) -> dict[str, Any]:
    """An incident that PagerDuty told us of, so often."""
    alerts = [{**FIXED["alerts"][0], "type": kind, "fingerprint": each} for each in ids]
    return changed(FIXED, alerts=alerts, **more)


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def token(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text(TOKEN + "\n")
    return tmp_path / "token"


def deliver(
    token: Path,
    document: dict[str, Any],
    happening: Happening = Happening.UPDATED,
    repeated: bool = False,
    timeout: float = 5,
) -> None:
    secret = Secret((f"file:{token}",))
    receiver = settings.Receiver(
        "notes", "pagerduty_notes", API, secret, sender="responder@example.com"
    )
    told = message(document, happening, repeated)
    RECEIVERS["pagerduty_notes"](receiver).deliver(told, NOW, timeout)


def failure(token: Path, document: dict[str, Any], **more: Any) -> Undelivered:
    with pytest.raises(Undelivered) as failed:
        deliver(token, document, **more)
    assert TOKEN not in "".join(traceback.format_exception(failed.value))
    return failed.value


def notes(incident: str) -> str:
    return f"{API}/incidents/{incident}/notes"


def noted(web: responses.RequestsMock) -> dict[str, str]:
    """The notes by address, in order."""
    posts = [call.request for call in web.calls if call.request.method == "POST"]
    return {str(post.url): json.loads(post.body or "")["note"]["content"] for post in posts}


def test_a_note_says_who_writes_and_what_is_known(web: responses.RequestsMock, token: Path) -> None:
    web.post(notes("Q1PDINC"), json={"note": {"id": "N1"}})
    deliver(token, came_from("Q1PDINC"))
    headers = web.calls[0].request.headers
    assert headers["authorization"] == f"Token token={TOKEN}"
    assert headers["accept"] == "application/vnd.pagerduty+json;version=2"
    assert headers["from"] == "responder@example.com"
    assert headers["content-type"] == "application/json"
    (content,) = noted(web).values()
    lines = content.splitlines()
    assert lines[0] == "[P2] The Shopify queue is stuck"
    assert lines[1].startswith("Fixed and verified")
    assert lines[3:5] == ["CAUSE", FIXED["findings"][0]["summary"]]


@pytest.mark.parametrize("happening", [Happening.OPENED, Happening.ACKNOWLEDGED, Happening.SUMMARY])
@pytest.mark.parametrize("document", [came_from("Q1"), SUMMARY, {}])
def test_what_is_not_for_a_note_asks_nobody(
    web: responses.RequestsMock, token: Path, happening: Happening, document: dict[str, Any]
) -> None:
    token.unlink()
    deliver(token, document, happening)
    assert not web.calls


@pytest.mark.parametrize("happening", [Happening.UPDATED, Happening.RESOLVED])
def test_each_incident_that_ours_came_from_is_told_once(
    web: responses.RequestsMock, token: Path, happening: Happening
) -> None:
    for incident in ("Q1", "Q2"):
        web.post(notes(incident), json=WRITTEN)
    deliver(token, came_from("Q1", "Q2", "Q1", "../users", 7, None, "x" * 65), happening)
    assert list(noted(web)) == [notes("Q1"), notes("Q2")]
    assert len(web.calls) == 2


@pytest.mark.parametrize(
    ("listed", "chosen"),
    [
        ([{"id": "PABC", "created_at": NEW}, {"id": "POLD", "created_at": OLD}], "PABC"),
        ([{"id": "POLD", "created_at": OLD}, {"id": "PABC", "created_at": NEW}], "PABC"),
        ([{"id": "PABC"}], "PABC"),
        ([{"id": "PABC", "created_at": "soon"}], "PABC"),
        ([None, {}, {"id": 7}, {"id": "a/../b"}, {"id": "PABC"}], "PABC"),
        ([{"id": "POLD", "created_at": OLD}], None),
        ([{"id": "POLD", "created_at": OLD, "status": "resolved"}], None),
        ([{"id": "PABC", "created_at": OLD, "status": "acknowledged"}], "PABC"),
        (
            [
                {"id": "POLD", "created_at": NEW, "status": "resolved"},
                {"id": "PABC", "created_at": NEW, "status": "triggered"},
            ],
            "PABC",
        ),
        ([], None),
    ],
)
def test_the_incident_that_we_raised(
    web: responses.RequestsMock, token: Path, listed: list[Any], chosen: str | None
) -> None:
    web.get(f"{API}/incidents", json={"incidents": listed})
    if chosen:
        web.post(notes(chosen), json=WRITTEN)
    deliver(token, P0)
    asked = parse_qs(urlsplit(str(web.calls[0].request.url)).query)
    assert asked == {"incident_key": [KEY], "sort_by": ["created_at:desc"]}
    assert list(noted(web)) == ([notes(chosen)] if chosen else [])


def test_who_else_told_of_it_gives_no_address(web: responses.RequestsMock, token: Path) -> None:
    web.get(f"{API}/incidents", json={"incidents": [{"id": "PABC"}]})
    web.post(notes("PABC"), json=WRITTEN)
    deliver(token, came_from("Q1PDINC", kind="alertmanager"))
    assert list(noted(web)) == [notes("PABC")]


@pytest.mark.parametrize("body", ["", "<html>", "[]", '{"incidents": null}', "[" * 5_000])
def test_an_answer_that_lists_nothing_is_asked_again(
    web: responses.RequestsMock, token: Path, body: str
) -> None:
    web.get(f"{API}/incidents", body=body)
    failed = failure(token, P0)
    assert (failed.permanent, failed.maybe) == (False, False)


@pytest.mark.parametrize(
    ("status", "permanent"), [(401, True), (403, True), (429, False), (500, False)]
)
def test_a_question_that_is_refused_doubles_nothing(
    web: responses.RequestsMock, token: Path, status: int, permanent: bool
) -> None:
    web.get(f"{API}/incidents", status=status, headers={"retry-after": "9"})
    failed = failure(token, P0)
    assert (failed.permanent, failed.maybe) == (permanent, False)
    assert failed.retry_after == 9.0


def test_a_refused_note_says_why(web: responses.RequestsMock, token: Path) -> None:
    said = {"message": f"Bad\nrequest of {TOKEN}", "code": 2001, "errors": ["Too many notes."]}
    web.post(notes("Q1"), status=400, json={"error": said})
    failed = failure(token, came_from("Q1"))
    assert failed.permanent
    assert str(failed) == (
        "PagerDuty refuses the note on Q1: Bad request of [token]; Too many notes. (400)"
    )


@pytest.mark.parametrize(
    ("first", "second", "permanent", "maybe", "wait"),
    [
        (200, 429, False, True, 30.0),
        (429, 200, False, True, 30.0),
        (404, 200, True, True, None),
        (404, 404, True, False, None),
        (404, 500, False, True, 30.0),
        (429, 429, False, False, 30.0),
    ],
)
def test_of_two_notes_one_fails(
    web: responses.RequestsMock,
    token: Path,
    first: int,
    second: int,
    permanent: bool,
    maybe: bool,
    wait: float | None,
) -> None:
    for incident, status in (("Q1", first), ("Q2", second)):
        web.post(notes(incident), status=status, json=WRITTEN, headers={"retry-after": "30"})
    failed = failure(token, came_from("Q1", "Q2"))
    assert len(web.calls) == 2
    assert (failed.permanent, failed.maybe) == (permanent, maybe)
    assert failed.retry_after == wait


def test_a_silent_one_may_have_heard(web: responses.RequestsMock, token: Path) -> None:
    web.post(notes("Q1"), body=requests.ReadTimeout())
    assert failure(token, came_from("Q1")).maybe


def test_no_note_is_begun_when_the_time_is_over(web: responses.RequestsMock, token: Path) -> None:
    failed = failure(token, came_from("Q1"), timeout=0)
    assert (failed.permanent, failed.maybe) == (False, False)
    assert not web.calls


def test_a_missing_token_may_come_back(token: Path) -> None:
    token.unlink()
    failed = failure(token, P0)
    assert "cannot be read" in str(failed)
    assert not failed.permanent


def test_a_second_attempt_says_so(web: responses.RequestsMock, token: Path) -> None:
    web.post(notes("Q1"), json=WRITTEN)
    deliver(token, came_from("Q1"), repeated=True)
    (content,) = noted(web).values()
    assert "Sent again: the first attempt may have arrived." in content


def test_the_end_says_who_and_how_long(web: responses.RequestsMock, token: Path) -> None:
    web.post(notes("Q1"), json=WRITTEN)
    deliver(token, changed(RESOLVED, alerts=came_from("Q1")["alerts"]), Happening.RESOLVED)
    (content,) = noted(web).values()
    assert "Resolved by its sender after 4 min" in content
    assert "all 12     status       failed" in content
    assert "EVIDENCE" not in content


@patient
@given(documents(), happenings)
def test_any_document_is_a_note_of_bounded_length(
    document: dict[str, Any], happening: Happening
) -> None:
    content = plain(brief(message(document, happening, repeated=True)), True, MAX_NOTE)
    assert 0 < len(content) <= MAX_NOTE
    assert content.startswith("[P")


def test_a_long_note_keeps_the_cause_and_a_link_and_no_half_command() -> None:
    run = "psql --command 'DELETE FROM item WHERE id = 7' # " + "x" * 1_000
    offers = [{"name": "o", "title": "Do it", "offered": True, "run": run}] * 3
    document = changed(P0, options=offers)
    content = plain(brief(message(document)), False, MAX_NOTE)
    assert len(content) <= MAX_NOTE
    assert document["findings"][0]["summary"] in content
    assert document["links"]["console"] in content
    assert content.count("psql") == content.count(run) == 1
    assert "cut here" in content


@pytest.mark.parametrize("document", [*EXAMPLES, BARE])
def test_our_examples_fit(document: dict[str, Any]) -> None:
    assert "cut here" not in plain(brief(message(document)), False, MAX_NOTE)
