"""What PagerDuty's REST API adds to an event: labels, severity, and whether it is about ours."""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import responses
from hypothesis import given, settings
from hypothesis import strategies as st

from responder.domain.alert import Alert, Did, Echo, Malformed, Notice
from responder.domain.secret import Secret
from responder.domain.settings import Source
from responder.domain.severity import Severity
from responder.sources import ADAPTERS, ENRICHERS, read_json
from tests.sources.strange import ANYTHING, is_storable, mutated

PAYLOADS = Path(__file__).parent.parent / "payloads" / "pagerduty"
AT = datetime(2026, 3, 14, 9, 27, 0, tzinfo=UTC)
ALERTS = "https://api.pagerduty.example/incidents/Q1SHOP7C0UNTER/alerts"
SOURCE = Source(
    "pagerduty",
    "pagerduty",
    token=Secret(("env:PD_REST_TOKEN",)),
    url="https://api.pagerduty.example",
    labels={"env": "production", "tier": "1"},
)
OURS = "responder-" + "0123456789abcdef" * 2
OURS_TOO = "responder-" + "fedcba9876543210" * 2
enrich = ENRICHERS["pagerduty"]


@pytest.fixture(scope="module", autouse=True)
def secrets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PD_REST_TOKEN", "rest-token")
        yield


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def payload(name: str) -> Any:
    return read_json((PAYLOADS / f"{name}.json").read_bytes())


def parsed(name: str = "triggered", source: Source = SOURCE, **data: Any) -> list[Notice]:
    told = payload(name)
    told["event"]["data"].update(data)
    return ADAPTERS["pagerduty"].parse(told, source, AT)


def answer(*changes: dict[str, Any]) -> dict[str, Any]:
    """The REST answer, with one alert for each of the changes to it."""
    told: dict[str, Any] = payload("rest_alerts")
    told["alerts"] = [{**copy.deepcopy(told["alerts"][0]), **change} for change in changes or [{}]]
    return told


def details(**told: Any) -> dict[str, Any]:
    return {"body": {"details": told}}


def enriched(
    web: responses.RequestsMock, told: Any, notices: list[Notice], source: Source = SOURCE
) -> list[Notice]:
    web.get(ALERTS, body=json.dumps(told))
    found, trouble = enrich(notices, source, AT, 2.0)
    assert trouble == ""
    return found


def only(web: responses.RequestsMock, told: Any, source: Source = SOURCE, **data: Any) -> Alert:
    (alert,) = enriched(web, told, parsed(source=source, **data), source)
    assert isinstance(alert, Alert)
    return alert


def test_it_asks_as_pagerduty_wants_to_be_asked(web: responses.RequestsMock) -> None:
    only(web, answer())
    asked = web.calls[0].request
    assert asked.method == "GET"
    assert asked.headers["authorization"] == "Token token=rest-token"
    assert asked.headers["accept"] == "application/vnd.pagerduty+json;version=2"


def test_the_details_of_its_alert_become_labels(web: responses.RequestsMock) -> None:
    before = parsed()[0]
    alert = only(web, answer())
    assert isinstance(before, Alert)
    assert alert.labels == {
        **before.labels,
        "env": "staging",
        "tier": "1",
        "queue_name": "product_updates",
        "num_firing": "1",
        "region": "eu-1",
    }
    assert alert.annotations["firing"].startswith("Labels:\n - alertname = ShopifyQueueStuck")
    kept = replace(alert, labels=before.labels, annotations=before.annotations)
    assert kept == before


def test_the_title_and_the_webhook_win(web: responses.RequestsMock) -> None:
    source = replace(SOURCE, title_pattern=re.compile(r"\[(?P<env>\w+)\] (?P<alertname>\w+)"))
    told = answer(details(env="staging", alertname="Other", service="x", urgency="y", priority="z"))
    alert = only(web, told, source)
    assert alert.name == alert.labels["alertname"] == "ShopifyQueueStuck"
    assert alert.labels == {
        "alertname": "ShopifyQueueStuck",
        "env": "production",
        "tier": "1",
        "service": "Shop",
        "urgency": "high",
        "priority": "P3",
    }


def test_a_group_far_behind_in_a_long_title_wins_too(web: responses.RequestsMock) -> None:
    source = replace(SOURCE, title_pattern=re.compile(r"host=(?P<host>\S+)"))
    told = answer(details(host="db-2"))
    assert only(web, told, source, title="x " * 200 + "host=db-1").labels["host"] == "db-1"


def test_details_name_an_alert_that_its_title_does_not(web: responses.RequestsMock) -> None:
    alert = only(web, answer(details(alertname="ShopifyQueueStuck")))
    assert alert.name == alert.labels["alertname"] == "ShopifyQueueStuck"
    assert alert.title.startswith("[production]")


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ({"a.b c/d": "x", "0th": "y", "": "z"}, {"a_b_c_d": "x", "_0th": "y", "_": "z"}),
        ({"n": 1, "f": 0.5, "t": True, "none": None, "s": " ", "l": [1], "o": {}}, None),
        ({"v": "y" * 3_000}, {"v": "y" * 1_999 + "…"}),
        ({"n" * 300: "x"}, {"n" * 100: "x"}),
        ({f"d{number}": "x" for number in range(99)}, {f"d{number}": "x" for number in range(50)}),
        ("only a text", {}),
        (None, {}),
    ],
)
def test_only_what_can_be_a_label_is_one(
    web: responses.RequestsMock, told: Any, kept: dict[str, str] | None
) -> None:
    before = parsed()[0]
    assert isinstance(before, Alert)
    alert = only(web, answer({"body": {"details": told}}))
    expected = {"n": "1", "f": "0.5", "t": "true"} if kept is None else kept
    assert alert.labels == {**before.labels, **expected}


def test_what_its_alerts_do_not_agree_on_is_no_label(web: responses.RequestsMock) -> None:
    told = answer(details(host="db-1", cluster="a"), details(host="db-2", cluster="a", zone="z"))
    labels = only(web, told).labels
    assert "host" not in labels
    assert (labels["cluster"], labels["zone"]) == ("a", "z")


def test_resolved_alerts_tell_nothing_any_more(web: responses.RequestsMock) -> None:
    gone = {**details(host="db-1"), "status": "resolved", "severity": "critical"}
    alert = only(web, answer(gone, details(zone="z")), priority=None)
    assert "host" not in alert.labels and alert.labels["zone"] == "z"
    assert alert.severity == Severity.P2


@pytest.mark.parametrize(
    ("severities", "word", "severity"),
    [
        (["critical"], "critical", Severity.P0),
        (["info", "error", "warning"], "error", Severity.P1),
        (["Warning"], "Warning", Severity.P2),
        (["strange", "info"], "info", Severity.P3),
        (["strange"], "high", Severity.P1),
        ([None], "high", Severity.P1),
        ([["critical"]], "high", Severity.P1),
    ],
)
def test_without_a_priority_the_alerts_declare_the_severity(
    web: responses.RequestsMock, severities: list[Any], word: str, severity: Severity
) -> None:
    told = answer(*({"severity": each} for each in severities))
    alert = only(web, told, priority=None)
    assert (alert.severity_word, alert.severity) == (word, severity)


def test_the_priority_of_a_person_stays(web: responses.RequestsMock) -> None:
    alert = only(web, answer({"severity": "critical"}))
    assert (alert.severity_word, alert.severity) == ("P3", Severity.P2)


def test_the_severity_of_the_title_stays(web: responses.RequestsMock) -> None:
    source = replace(SOURCE, title_pattern=re.compile(r"\((?P<severity>\w+)\)"))
    alert = only(web, answer({"severity": "critical"}), source, title="x (info)", priority=None)
    assert (alert.severity_word, alert.severity) == ("info", Severity.P3)


def test_the_sources_own_map_reads_the_alerts_too(web: responses.RequestsMock) -> None:
    source = replace(SOURCE, severities={"warning": Severity.P0})
    assert only(web, answer(), source, priority=None).severity == Severity.P0


def keyed(*keys: Any) -> dict[str, Any]:
    return answer(*({"alert_key": key} for key in keys))


def test_an_incident_that_turns_out_to_be_ours_is_no_alert(web: responses.RequestsMock) -> None:
    assert enriched(web, keyed(OURS), parsed(incident_key=None)) == []


def test_who_acknowledged_ours_did_so(web: responses.RequestsMock) -> None:
    notices = parsed("acknowledged", incident_key=None)
    found = enriched(web, keyed(f"{OURS}-r2", OURS, OURS_TOO), notices)
    assert found == [
        Echo(Did.ACKNOWLEDGED, "On Call", dedup_key=OURS),
        Echo(Did.ACKNOWLEDGED, "On Call", dedup_key=OURS_TOO),
    ]


@pytest.mark.parametrize(
    ("agent", "reason", "expected"),
    [
        ("user_reference", None, [Echo(Did.RESOLVED, "On Call", dedup_key=OURS)]),
        (
            "user_reference",
            {"type": "merge_resolve_reason"},
            [Echo(Did.ACKNOWLEDGED, "On Call", dedup_key=OURS)],
        ),
        ("inbound_integration_reference", None, []),
    ],
)
def test_who_resolved_ours_did_so(
    web: responses.RequestsMock, agent: str, reason: Any, expected: list[Notice]
) -> None:
    told = payload("resolved")
    told["event"]["agent"]["type"] = agent
    told["event"]["data"].update(incident_key=None, resolve_reason=reason)
    notices = ADAPTERS["pagerduty"].parse(told, SOURCE, AT)
    assert enriched(web, keyed(OURS), notices) == expected


@pytest.mark.parametrize("name", ["triggered", "acknowledged", "resolved"])
def test_a_strangers_incident_that_ours_was_grouped_into_stays_an_alert(
    web: responses.RequestsMock, name: str
) -> None:
    told = keyed("theirs", OURS)
    told["alerts"][0].update(details(host="db-1"))
    told["alerts"][1].update(details(host="of the responder"))
    (notice,) = enriched(web, told, parsed(name))
    assert getattr(notice, "fingerprint", "") == "Q1SHOP7C0UNTER"
    if isinstance(notice, Alert) and name == "triggered":
        assert notice.labels["host"] == "db-1"


@pytest.mark.parametrize("told", [{"alerts": []}, {"alerts": [None, "x", 7]}])
def test_no_alerts_change_nothing(web: responses.RequestsMock, told: Any) -> None:
    assert enriched(web, told, parsed()) == parsed()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"null"),
        (200, b'{"alerts": {}}'),
        (200, b'{"alerts": [' + b"[" * 1_000),
        (200, b"\xff"),
        (302, b""),
        (401, b'{"error": {"message": "rest-token is wrong"}}'),
        (404, b"{}"),
        (429, b""),
        (500, b"rest-token"),
    ],
)
def test_without_a_good_answer_the_notices_are_as_they_were(
    web: responses.RequestsMock, status: int, body: bytes
) -> None:
    web.get(ALERTS, status=status, body=body, headers={"location": "https://elsewhere.example"})
    found, trouble = enrich(parsed(), SOURCE, AT, 2.0)
    assert found == parsed()
    assert "Q1SHOP7C0UNTER" in trouble and "rest-token" not in trouble


def test_a_missing_token_is_trouble_and_no_error() -> None:
    source = replace(SOURCE, token=Secret(("env:GONE",)))
    found, trouble = enrich(parsed(), source, AT, 2.0)
    assert found == parsed() and "GONE" in trouble


def test_without_a_token_nobody_is_asked() -> None:
    assert enrich(parsed(), replace(SOURCE, token=None), AT, 2.0) == (parsed(), "")


def test_what_is_about_no_incident_of_theirs_is_not_asked_for() -> None:
    notices: list[Notice] = [Malformed("x"), Echo(Did.RESOLVED, "On Call", dedup_key=OURS)]
    assert enrich(notices, SOURCE, AT, 2.0) == (notices, "")
    assert enrich([], SOURCE, AT, 2.0) == ([], "")


@settings(deadline=None)  # each asks in a thread of its own
@given(ANYTHING | mutated([payload("rest_alerts")]), st.sampled_from(["triggered", "resolved"]))
def test_whatever_is_answered_can_be_stored(told: Any, name: str) -> None:
    with responses.RequestsMock() as mock:
        mock.get(ALERTS, body=json.dumps(told))
        found, _ = enrich(parsed(name), SOURCE, AT, 2.0)
    for notice in found:
        is_storable(notice)
