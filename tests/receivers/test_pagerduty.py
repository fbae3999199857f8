"""PagerDuty's Events API v2: what a person on call sees, within PagerDuty's limits."""

import json
from collections.abc import Iterator
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
from responder.receivers.pagerduty import _ACTIONS, MAX_EVENT, MAX_SUMMARY, encode
from tests.receivers.documents import SUMMARY, changed, documents, happenings, patient

KEY = "0123456789abcdef0123456789abcdef"
ENQUEUE = "https://events.pagerduty.com/v2/enqueue"
NOW = datetime.now(UTC)
ROWS = [{"id": number, "sku": f"SKU-{number}"} for number in range(3)]
DOCUMENT: dict[str, Any] = {
    "version": 1,
    "incident": {
        "id": "018f-incident",
        "title": "The product queue is not moving",
        "severity": "P2",
        "key": '["rule", "shopify_queue_stuck", "shop_eu", {}]',
        "rule": "shopify_queue_stuck",
        "target": "shop_eu",
        "opened_at": NOW.isoformat(),
    },
    "alerts": [{"name": "ShopifyQueueStuck", "status": "firing", "labels": {"env": "production"}}],
    "diagnosis": [
        {"name": "stuck", "question": "Which?", "status": "ok", "row_count": 3, "rows": ROWS},
        {
            "name": "server",
            "question": "In which state?",
            "status": "failed",
            "row_count": 0,
            "rows": [],
            "error": {"kind": "refused", "code": "", "message": "connection refused"},
        },
    ],
    "findings": [{"name": "exhausted", "summary": "Three items gave up.", "rows": ROWS}],
    "decision": {"action": "propose", "reason": "severity", "sentence": "A person decides."},
    "options": [
        {
            "name": "requeue",
            "title": "Queue them again",
            "allowed": False,
            "why_not": "severity",
            "run": None,
        }
    ],
    "links": {
        "self": "https://r.example/v1/incidents/018f-incident",
        "console": "https://r.example/console/018f-incident",
        "runbook": "javascript:alert(1)",
        "panel": None,
        "dashboard": "https://d.example/" + "d" * 2_000,
    },
}


def message(happening: Happening = Happening.OPENED, **changed: Any) -> Message:
    return Message("m-1", happening, "responder-abc", {**DOCUMENT, **changed})


def event(told: Message) -> dict[str, Any]:
    encoded = encode(told, KEY)
    assert len(encoded) <= MAX_EVENT
    decoded: dict[str, Any] = json.loads(encoded)
    return decoded


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def receiver(tmp_path: Path) -> settings.Receiver:
    (tmp_path / "key").write_text(KEY + "\n")
    newest_first = Secret((f"file:{tmp_path}/key", f"file:{tmp_path}/retired"))
    return settings.Receiver("pager", "pagerduty", "https://events.pagerduty.com/", newest_first)


def deliver(receiver: settings.Receiver) -> None:
    RECEIVERS["pagerduty"](receiver).deliver(message(), NOW, timeout=5)


def test_it_enqueues_with_the_newest_key(
    web: responses.RequestsMock, receiver: settings.Receiver
) -> None:
    web.post(ENQUEUE, status=202, json={"status": "success"})
    deliver(receiver)
    sent = web.calls[0].request
    assert isinstance(sent.body, bytes)
    assert json.loads(sent.body)["routing_key"] == KEY
    assert sent.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("happening", "action"),
    [
        (Happening.OPENED, "trigger"),
        (Happening.UPDATED, "trigger"),
        (Happening.ACKNOWLEDGED, "acknowledge"),
        (Happening.RESOLVED, "resolve"),
    ],
)
def test_what_happened_is_an_action_on_one_key(happening: Happening, action: str) -> None:
    told = event(message(happening))
    assert told["event_action"] == action
    assert told["dedup_key"] == "responder-abc"
    assert ("payload" in told) == (action == "trigger")


def test_an_enriched_incident() -> None:
    told = event(message())
    details = told["payload"].pop("custom_details")
    assert told["payload"] == {
        "summary": "[P2] The product queue is not moving: Three items gave up.",
        "source": "shop_eu",
        "severity": "warning",
        "timestamp": NOW.isoformat(),
        "component": "shop_eu",
        "group": "shopify_queue_stuck",
        "class": "ShopifyQueueStuck",
    }
    assert [link["text"] for link in told["links"]] == ["self", "console"]
    assert told["client"] == "responder"
    assert told["client_url"] == DOCUMENT["links"]["console"]
    assert details["cause"] == ["Three items gave up."]
    assert details["decision"] == "A person decides."
    assert "escalation" not in details
    assert details["options"] == [
        {
            "name": "requeue",
            "title": "Queue them again",
            "allowed": False,
            "why_not": "severity",
        }
    ]
    assert details["rows"] == {"exhausted": ROWS}
    assert details["diagnosis"] == [
        {"question": "Which?", "status": "ok", "row_count": 3, "rows": ROWS},
        {
            "question": "In which state?",
            "status": "failed",
            "row_count": 0,
            "error": "connection refused",
        },
    ]
    assert details["incident"] == "018f-incident"
    assert "truncated" not in details
    assert list(details)[:6] == ["cause", "decision", "options", "rows", "diagnosis", "alerts"]


def test_a_bare_page_has_nothing_but_the_incident() -> None:
    incident = {"title": "DatabaseDown", "severity": "P0", "key": "k", "opened_at": "now"}
    bare = Message("m", Happening.OPENED, "responder-abc", {"incident": incident, "alerts": []})
    told = event(bare)
    assert told["payload"]["summary"] == "[P0] DatabaseDown: still looking for the cause"
    assert told["payload"]["severity"] == "critical"
    assert told["payload"]["source"] == "responder"
    assert told["payload"]["custom_details"]["key"] == "k"


def test_even_an_empty_document_wakes_somebody() -> None:
    told = event(Message("m", Happening.OPENED, "responder-abc", {}))
    assert told["payload"]["severity"] == "critical"
    assert told["payload"]["summary"]


@pytest.mark.parametrize(
    ("severity", "theirs"),
    [("P0", "critical"), ("P1", "error"), ("P2", "warning"), ("P3", "info"), (None, "critical")],
)
def test_severities(severity: str | None, theirs: str) -> None:
    told = event(message(incident={**DOCUMENT["incident"], "severity": severity}))
    assert told["payload"]["severity"] == theirs


@pytest.mark.parametrize(
    ("changed", "summary"),
    [
        ({"findings": []}, "[P2] The product queue is not moving: A person decides."),
        (
            {"findings": [], "decision": None},
            "[P2] The product queue is not moving: still looking for the cause",
        ),
        (
            {"findings": [{"summary": "two\nlines"}]},
            "[P2] The product queue is not moving: two lines",
        ),
    ],
)
def test_the_summary_is_one_line(changed: dict[str, Any], summary: str) -> None:
    assert event(message(**changed))["payload"]["summary"] == summary


def test_a_long_summary_is_cut_in_characters() -> None:
    summary = event(message(findings=[{"summary": "ä" * 5_000}]))["payload"]["summary"]
    assert len(summary) == MAX_SUMMARY
    assert summary.endswith("ä…")


@pytest.mark.parametrize("odd", ["soon", "2026-13-01T00:00:00Z", 7, None, ["2026"]])
def test_a_time_that_is_none_is_left_out(odd: object) -> None:
    told = event(message(incident={**DOCUMENT["incident"], "opened_at": odd}))
    assert "timestamp" not in told["payload"]


def test_many_messages_are_one_event() -> None:
    told = event(Message("m", Happening.SUMMARY, "responder-storm", SUMMARY))
    assert (told["event_action"], told["dedup_key"]) == ("trigger", "responder-storm")
    assert told["payload"]["summary"] == (
        "[P0] 2,913 more incidents: 12 P0, 40 P1, 2,861 P2, "
        "see https://responder.example.com/v1/incidents?status=open"
    )
    assert told["payload"]["severity"] == "critical"
    details = told["payload"]["custom_details"]
    assert details["summary"] == SUMMARY["summary"]
    assert len(details["incidents"]) == 20
    assert "cause" not in details


@pytest.mark.parametrize(
    ("counts", "theirs"),
    [({"P0": 0, "P1": 3}, "error"), ({"P3": 1}, "info"), ({}, "critical"), (None, "critical")],
)
def test_many_are_as_grave_as_the_gravest(counts: Any, theirs: str) -> None:
    document = changed(SUMMARY, summary={"by_severity": counts})
    told = event(Message("m", Happening.SUMMARY, "responder-storm", document))
    assert told["payload"]["severity"] == theirs


def test_many_long_titles_leave_the_keys() -> None:
    incidents = [{"title": "t" * 50_000}] * 20
    document = changed(SUMMARY, incidents=incidents)
    told = event(Message("m", Happening.SUMMARY, "responder-storm", document))
    details = told["payload"]["custom_details"]
    assert set(details) == {"dedup_key", "link", "truncated"}


@patient
@given(documents(), happenings.filter(_ACTIONS.__contains__))
def test_pagerduty_takes_any_document(document: dict[str, Any], happening: Happening) -> None:
    """PagerDuty refuses an event for ever, and with it a page, when one of these is odd."""
    told = event(Message("m", happening, "responder-abc", document))
    if told["event_action"] != "trigger":
        return
    payload = told["payload"]
    assert payload["severity"] in ("critical", "error", "warning", "info")
    assert 0 < len(payload["summary"]) <= MAX_SUMMARY
    for name in ("summary", "source", "component", "group", "class"):
        assert isinstance(payload.get(name, ""), str)
        assert not set(payload.get(name, "")) & set("\0\r\n\x1b")
    assert isinstance(payload["custom_details"], dict)
    if "timestamp" in payload:
        datetime.fromisoformat(payload["timestamp"])
    for link in told.get("links", []):
        assert link["href"].startswith(("https://", "http://"))


def big(size: int) -> list[dict[str, str]]:
    return [{"text": "ü" * 500} for _ in range(size // 1_000)]


def answers(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [{"question": "Which?", "status": "ok", "row_count": len(rows), "rows": rows}]


KEYS = {"incident", "severity", "rule", "target", "key", "dedup_key", "link"}


@pytest.mark.parametrize(
    ("changed", "left", "gone"),
    [
        ({}, {"rows", "diagnosis", "cause"}, set()),
        ({"diagnosis": answers(big(600_000))}, {"rows", "diagnosis", "cause"}, set()),
        (
            {"findings": [{"name": "f", "summary": "s", "rows": big(600_000)}]},
            {"diagnosis", "cause"},
            {"rows"},
        ),
        (
            {"findings": [{"name": "f", "summary": "s" * 600_000, "rows": []}]},
            set(),
            {"rows", "diagnosis", "cause", "alerts", "options"},
        ),
        (
            {
                "incident": {
                    name: "😀" * 600_000
                    for name in ("id", "key", "rule", "target", "title", "severity")
                },
                "alerts": [{"name": "😀" * 600_000}],
                "links": {"😀" * 50 + str(n): "https://x/" + "x" * 990 for n in range(50)},
            },
            {"key"},
            {"rows", "diagnosis", "cause", "alerts"},
        ),
    ],
    ids=["fits", "answers' rows go first", "then findings' rows", "then all", "monstrous keys"],
)
def test_what_is_too_large_loses_details_and_never_the_keys(
    changed: dict[str, Any], left: set[str], gone: set[str]
) -> None:
    details = event(message(**changed))["payload"]["custom_details"]
    assert left <= set(details)
    assert not gone & set(details)
    if "links" not in changed:
        assert set(details) >= KEYS
    assert details.get("truncated", False) == bool(changed)


def test_of_many_alerts_some_are_told_and_all_are_counted() -> None:
    details = event(message(alerts=[{"name": "X"}] * 5_000))["payload"]["custom_details"]
    assert len(details["alerts"]) == 10
    assert details["alert_count"] == 5_000


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"message": "Event object is invalid", "errors": ["no dedup", "too long"]}, "no dedup; "),
        ({"message": "Event object is invalid"}, "Event object is invalid"),
        ({"errors": f"unknown key {KEY}"}, r"unknown key \[routing key\]"),
        (["odd"], "does not say why"),
    ],
)
def test_a_refused_event_says_why(
    web: responses.RequestsMock, receiver: settings.Receiver, answer: Any, told: str
) -> None:
    web.post(ENQUEUE, status=400, json=answer)
    with pytest.raises(Undelivered, match=told) as failed:
        deliver(receiver)
    assert failed.value.permanent
    assert KEY not in str(failed.value)


@pytest.mark.parametrize("body", [b"<html>", b"", b"[" * 4_000, b"\xff"])
def test_a_refusal_that_is_no_json(
    web: responses.RequestsMock, receiver: settings.Receiver, body: bytes
) -> None:
    web.post(ENQUEUE, status=400, body=body)
    with pytest.raises(Undelivered, match="does not say why"):
        deliver(receiver)


@pytest.mark.parametrize("status", [429, 500])
def test_a_busy_one_is_asked_later(
    web: responses.RequestsMock, receiver: settings.Receiver, status: int
) -> None:
    web.post(ENQUEUE, status=status, headers={"retry-after": "60"})
    with pytest.raises(Undelivered) as failed:
        deliver(receiver)
    assert (failed.value.permanent, failed.value.retry_after) == (False, 60.0)


def test_a_missing_key_may_come_back(receiver: settings.Receiver, tmp_path: Path) -> None:
    (tmp_path / "key").unlink()
    with pytest.raises(Undelivered, match="cannot be read") as failed:
        deliver(receiver)
    assert not failed.value.permanent
