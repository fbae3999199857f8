"""Every shape of Alertmanager's webhook that was seen becomes alerts in our own words."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from responder.domain.alert import Alert, AlertStatus, Malformed, Notice, fingerprint
from responder.domain.settings import Source
from responder.domain.severity import Severity
from responder.sources import ADAPTERS, NotUnderstood, Request, read_json
from tests.sources.strange import ANYTHING, mutated, payloads_in, survives

PAYLOADS = Path(__file__).parent.parent / "payloads" / "alertmanager"
RECEIVED = datetime(2026, 11, 23, 3, 0, 0, 123456, tzinfo=UTC)
SOURCE = Source("am", "alertmanager")
ALERTMANAGER = ADAPTERS["alertmanager"]


def payload(name: str) -> Any:
    return read_json((PAYLOADS / f"{name}.json").read_bytes())


def parse(payload: Any, source: Source = SOURCE) -> list[Notice]:
    return ALERTMANAGER.parse(payload, source, RECEIVED)


def only(element: Any, source: Source = SOURCE, **envelope: Any) -> Alert:
    (alert,) = parse({**envelope, "alerts": [element]}, source)
    assert isinstance(alert, Alert), alert
    return alert


def named(**labels: Any) -> dict[str, Any]:
    return {"labels": {"alertname": "X", **labels}}


def test_a_firing_group_of_today() -> None:
    (alert,) = parse(payload("v4_firing"))
    assert isinstance(alert, Alert)
    told = payload("v4_firing")["alerts"][0]
    assert alert.source == "am"
    assert alert.fingerprint == told["fingerprint"]
    assert alert.status == AlertStatus.FIRING
    assert alert.name == "ShopifyQueueStuck"
    assert alert.title == "The product queue is not moving"
    assert alert.service == "shop"
    assert alert.labels == told["labels"]
    assert alert.severity_word == "warning"
    assert alert.severity == Severity.P2
    assert alert.starts_at is not None
    assert alert.starts_at.isoformat(timespec="seconds")[:19] == told["startsAt"][:19]
    assert alert.ends_at is None
    assert alert.links == {
        "runbook": "https://runbooks.example/shopify-queue-stuck",
        "source": told["generatorURL"],
    }


def test_its_resolve_has_the_same_identity() -> None:
    (fired,) = parse(payload("v4_firing"))
    (resolved,) = parse(payload("v4_resolved"))
    assert isinstance(fired, Alert) and isinstance(resolved, Alert)
    assert resolved.status == AlertStatus.RESOLVED
    assert resolved.fingerprint == fired.fingerprint
    assert resolved.starts_at is not None and resolved.ends_at is not None
    assert resolved.ends_at > resolved.starts_at


def test_an_old_one_without_fingerprint_and_status() -> None:
    (alert,) = parse(payload("v3_old"))
    assert isinstance(alert, Alert)
    assert alert.fingerprint == fingerprint(alert.labels)
    assert alert.status == AlertStatus.FIRING
    assert alert.severity == Severity.P0
    assert alert.title == "db-1 does not answer"
    assert alert.links == {}


def test_a_broken_one_does_not_hurt_its_neighbours() -> None:
    first, broken, third = parse(payload("v4_group_one_broken"))
    assert isinstance(first, Alert) and first.labels["instance"] == "db-1:5432"
    assert broken == Malformed("the label 'instance' is neither text nor a number")
    assert isinstance(third, Alert) and third.labels["instance"] == "db-3:5432"
    assert third.title == "Queries are slow"


def test_the_least_that_a_person_can_type() -> None:
    (alert,) = parse(payload("hand_made"))
    assert alert == Alert(
        source="am",
        fingerprint=fingerprint({"alertname": "DatabaseDown"}),
        status=AlertStatus.FIRING,
        name="DatabaseDown",
        title="DatabaseDown",
        service="",
        labels={"alertname": "DatabaseDown"},
    )


@pytest.mark.parametrize("file", sorted(path.stem for path in PAYLOADS.glob("*.json")))
def test_every_alert_survives_being_stored(file: str) -> None:
    for notice in parse(payload(file)):
        json.dumps(notice.to_json()).encode()


@pytest.mark.parametrize("envelope", [{"version": "3"}, {"version": 4}, {"groupKey": 17}, {}])
def test_the_envelope_may_say_of_itself_what_it_likes(envelope: dict[str, Any]) -> None:
    assert only(named(), **envelope).name == "X"


@pytest.mark.parametrize(
    "wrong", [None, [], "text", 7, {}, {"alerts": None}, {"alerts": {"0": {}}}, {"data": []}]
)
def test_another_shape_is_not_understood(wrong: Any) -> None:
    with pytest.raises(NotUnderstood):
        parse(wrong)


def test_an_empty_batch_has_no_notices() -> None:
    assert parse({"alerts": []}) == []


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        (None, "not an object"),
        ("text", "not an object"),
        ([], "not an object"),
        ({}, "no labels"),
        ({"labels": {}}, "no labels"),
        ({"labels": {"alertname": ""}}, "no labels"),
        ({"labels": {"severity": "critical"}}, "no label `alertname`"),
        ({"labels": ["alertname"]}, "`labels` is not an object"),
        (named(nested={"a": 1}), "neither text nor a number"),
        ({**named(), "status": "sleeping"}, "status 'sleeping'"),
        ({**named(), "status": ["firing"]}, "neither firing nor resolved"),
        (named(**{f"l{number}": "x" for number in range(100)}), "101 labels"),
    ],
)
def test_what_is_no_alert_says_why(element: Any, reason: str) -> None:
    before, broken, after = parse({"alerts": [named(at="1"), element, named(at="2")]})
    assert isinstance(broken, Malformed) and reason in broken.reason
    assert isinstance(before, Alert) and before.labels["at"] == "1"
    assert isinstance(after, Alert) and after.labels["at"] == "2"


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ({"a": 1, "b": 0.5, "c": True}, {"a": "1", "b": "0.5", "c": "true"}),
        ({"a": "", "b": None, "c": "x"}, {"c": "x"}),
        ({"a": "y" * 3_000}, {"a": "y" * 1_999 + "…"}),
        ({"a name as given": "x"}, {"a name as given": "x"}),
    ],
)
def test_labels_are_texts(told: dict[str, Any], kept: dict[str, str]) -> None:
    assert only(named(**told)).labels == {"alertname": "X", **kept}


def test_the_envelope_fills_what_an_alert_lacks() -> None:
    alert = only(
        {"labels": {"env": "staging", "team": ""}, "annotations": {"summary": "own"}},
        groupLabels={"alertname": "X"},
        commonLabels={"env": "production", "team": "shop", "broken": []},
        commonAnnotations={"summary": "common", "runbook_url": "https://r.example/x"},
    )
    assert alert.labels == {"alertname": "X", "env": "staging", "team": "shop"}
    assert alert.title == "own"
    assert alert.links == {"runbook": "https://r.example/x"}
    assert alert.fingerprint == fingerprint(alert.labels)


def test_the_source_fills_last_and_never_the_identity() -> None:
    source = Source(
        "am", "alertmanager", labels={"env": "production", "severity": "critical", "a": "b"}
    )
    alert = only(named(env="staging"), source, commonLabels={"a": "common"})
    assert alert.labels == {
        "alertname": "X",
        "env": "staging",
        "a": "common",
        "severity": "critical",
    }
    assert alert.severity == Severity.P0
    assert alert.fingerprint == only(named(env="staging", a="common")).fingerprint


def test_the_source_does_not_name_alerts() -> None:
    source = Source("am", "alertmanager", labels={"alertname": "Default"})
    assert isinstance(parse({"alerts": [{"labels": {"a": "b"}}]}, source)[0], Malformed)


@pytest.mark.parametrize(
    ("told", "kept"),
    [("abc", "abc"), (17, "17"), ("", None), (None, None), ("f" * 201, None), ([], None)],
)
def test_the_senders_fingerprint_else_our_own(told: Any, kept: str | None) -> None:
    alert = only({**named(), "fingerprint": told})
    assert alert.fingerprint == (kept or fingerprint({"alertname": "X"}))


PAST = (RECEIVED - timedelta(hours=1)).isoformat()
FUTURE = (RECEIVED + timedelta(hours=1)).isoformat()
ZERO = "0001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("own", "of_the_envelope", "ends_at", "expected"),
    [
        ("firing", "resolved", PAST, AlertStatus.FIRING),
        ("resolved", "firing", ZERO, AlertStatus.RESOLVED),
        (" Resolved", None, None, AlertStatus.RESOLVED),
        (None, "FIRING", PAST, AlertStatus.FIRING),
        ("", "resolved", None, AlertStatus.RESOLVED),
        (None, None, PAST, AlertStatus.RESOLVED),
        (None, None, FUTURE, AlertStatus.FIRING),
        (None, None, ZERO, AlertStatus.FIRING),
    ],
)
def test_the_status_is_its_own_else_the_envelopes_else_the_end(
    own: Any, of_the_envelope: Any, ends_at: Any, expected: AlertStatus
) -> None:
    alert = only({**named(), "status": own, "endsAt": ends_at}, status=of_the_envelope)
    assert alert.status == expected


EARLIER = (RECEIVED - timedelta(minutes=7)).replace(microsecond=123456)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (f"{EARLIER:%Y-%m-%dT%H:%M:%S}.123456789Z", EARLIER),
        (f"{EARLIER:%Y-%m-%dT%H:%M:%S}.1234567Z", EARLIER),
        (f"{EARLIER:%Y-%m-%dT%H:%M:%S.%f}", EARLIER),
        (EARLIER.astimezone(timezone(timedelta(hours=-7))).isoformat(), EARLIER),
        (ZERO, None),
        ("0001-01-01T00:00:00+05:00", None),
        ("9999-12-31T23:59:59-10:00", None),
        ("yesterday", None),
        ("", None),
        (None, None),
        (1_700_000_000, None),
        ({}, None),
    ],
)
def test_it_starts_when_the_sender_says(told: Any, expected: datetime | None) -> None:
    assert only({**named(), "startsAt": told}).starts_at == expected


def test_times_are_kept_in_utc() -> None:
    alert = only({**named(), "startsAt": PAST, "endsAt": FUTURE.replace("+00:00", "+02:00")})
    assert alert.starts_at is not None and alert.ends_at is not None
    assert alert.starts_at.utcoffset() == alert.ends_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("labels", "word", "severity"),
    [
        ({"severity": "Critical", "level": "info"}, "Critical", Severity.P0),
        ({"level": "1", "priority": "P2"}, "1", None),
        ({"priority": "P2"}, "P2", Severity.P2),
        ({"severity": "", "priority": "p3"}, "p3", Severity.P3),
        ({"severity": "ours"}, "ours", Severity.P1),
        ({"severity": "strange"}, "strange", None),
        ({}, None, None),
    ],
)
def test_the_severity_is_what_the_sender_declares(
    labels: dict[str, str], word: str | None, severity: Severity | None
) -> None:
    source = Source("am", "alertmanager", severities={"ours": Severity.P1})
    alert = only(named(**labels), source)
    assert (alert.severity_word, alert.severity) == (word, severity)
    assert alert.severity_unreadable == (word is not None and severity is None)


@pytest.mark.parametrize(
    ("annotations", "labels", "title"),
    [
        ({"summary": "s", "title": "t"}, {}, "s"),
        ({"title": "t", "message": "m"}, {}, "t"),
        ({"message": "m", "description": "d"}, {}, "m"),
        ({"summary": " ", "description": "\nfirst\nsecond"}, {}, "first"),
        ({"summary": "two\n  lines"}, {}, "two lines"),
        ({"summary": 5}, {}, "5"),
        ({"summary": "x" * 400}, {}, "x" * 299 + "…"),
        ({"summary": ["no text"]}, {"instance": "db-1", "service": "shop"}, "X: db-1"),
        ({}, {"service": "shop"}, "X: shop"),
        ({}, {}, "X"),
        ("no object", {}, "X"),
    ],
)
def test_the_title_is_one_line(annotations: Any, labels: dict[str, str], title: str) -> None:
    assert only({**named(**labels), "annotations": annotations}).title == title


@pytest.mark.parametrize(
    ("labels", "service"),
    [
        ({"service": "s", "job": "j", "app": "a"}, "s"),
        ({"job": "j", "app": "a"}, "j"),
        ({"app": "a"}, "a"),
        ({}, ""),
    ],
)
def test_the_service(labels: dict[str, str], service: str) -> None:
    assert only(named(**labels)).service == service


def test_links_by_name() -> None:
    alert = only(
        {
            **named(),
            "annotations": {
                "runbook_url": "https://r.example",
                "dashboard_url": "https://d.example/second",
            },
            "dashboardURL": "javascript:alert(1)",
            "panelURL": "https://p.example",
            "silenceURL": "https://s.example",
            "generatorURL": "http://g.example",
        }
    )
    assert alert.links == {
        "runbook": "https://r.example",
        "dashboard": "https://d.example/second",
        "panel": "https://p.example",
        "silence": "https://s.example",
        "source": "http://g.example",
    }


def test_it_has_no_delivery_key() -> None:
    request = Request({"x-request-id": "1"}, b"{}", RECEIVED)
    assert ALERTMANAGER.delivery_key(request, {}, SOURCE) is None


@given(ANYTHING | mutated(payloads_in(PAYLOADS)))
def test_whatever_comes_is_stored_or_not_understood(payload: Any) -> None:
    survives(ALERTMANAGER, payload, SOURCE, RECEIVED)
