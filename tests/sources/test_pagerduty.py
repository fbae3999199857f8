"""PagerDuty's V3 webhooks: who may speak, what is an alert, and what is only news of ours."""

import copy
import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.alert import Alert, AlertStatus, Did, Echo, Notice
from responder.domain.secret import Secret, SecretMissing
from responder.domain.settings import Source
from responder.domain.severity import Severity
from responder.sources import ADAPTERS, NotUnderstood, Request, Unauthenticated, read_json
from responder.sources.pagerduty import FIRING, QUIET, REPRIORITISED
from tests.sources.strange import ANYTHING, mutated, payloads_in, survives

PAYLOADS = Path(__file__).parent.parent / "payloads"
PAGERDUTY = ADAPTERS["pagerduty"]
AT = datetime(2026, 3, 14, 9, 27, 0, tzinfo=UTC)
SECRET = "lDQHScfUeXUKaQRNF+8XIiDKZ7XX3itBAYzwU0TARw8lJqRnkKl2iB1anSb0Z+IK"
SIGNATURE = "v1=0c0b9495b893a39e70d1fea2fe11fbe0a825f88b9f67846f6cc07dd2bc5476cd"
ANOTHER = "v1=7020c8a7ec668a9b7012bc3dd82e483394b038f4230acc6785efbf2a7d8bcaf5"
SOURCE = Source("pagerduty", "pagerduty", secret=Secret(("env:PD_NEW", "env:PD_OLD")))
OURS = "responder-" + "0123456789abcdef" * 2


@pytest.fixture(scope="module", autouse=True)
def secrets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PD_NEW", "another secret")
        patch.setenv("PD_OLD", SECRET)
        patch.setenv("PD_TOKEN", "a-token")
        yield


def published_body() -> bytes:
    """What the published signature is over (go-pagerduty webhookv3/webhookv3_test.go), rebuilt."""

    def ref(kind: str, place: str, name: str, summary: str) -> dict[str, str]:
        return {
            "html_url": f"https://acme.pagerduty.com/{place}",
            "id": name,
            "self": f"https://api.pagerduty.com/{place}",
            "summary": summary,
            "type": f"{kind}_reference",
        }

    priority = ref("priority", "priorities/PSO75BM", "PSO75BM", "P1")
    priority["html_url"] = "https://acme.pagerduty.com/account/incident_priorities"
    policy = ref("escalation_policy", "escalation_policies/PUS0KTE", "PUS0KTE", "Default")
    incident = {
        "id": "PGR0VU2",
        "type": "incident",
        "self": "https://api.pagerduty.com/incidents/PGR0VU2",
        "html_url": "https://acme.pagerduty.com/incidents/PGR0VU2",
        "number": 2,
        "status": "triggered",
        "title": "A little bump in the road",
        "service": ref("service", "services/PF9KMXH", "PF9KMXH", "API Service"),
        "assignees": [ref("user", "users/PTUXL6G", "PTUXL6G", "User 123")],
        "escalation_policy": policy,
        "teams": [ref("team", "teams/PFCVPS0", "PFCVPS0", "Engineering")],
        "priority": priority,
        "urgency": "high",
        "conference_bridge": {
            "conference_number": 1000,
            "conference_url": "https://example.com",
        },
        "resolve_reason": None,
    }
    event = {
        "id": "01BWDWL3NYY7LUFPZCC28QUCMK",
        "event_type": "incident.priority_updated",
        "resource_type": "incident",
        "occurred_at": "2021-04-26T17:36:27.458Z",
        "agent": ref("user", "users/PLH1HKV", "PLH1HKV", "Tenex Engineer"),
        "client": None,
        "data": incident,
    }
    return json.dumps({"event": event}, separators=(",", ":")).encode()


BODY = published_body()


def signed(header: str, body: bytes = BODY, **headers: str) -> Request:
    return Request({"x-pagerduty-signature": header, **headers}, body, AT)


def refused(request: Request, source: Source = SOURCE) -> str:
    with pytest.raises(Unauthenticated) as error:
        PAGERDUTY.authenticate(request, source)
    return str(error.value)


def flips(told: bytes) -> Iterator[bytes]:
    for place in range(len(told)):
        for bit in range(8):
            changed = bytearray(told)
            changed[place] ^= 1 << bit
            yield bytes(changed)


def test_the_published_body_is_theirs() -> None:
    digest = "6ef42c69dbbc0feaff02e04ca31f497cb2bcbecf1a038a636f114cd7cdd2e23a"
    assert (len(BODY), hashlib.sha256(BODY).hexdigest()) == (1655, digest)


@pytest.mark.parametrize(
    "header",
    [
        SIGNATURE,
        f"{ANOTHER},{SIGNATURE}",
        f"{SIGNATURE},{ANOTHER}",
        f" {ANOTHER} ,\t{SIGNATURE} ",
        f"v2=abc,{SIGNATURE}",
        f"nonsense,,={SIGNATURE[3:]},{SIGNATURE},v1=",
    ],
)
def test_the_published_signature_opens_among_others(header: str) -> None:
    PAGERDUTY.authenticate(signed(header), SOURCE)


@pytest.mark.parametrize(
    "header",
    [
        "",
        ANOTHER,
        SIGNATURE[3:],
        SIGNATURE.upper(),
        SIGNATURE.replace("v1", "v2"),
        SIGNATURE.replace("v1=", "v1=="),
        SIGNATURE.replace("=", "= "),
        SIGNATURE.replace("=", ":"),
        SIGNATURE.replace("=", "=0x"),
        SIGNATURE + ";" + SIGNATURE,
        SIGNATURE[:-1],
        SIGNATURE + "0",
        "v1=" + "\N{FULLWIDTH DIGIT ZERO}" * 64,
        "v1=\ud800",
        "v1=," * 100_000,
        "v1",
        "=",
        ",",
    ],
    ids=lambda header: ascii(header[:30]),
)
def test_any_other_header_is_refused(header: str) -> None:
    refused(signed(header))


def test_a_missing_header_is_refused() -> None:
    refused(Request({}, BODY, AT))
    refused(Request({"x-pagerduty-signature-v1": SIGNATURE}, BODY, AT))


def test_no_bit_of_body_or_header_may_change() -> None:
    for body in flips(BODY):
        refused(signed(SIGNATURE, body))
    for header in flips(SIGNATURE.encode()):
        refused(signed(header.decode("latin-1")))


def test_no_bit_of_the_secret_may_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    for other in flips(SECRET.encode()):
        monkeypatch.setenv("PD_OLD", other.decode("latin-1"))
        refused(signed(SIGNATURE))


def test_either_secret_is_live_during_a_rotation() -> None:
    new = hmac.new(b"another secret", b"{}", hashlib.sha256).hexdigest()
    PAGERDUTY.authenticate(signed(f"{ANOTHER},v1={new}", b"{}"), SOURCE)


def test_what_else_is_configured_must_be_right_too() -> None:
    source = replace(SOURCE, bearer=Secret(("env:PD_TOKEN",)))
    PAGERDUTY.authenticate(signed(SIGNATURE, authorization="Bearer a-token"), source)
    refused(signed(SIGNATURE), source)
    refused(signed(ANOTHER, authorization="Bearer a-token"), source)


def test_without_a_secret_nobody_may_speak() -> None:
    assert "no secret" in refused(signed(SIGNATURE), replace(SOURCE, secret=None))
    with pytest.raises(SecretMissing):
        PAGERDUTY.authenticate(signed(SIGNATURE), replace(SOURCE, secret=Secret(("env:GONE",))))


@given(st.binary(max_size=300), st.text(max_size=100))
def test_a_malformed_header_is_only_refused(raw: bytes, text: str) -> None:
    refused(signed(raw.decode("latin-1")))
    refused(signed(text))
    refused(signed(f"v1={text},{ANOTHER}"))


def payload(name: str, sender: str = "pagerduty") -> Any:
    return read_json((PAYLOADS / sender / f"{name}.json").read_bytes())


def event(name: str = "triggered", kind: str | None = None, **data: Any) -> dict[str, Any]:
    told: dict[str, Any] = payload(name)
    told["event"]["data"].update(data)
    if kind is not None:
        told["event"]["event_type"] = kind
    return told


def parse(told: Any, source: Source = SOURCE) -> list[Notice]:
    return PAGERDUTY.parse(told, source, AT)


def only(told: Any, source: Source = SOURCE) -> Alert:
    (alert,) = parse(told, source)
    assert isinstance(alert, Alert), alert
    return alert


def test_a_triggered_incident() -> None:
    title = "[production] ShopifyQueueStuck: the product queue is not moving"
    assert only(payload("triggered")) == Alert(
        source="pagerduty",
        fingerprint="Q1SHOP7C0UNTER",
        status=AlertStatus.FIRING,
        name=title,
        title=title,
        service="Shop",
        labels={"alertname": title, "service": "Shop", "urgency": "high", "priority": "P3"},
        starts_at=datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC),
        severity_word="P3",
        severity=Severity.P2,
        links={"source": "https://shop.pagerduty.example/incidents/Q1SHOP7C0UNTER"},
    )


def test_its_resolve_has_the_same_identity() -> None:
    resolved = only(payload("resolved"))
    assert resolved.fingerprint == only(payload("triggered")).fingerprint
    assert resolved.status == AlertStatus.RESOLVED
    assert resolved.starts_at == datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
    assert resolved.ends_at == datetime(2026, 3, 14, 9, 55, 30, 117_000, tzinfo=UTC)
    assert resolved.annotations == {"resolved_by": "On Call"}


def test_its_acknowledgement_is_no_alert() -> None:
    expected = Echo(Did.ACKNOWLEDGED, "On Call", fingerprint="Q1SHOP7C0UNTER")
    assert parse(payload("acknowledged")) == [expected]


@pytest.mark.parametrize("kind", ["incident.reopened", "incident.unacknowledged"])
def test_it_fires_again_since_that_happened(kind: str) -> None:
    again = only(event("reopened", kind))
    assert again.status == AlertStatus.FIRING
    assert again.starts_at == datetime(2026, 3, 14, 10, 12, 0, 500_000, tzinfo=UTC)


def test_a_priority_that_is_raised_is_heard() -> None:
    raised = {"type": "priority_reference", "summary": "P1"}
    told = only(event("triggered", REPRIORITISED, priority=raised))
    assert (told.status, told.severity) == (AlertStatus.FIRING, Severity.P0)
    assert told.starts_at == only(payload("triggered")).starts_at
    assert parse(event("triggered", REPRIORITISED, priority=raised, status="resolved")) == []
    ours = "responder-" + "0" * 32
    assert parse(event("triggered", REPRIORITISED, incident_key=ours)) == []


def test_a_merged_one_is_over_and_says_where_it_went() -> None:
    reason = {"type": "merge_resolve_reason", "incident": {"id": "QOTHER"}}
    merged = only(event("resolved", resolve_reason=reason))
    assert merged.status == AlertStatus.RESOLVED
    assert merged.annotations["merged_into"] == "QOTHER"


@pytest.mark.parametrize("name", ["ping", "annotated"])
def test_a_ping_and_a_note_are_no_alerts(name: str) -> None:
    assert parse(payload(name)) == []


#: PagerDuty's own list; the five that mean something are tested above.
DOCUMENTED = {
    *(
        f"incident.{name}"
        for name in (
            *("triggered", "acknowledged", "unacknowledged", "resolved", "reopened"),
            *("reassigned", "escalated", "delegated", "priority_updated", "annotated"),
            *("responder.added", "responder.replied", "status_update_published"),
            *("conference_bridge.updated", "custom_field_values.updated"),
            *("incident_type.changed", "service_updated", "role.assigned"),
            *("task.created", "task.updated", "task.completed"),
            *("action_invocation.created", "action_invocation.updated"),
            *("action_invocation.terminated", "workflow.started", "workflow.completed"),
        )
    ),
    *("service.created", "service.updated", "service.deleted"),
    *("service.custom_field_values.updated", "pagey.ping"),
}


def test_every_documented_type_is_known() -> None:
    meaningful = {*FIRING, REPRIORITISED, "incident.acknowledged", "incident.resolved"}
    assert QUIET | meaningful == DOCUMENTED
    assert not QUIET & meaningful


@pytest.mark.parametrize("kind", sorted(QUIET))
@pytest.mark.parametrize("data", [{}, None, {"type": "incident_note", "id": 7}])
def test_a_quiet_type_is_nothing_whatever_it_holds(kind: str, data: Any) -> None:
    assert parse({"event": {"event_type": kind, "data": data}}) == []


@pytest.mark.parametrize(
    "wrong",
    [
        event(kind="incident.exploded"),
        event(kind="INCIDENT.TRIGGERED"),
        event(kind=""),
        event(kind="x" * 5_000),
        payload("v2"),
        {"messages": [{"type": "incident.trigger", "data": {"incident": {"id": "P1"}}}]},
        payload("firing", "grafana"),
        payload("v4_firing", "alertmanager"),
        {"event": None},
        {"event": "incident.triggered"},
        {"event": [payload("triggered")["event"]]},
        {"event": {"event_type": None}},
        {"event": {"event_type": ["incident.triggered"]}},
        {"event": {"event_type": "incident.triggered"}},
        {"event": {"event_type": "incident.acknowledged", "data": []}},
        {"event": {"event_type": "incident.resolved", "data": {"id": ""}}},
        event(id="P1/../../users"),
        event(id="P1\n"),
        event(id="P" * 65),
        event(id=17),
        [payload("triggered")],
        {},
        None,
        "incident.triggered",
    ],
)
def test_anything_else_is_not_understood(wrong: Any) -> None:
    with pytest.raises(NotUnderstood):
        parse(wrong)


PATTERN = re.compile(r"^\[(?P<env>\w+)\] (?P<alertname>\w+):(?: (?P<queue>\w+) stuck)?")


@pytest.mark.parametrize(
    ("title", "name", "labels"),
    [
        ("[production] QueueStuck: no news", "QueueStuck", {"env": "production"}),
        ("[staging] A: mail stuck", "A", {"env": "staging", "queue": "mail"}),
        ("something else", "something else", {"env": "from the source"}),
        ("  two\n lines ", "two lines", {"env": "from the source"}),
        ("t" * 400, "t" * 299 + "…", {"env": "from the source"}),
        ("", "PagerDuty incident Q1SHOP7C0UNTER", {"env": "from the source"}),
        (["x"], "PagerDuty incident Q1SHOP7C0UNTER", {"env": "from the source"}),
    ],
)
def test_the_title_names_and_labels_it(title: Any, name: str, labels: dict[str, str]) -> None:
    source = replace(
        SOURCE, title_pattern=PATTERN, labels={"env": "from the source", "service": "of no use"}
    )
    alert = only(event(title=title), source)
    assert alert.name == name
    assert alert.labels == {
        "alertname": name,
        "service": "Shop",
        "urgency": "high",
        "priority": "P3",
        **labels,
    }


def test_a_long_title_is_searched_beyond_what_is_shown() -> None:
    source = replace(SOURCE, title_pattern=re.compile(r"host=(?P<host>\S+)"))
    title = "x " * 200 + "host=db-1"
    alert = only(event(title=title), source)
    assert alert.labels["host"] == "db-1"
    assert len(alert.title) == 300 and alert.annotations["title"] == title


@pytest.mark.parametrize(
    ("priority", "urgency", "word", "severity"),
    [
        ("P1", "low", "P1", Severity.P0),
        ("p2", "low", "p2", Severity.P1),
        ("P3", "high", "P3", Severity.P2),
        ("P4", "high", "P4", Severity.P3),
        ("P5", "high", "P5", Severity.P3),
        ("Ours", "high", "Ours", Severity.P1),
        ("Low", "high", "Low", Severity.P0),
        ("SEV-17", "high", "SEV-17", None),
        (None, "high", "high", Severity.P1),
        (None, "low", "low", Severity.P0),
        ("", "high", "high", Severity.P1),
        (None, None, None, None),
    ],
)
def test_the_priority_counts_else_the_urgency(
    priority: str | None, urgency: str | None, word: str | None, severity: Severity | None
) -> None:
    source = replace(SOURCE, severities={"ours": Severity.P1, "low": Severity.P0})
    told = event(priority=priority and {"summary": priority}, urgency=urgency)
    alert = only(told, source)
    assert (alert.severity_word, alert.severity) == (word, severity)


def test_the_sources_own_map_wins_over_pagerdutys_priorities() -> None:
    source = replace(SOURCE, severities={"p3": Severity.P3})
    assert only(payload("triggered"), source).severity == Severity.P3


def test_a_group_wins_over_a_label_of_the_webhook() -> None:
    source = replace(SOURCE, title_pattern=re.compile(r"at (?P<service>\w+)"))
    alert = only(event(title="Queue stuck at checkout"), source)
    assert (alert.labels["service"], alert.service) == ("checkout", "Shop")


def test_a_group_named_severity_declares_it() -> None:
    source = replace(SOURCE, title_pattern=re.compile(r"\((?P<severity>\w+)\)"))
    alert = only(event(title="Queue stuck (warning)"), source)
    assert (alert.severity_word, alert.severity) == ("warning", Severity.P2)
    assert alert.labels["severity"] == "warning"


@pytest.mark.parametrize(
    ("data", "starts_at"),
    [
        ({"created_at": None}, datetime(2026, 3, 14, 9, 26, 54, 301_000, tzinfo=UTC)),
        ({"created_at": "soon"}, datetime(2026, 3, 14, 9, 26, 54, 301_000, tzinfo=UTC)),
    ],
)
def test_without_created_at_it_starts_with_the_event(
    data: dict[str, Any], starts_at: datetime
) -> None:
    assert only(event(**data)).starts_at == starts_at
    untold = event(**data)
    untold["event"]["occurred_at"] = 17
    assert only(untold).starts_at is None


def by(told: dict[str, Any], agent: Any, client: Any = None) -> dict[str, Any]:
    told["event"].update(agent=agent, client=client)
    return told


PERSON = {"type": "user_reference", "summary": "On Call"}
INTEGRATION = {"type": "inbound_integration_reference", "summary": "Events API V2"}
MERGE = {"type": "merge_resolve_reason", "incident": {"id": "QOTHER"}}


@pytest.mark.parametrize("key", [OURS, f"{OURS}-r1", f"{OURS}-r12"])
@pytest.mark.parametrize(
    ("kind", "reason", "did"),
    [
        ("incident.acknowledged", None, Did.ACKNOWLEDGED),
        ("incident.resolved", None, Did.RESOLVED),
        ("incident.resolved", MERGE, Did.ACKNOWLEDGED),
        ("incident.triggered", None, None),
        ("incident.reopened", None, None),
        ("incident.unacknowledged", None, None),
        ("incident.annotated", None, None),
    ],
)
def test_an_incident_of_ours_only_tells_what_somebody_did(
    key: str, kind: str, reason: Any, did: Did | None
) -> None:
    told = event(kind=kind, incident_key=key, resolve_reason=reason)
    expected = [Echo(did, "On Call", dedup_key=OURS)] if did else []
    assert parse(by(copy.deepcopy(told), PERSON)) == expected
    assert parse(by(told, INTEGRATION)) == []  # our own message comes back


@pytest.mark.parametrize(
    "key",
    [OURS[:-1], OURS + "0", OURS.upper(), OURS + "-r", OURS + "-rx", OURS + "\n", "x" + OURS, 7],
)
def test_a_key_that_only_looks_like_ours_is_a_strangers(key: Any) -> None:
    assert only(event(incident_key=key)).fingerprint == "Q1SHOP7C0UNTER"


@pytest.mark.parametrize("key", [None, ""])
def test_ours_without_a_key_is_known_by_its_client(key: str | None) -> None:
    ours = {"name": "responder", "url": "https://responder.example/console/1"}
    assert parse(by(event(incident_key=key), INTEGRATION, ours)) == []
    assert only(by(event(incident_key=key), INTEGRATION, {"name": "Zabbix"}))
    assert only(by(event(incident_key="theirs"), INTEGRATION, ours))


def test_an_acknowledgement_by_a_program_counts_when_it_cannot_be_our_own() -> None:
    told = event("acknowledged", incident_key="theirs")
    expected = [Echo(Did.ACKNOWLEDGED, "Events API V2", fingerprint="Q1SHOP7C0UNTER")]
    assert parse(by(told, INTEGRATION)) == expected
    assert parse(by(event("acknowledged", incident_key=None), INTEGRATION)) == []


@pytest.mark.parametrize(
    ("agent", "who"),
    [
        (PERSON, "On Call"),
        (None, "PagerDuty"),
        ({}, "PagerDuty"),
        ({"summary": ""}, "PagerDuty"),
        ({"summary": "\x1b\x00\u202e"}, "PagerDuty"),
        ({"summary": ["On Call"]}, "PagerDuty"),
        ("On Call", "PagerDuty"),
        ({"summary": " On\r\n\tCall\x1b[31m \u202e"}, "On Call[31m"),
        ({"summary": "o" * 200}, "o" * 99 + "…"),
    ],
)
def test_who_did_it(agent: Any, who: str) -> None:
    (echo,) = parse(by(event("acknowledged"), agent))
    assert isinstance(echo, Echo) and echo.who == who


@pytest.mark.parametrize("address", ["javascript:alert(1)", None, 7, ""])
def test_only_an_address_is_a_link(address: Any) -> None:
    assert only(event(html_url=address)).links == {}


def delivery_key(told: Any, **headers: str) -> str | None:
    return PAGERDUTY.delivery_key(Request(headers, b"{}", AT), told, SOURCE)


def test_a_redelivery_has_the_same_key_and_another_event_another_one() -> None:
    first = delivery_key(payload("triggered"), **{"x-webhook-id": "one"})
    assert first == "01FSHOP0TRIGGERED000000001"
    assert delivery_key(payload("triggered"), **{"x-webhook-id": "two"}) == first
    assert delivery_key(payload("resolved"), **{"x-webhook-id": "one"}) != first


@pytest.mark.parametrize("told", [None, [], {}, {"event": []}, {"event": {"id": None}}])
def test_without_the_events_id_the_headers_counts(told: Any) -> None:
    assert delivery_key(told, **{"x-webhook-id": "one"}) == "one"
    assert delivery_key(told) is None


@pytest.mark.parametrize("strange", ["k" * 201, "a b", "\ud800", "\x00", "\n", "é"])
def test_a_strange_id_is_hashed(strange: str) -> None:
    for key in (
        delivery_key({"event": {"id": strange}}),
        delivery_key({}, **{"x-webhook-id": strange}),
    ):
        assert key is not None and re.fullmatch("[0-9a-f]{64}", key)
        assert key != delivery_key({"event": {"id": strange + "2"}})


EVENTS = [told for told in payloads_in(PAYLOADS / "pagerduty") if "event" in told]


@given(ANYTHING | mutated(EVENTS))
def test_whatever_comes_is_stored_or_not_understood(payload: Any) -> None:
    source = replace(SOURCE, title_pattern=PATTERN, labels={"env": "production"})
    survives(PAGERDUTY, payload, source, AT)
    PAGERDUTY.delivery_key(Request({}, b"{}", AT), payload, source)
