"""Grafana's contact point: who may speak, and each shape it sends, as alerts in our own words."""

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.alert import Alert, AlertStatus, Malformed, Notice, fingerprint
from responder.domain.secret import Secret, SecretMissing
from responder.domain.settings import Source
from responder.domain.severity import Severity
from responder.sources import ADAPTERS, NotUnderstood, Request, Unauthenticated, read_json
from tests.sources.strange import ANYTHING, mutated, payloads_in, survives

PAYLOADS = Path(__file__).parent.parent / "payloads"
GRAFANA = ADAPTERS["grafana"]
AT = datetime(2026, 3, 14, 9, 27, 0, tzinfo=UTC)
EPOCH = datetime.fromtimestamp(0, UTC)
SIGNATURE = "x-grafana-alerting-signature"
TIMESTAMP = "x-grafana-sent-at"

#: Inputs of grafana/alerting http/hmac_test.go, whose clock stands at the epoch.
PLAIN = (b"test message", "3bcebf43c85d20bba6e3b6ba278af1d2ba3ab0d57de271b0ad30b833e851c5a6")
EMPTY = (b"", "f9e66e179b6747ae54108f82f8ade8b3c25d76fd30afde6c395822c530196169")
STAMPED = (b"test message", "ac18a483a582b60a883e974541afe25aa1026136163e94665649743324183ef1")


@pytest.fixture(scope="module", autouse=True)
def secrets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFANA_OLD", "secret")
        patch.setenv("GRAFANA_NEW", "söme other")
        patch.setenv("GRAFANA_TOKEN", "a-token")
        patch.setenv("GRAFANA_PASSWORD", "a-password")
        yield


SIGNED = Source(
    "grafana",
    "grafana",
    secret=Secret(("env:GRAFANA_NEW", "env:GRAFANA_OLD")),
    signature_header="X-Grafana-Alerting-Signature",
)
SIGNED_AND_STAMPED = replace(SIGNED, timestamp_header="X-Grafana-Sent-At")
SOURCE = Source("grafana", "grafana")


def signed(body: bytes, given: str) -> Request:
    return Request({SIGNATURE: given}, body, AT)


def stamped(body: bytes, given: str, stamp: str, at: datetime = EPOCH) -> Request:
    return Request({SIGNATURE: given, TIMESTAMP: stamp}, body, at)


def refused(request: Request, source: Source) -> str:
    with pytest.raises(Unauthenticated) as error:
        GRAFANA.authenticate(request, source)
    return str(error.value)


def flips(told: bytes) -> Iterator[bytes]:
    for place in range(len(told)):
        for bit in range(8):
            changed = bytearray(told)
            changed[place] ^= 1 << bit
            yield bytes(changed)


@pytest.mark.parametrize(("body", "signature"), [PLAIN, EMPTY])
def test_the_published_signatures_open(body: bytes, signature: str) -> None:
    GRAFANA.authenticate(signed(body, signature), SIGNED)


def test_the_published_signature_with_a_timestamp_opens() -> None:
    GRAFANA.authenticate(stamped(*STAMPED, "0"), SIGNED_AND_STAMPED)


def test_no_bit_of_body_or_header_may_change() -> None:
    body, signature = PLAIN
    for other in flips(body):
        refused(signed(other, signature), SIGNED)
    for changed in flips(signature.encode()):
        refused(signed(body, changed.decode("latin-1")), SIGNED)
    stamped_body, stamped_signature = STAMPED
    for other in flips(stamped_body):
        refused(stamped(other, stamped_signature, "0"), SIGNED_AND_STAMPED)
    for changed in flips(stamped_signature.encode()):
        refused(stamped(stamped_body, changed.decode("latin-1"), "0"), SIGNED_AND_STAMPED)
    for changed in flips(b"0"):
        refused(stamped(*STAMPED, changed.decode("latin-1")), SIGNED_AND_STAMPED)


def test_no_bit_of_the_secret_may_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = {"secret": Secret(("env:GRAFANA_OLD",))}
    GRAFANA.authenticate(signed(*PLAIN), replace(SIGNED, **alone))
    for other in flips(b"secret"):
        monkeypatch.setenv("GRAFANA_OLD", other.decode("latin-1"))
        refused(signed(*PLAIN), replace(SIGNED, **alone))
        refused(stamped(*STAMPED, "0"), replace(SIGNED_AND_STAMPED, **alone))


def test_both_secrets_are_live_during_a_rotation() -> None:
    for key in ("secret", "söme other"):
        signature = hmac.new(key.encode(), b"{}", hashlib.sha256).hexdigest()
        GRAFANA.authenticate(signed(b"{}", signature), SIGNED)
    unknown = hmac.new(b"retired", b"{}", hashlib.sha256).hexdigest()
    assert "retired" not in refused(signed(b"{}", unknown), SIGNED)


def sealed(stamp: str, at: datetime) -> Request:
    message = stamp.encode() + b":{}"
    return stamped(b"{}", hmac.new(b"secret", message, hashlib.sha256).hexdigest(), stamp, at)


@pytest.mark.parametrize("seconds", [-300, -1, 0, 1, 300])
def test_a_timestamp_within_five_minutes_is_fresh(seconds: int) -> None:
    at = AT + timedelta(seconds=seconds)
    GRAFANA.authenticate(sealed(str(int(AT.timestamp())), at), SIGNED_AND_STAMPED)


@pytest.mark.parametrize("seconds", [-86_400, -301, 301, 86_400])
def test_an_older_or_later_one_is_replayed(seconds: int) -> None:
    at = AT + timedelta(seconds=seconds)
    assert "300 s" in refused(sealed(str(int(AT.timestamp())), at), SIGNED_AND_STAMPED)


@pytest.mark.parametrize(
    "stamp",
    [
        *("", " 0", "0 ", "+0", "-0", "0.0", "0_0", "0x0", "1e0", "9" * 10_000),
        *("\N{ARABIC-INDIC DIGIT ZERO}", "\N{FULLWIDTH DIGIT ZERO}", "\N{SUPERSCRIPT TWO}"),
    ],
)
def test_a_timestamp_is_plain_digits(stamp: str) -> None:
    refused(sealed(stamp, EPOCH), SIGNED_AND_STAMPED)


def test_a_timestamp_cannot_be_left_out_and_needs_none_when_not_configured() -> None:
    assert "no timestamp" in refused(signed(*PLAIN), SIGNED_AND_STAMPED)
    refused(stamped(*STAMPED, "0"), SIGNED)
    GRAFANA.authenticate(stamped(*PLAIN, "not read"), SIGNED)


def test_the_headers_have_the_configured_names() -> None:
    source = replace(SIGNED, signature_header="X-Ours")
    GRAFANA.authenticate(Request({"x-ours": PLAIN[1]}, PLAIN[0], AT), source)
    refused(signed(*PLAIN), source)


BEARER = {"bearer": Secret(("env:GRAFANA_TOKEN",))}
BASIC = {"basic_user": "grafana", "basic_password": Secret(("env:GRAFANA_PASSWORD",))}
TOKEN = "Bearer a-token"
PAIR = "Basic Z3JhZmFuYTphLXBhc3N3b3Jk"
RIGHT = PLAIN[1]
WRONG = PLAIN[1][::-1]


@pytest.mark.parametrize(
    ("configured", "signature", "authorization", "opens"),
    [
        ((SIGNED, BEARER), RIGHT, TOKEN, True),
        ((SIGNED, BEARER), RIGHT, "", False),
        ((SIGNED, BEARER), RIGHT, "Bearer other", False),
        ((SIGNED, BEARER), RIGHT, PAIR, False),
        ((SIGNED, BEARER), WRONG, TOKEN, False),
        ((SIGNED, BEARER), "", TOKEN, False),
        ((SIGNED, BASIC), RIGHT, PAIR, True),
        ((SIGNED, BASIC), RIGHT, "", False),
        ((SIGNED, BASIC), WRONG, PAIR, False),
        ((SIGNED, BEARER | BASIC), RIGHT, TOKEN, True),
        ((SIGNED, BEARER | BASIC), RIGHT, PAIR, True),
        ((SIGNED, {}), RIGHT, "Bearer whatever", True),
        ((SOURCE, BEARER), "", TOKEN, True),
        ((SOURCE, BEARER), RIGHT, "", False),
        ((SOURCE, BASIC), "", PAIR, True),
        ((SOURCE, BEARER | BASIC), "", PAIR, True),
        ((SOURCE, {}), RIGHT, TOKEN, False),
    ],
)
def test_what_is_configured_must_be_right(
    configured: tuple[Source, dict[str, Any]], signature: str, authorization: str, opens: bool
) -> None:
    source = replace(configured[0], **configured[1])
    told = Request({SIGNATURE: signature, "authorization": authorization}, PLAIN[0], AT)
    if opens:
        GRAFANA.authenticate(told, source)
    else:
        refused(told, source)


def test_a_missing_secret_is_ours_to_mend() -> None:
    with pytest.raises(SecretMissing):
        GRAFANA.authenticate(signed(*PLAIN), replace(SIGNED, secret=Secret(("env:GONE",))))


@given(st.binary(max_size=200), st.binary(max_size=30), st.text(max_size=100))
def test_a_malformed_header_is_only_refused(signature: bytes, stamp: bytes, text: str) -> None:
    strange = stamped(b"{}", signature.decode("latin-1"), stamp.decode("latin-1"), AT)
    refused(strange, SIGNED)
    refused(strange, SIGNED_AND_STAMPED)
    refused(sealed(str(int(AT.timestamp())) + text, AT + timedelta(days=9)), SIGNED_AND_STAMPED)
    refused(stamped(b"{}", text, text, AT), SIGNED_AND_STAMPED)


def payload(name: str, sender: str = "grafana") -> Any:
    return read_json((PAYLOADS / sender / f"{name}.json").read_bytes())


def parse(payload: Any, source: Source = SOURCE) -> list[Notice]:
    return GRAFANA.parse(payload, source, AT)


def only(payload: Any, source: Source = SOURCE) -> Alert:
    (alert,) = parse(payload, source)
    assert isinstance(alert, Alert), alert
    return alert


def test_a_firing_group_of_today() -> None:
    first, second = parse(payload("firing"))
    told = payload("firing")["alerts"][0]
    assert isinstance(first, Alert) and isinstance(second, Alert)
    assert first == Alert(
        source="grafana",
        fingerprint="6b1f0a7d3f8e2c41",
        status=AlertStatus.FIRING,
        name="Checkout is slow",
        title="Customers wait for the checkout",
        service="",
        labels=told["labels"],
        starts_at=datetime(2026, 3, 14, 9, 26, 50, tzinfo=UTC),
        severity_word="critical",
        severity=Severity.P0,
        annotations={
            **told["annotations"],
            "values": "A=2.75, C=1",
            "valueString": told["valueString"],
        },
        links={
            "runbook": "https://runbooks.example/checkout-is-slow",
            "dashboard": told["dashboardURL"],
            "panel": told["panelURL"],
            "silence": told["silenceURL"],
            "source": told["generatorURL"],
        },
    )
    assert second.links == {} and second.annotations == {}
    assert second.title == "Checkout is slow: shop-web-2:9102"


def test_its_resolve_has_the_same_identity() -> None:
    fired, _ = parse(payload("firing"))
    resolved = only(payload("resolved"))
    assert isinstance(fired, Alert) and resolved.fingerprint == fired.fingerprint
    assert resolved.status == AlertStatus.RESOLVED
    assert resolved.ends_at == datetime(2026, 3, 14, 9, 41, 20, tzinfo=UTC)


@pytest.mark.parametrize("name", ["test", "dashboard_test"])
def test_the_test_button_wakes_nobody(name: str) -> None:
    assert parse(payload(name)) == []


def test_only_the_alert_of_the_test_button_is_left_out() -> None:
    both = payload("firing")
    both["alerts"][1:] = payload("test")["alerts"]
    assert [notice.name for notice in parse(both) if isinstance(notice, Alert)] == [
        "Checkout is slow"
    ]
    named_so = payload("test")
    named_so["alerts"][0]["labels"]["instance"] = "shop-web-1"
    assert only(named_so).name == "TestAlert"


@pytest.mark.parametrize(
    ("alertname", "title"),
    [
        ("DatasourceNoData", "Checkout is slow: no data"),
        ("DatasourceError", "Checkout is slow: the query failed"),
        ("CheckoutIsSlow", "Customers wait for the checkout"),
    ],
)
def test_a_rule_that_could_not_be_evaluated_is_named(alertname: str, title: str) -> None:
    told = payload("no_data")
    told["alerts"][0]["labels"]["alertname"] = alertname
    alert = only(told)
    assert (alert.name, alert.title) == (alertname, title)
    assert alert.labels["rulename"] == "Checkout is slow"


def test_without_rulename_its_own_name_must_do() -> None:
    told = payload("no_data")
    for labels in (told["alerts"][0]["labels"], told["commonLabels"]):
        labels.pop("rulename", None)
    assert only(told).title == "DatasourceNoData: no data"


def measured(**told: Any) -> dict[str, str]:
    return dict(only({"alerts": [{"labels": {"alertname": "X"}, **told}]}).annotations)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ({"values": {"B": 22, "C": 0.5}}, {"values": "B=22, C=0.5"}),
        ({"values": {"B": None, "C": 1}}, {"values": "C=1"}),
        ({"values": {"B": {"nested": 1}, "C": "NaN"}}, {"values": "C=NaN"}),
        ({"values": None, "valueString": ""}, {}),
        ({"values": [1, 2], "valueString": ["x"]}, {}),
        ({"valueString": "[ var='B' value=22 ]"}, {"valueString": "[ var='B' value=22 ]"}),
        ({"values": {"B": 1}, "annotations": {"values": "own"}}, {"values": "own"}),
        ({"values": {"B": 1}, "annotations": "none"}, {"values": "B=1"}),
        ({"embeddedImage": "data:", "enrichments": {"a": [1]}}, {}),
    ],
)
def test_what_was_measured_becomes_annotations(told: Any, kept: dict[str, str]) -> None:
    assert measured(**told) == kept


def test_a_dashboard_alert_of_before_unified_alerting() -> None:
    told = payload("dashboard_alerting")
    assert only(told) == Alert(
        source="grafana",
        fingerprint="rule-42",
        status=AlertStatus.FIRING,
        name="Checkout is slow",
        title="Checkout is slow",
        service="",
        labels={"alertname": "Checkout is slow", "env": "production", "severity": "critical"},
        severity_word="critical",
        severity=Severity.P0,
        annotations={
            "summary": "Checkout is slow",
            "message": "The 95th percentile is above 2 s.",
            "values": "shop-web-1=2.75",
            "state": "alerting",
        },
        links={"source": told["ruleUrl"]},
    )


def test_its_ok_resolves_it() -> None:
    resolved = only(payload("dashboard_ok"))
    assert resolved.status == AlertStatus.RESOLVED
    assert resolved.fingerprint == only(payload("dashboard_alerting")).fingerprint
    assert (resolved.starts_at, resolved.ends_at) == (None, None)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("no_data", AlertStatus.FIRING),
        (" Alerting", AlertStatus.FIRING),
        ("OK", AlertStatus.RESOLVED),
        ("paused", None),
        ("pending", None),
        ("unknown", None),
    ],
)
def test_states_of_a_dashboard_alert(state: str, expected: AlertStatus | None) -> None:
    found = parse({**payload("dashboard_alerting"), "state": state})
    assert [notice.status for notice in found if isinstance(notice, Alert)] == (
        [expected] if expected else []
    )
    assert len(found) == (1 if expected else 0)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"state": "sleeping"}, "'sleeping'"),
        ({"state": ["alerting"]}, "'missing'"),
        ({"state": None}, "'missing'"),
        ({"ruleName": ""}, "alertname"),
        ({"ruleName": ["x"]}, "alertname"),
    ],
)
def test_a_broken_dashboard_alert_says_why(changed: dict[str, Any], reason: str) -> None:
    (broken,) = parse({**payload("dashboard_alerting"), **changed})
    assert isinstance(broken, Malformed) and reason in broken.reason


@pytest.mark.parametrize(
    ("told", "kept"),
    [(0, "rule-0"), ("42", "rule-42"), (3.0e18, "rule-3e+18"), (None, None), ([1], None)],
)
def test_the_rule_is_the_identity(told: Any, kept: str | None) -> None:
    alert = only({**payload("dashboard_alerting"), "ruleId": told})
    assert alert.fingerprint == (kept or fingerprint(alert.labels))


@pytest.mark.parametrize("name", ["v4_firing", "v4_resolved", "v3_old", "v4_group_one_broken"])
def test_alertmanagers_own_body_is_read_the_same(name: str) -> None:
    told = payload(name, "alertmanager")
    assert parse(told) == ADAPTERS["alertmanager"].parse(told, SOURCE, AT)


@pytest.mark.parametrize(
    "wrong",
    [
        payload("triggered", "pagerduty"),
        payload("v2", "pagerduty"),
        {"ruleName": "no state"},
        {"state": "alerting", "title": "no rule"},
        {"alerts": None, "ruleName": "x", "state": "ok"},
        {"alerts": {}},
        {"status": "firing"},
        [],
        [payload("firing")],
        None,
        "text",
        7,
    ],
)
def test_another_shape_is_not_understood(wrong: Any) -> None:
    with pytest.raises(NotUnderstood):
        parse(wrong)


def test_the_source_fills_labels_and_reads_words() -> None:
    source = replace(
        SOURCE, labels={"env": "staging", "team": "shop"}, severities={"critical": Severity.P2}
    )
    for name in ("firing", "dashboard_alerting"):
        first = parse(payload(name), source)[0]
        assert isinstance(first, Alert)
        assert (first.labels["env"], first.labels["team"]) == ("production", "shop")
        assert first.severity == Severity.P2


def test_it_has_no_delivery_key() -> None:
    assert GRAFANA.delivery_key(signed(*PLAIN), payload("firing"), SIGNED) is None


@given(ANYTHING | mutated(payloads_in(PAYLOADS / "grafana")))
def test_whatever_comes_is_stored_or_not_understood(payload: Any) -> None:
    survives(GRAFANA, payload, SOURCE, AT)
