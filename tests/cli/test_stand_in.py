"""The stand-in refuses what the real ones would refuse, and takes what our receivers send."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from responder.cli.demo.stand_in import MAX_CALLS_A_MINUTE, StandIn
from responder.domain.notification import Happening, Message
from responder.domain.secret import Secret
from responder.domain.settings import Receiver
from responder.receivers import RECEIVERS, Undelivered
from tests.stand_in import SECRET, SIGNED_AT, Clock

#: The vector of the Standard Webhooks libraries.
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
NOW = datetime.fromtimestamp(SIGNED_AT, UTC)
PAYLOAD = {"summary": "down", "source": "shop", "severity": "critical"}
TRIGGER = {
    "routing_key": "r" * 32,
    "event_action": "trigger",
    "dedup_key": "k" * 255,
    "payload": {**PAYLOAD, "summary": "s" * 1024},
}


def received(stand_in: StandIn) -> dict[str, Any]:
    answer = requests.get(f"{stand_in.url}/received", timeout=5)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def enqueue(stand_in: StandIn, event: Any) -> requests.Response:
    return requests.post(f"{stand_in.url}/v2/enqueue", json=event, timeout=5)


def hook(stand_in: StandIn, body: bytes = BODY, **headers: str) -> requests.Response:
    signed = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": str(SIGNED_AT),
        "webhook-signature": SIGNATURE,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return requests.post(f"{stand_in.url}/webhook", body, headers=signed, timeout=5)


def test_an_event_within_all_limits_is_taken_and_shown_whole(stand_in: StandIn) -> None:
    answer = enqueue(stand_in, TRIGGER)
    assert answer.status_code == 202
    assert answer.json() == {
        "status": "success",
        "message": "Event processed",
        "dedup_key": "k" * 255,
    }
    (event,) = received(stand_in)["pagerduty"]
    assert event == {"at": NOW.isoformat(), **TRIGGER}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"routing_key": "r" * 31}, "routing_key"),
        ({"routing_key": None}, "routing_key"),
        ({"event_action": "open"}, "event_action"),
        ({"event_action": "resolve", "dedup_key": None}, "dedup_key"),
        ({"event_action": "acknowledge", "dedup_key": ""}, "dedup_key"),
        ({"dedup_key": "k" * 256}, "dedup_key"),
        ({"payload": None}, "payload"),
        ({"payload": {**PAYLOAD, "summary": " "}}, "payload.summary"),
        ({"payload": {**PAYLOAD, "summary": "s" * 1025}}, "payload.summary"),
        ({"payload": {"summary": "s", "severity": "info"}}, "payload.source"),
        ({"payload": {**PAYLOAD, "severity": "P0"}}, "payload.severity"),
        ({"payload": {**PAYLOAD, "custom_details": "text"}}, "payload.custom_details"),
        ({"links": {"href": "https://shop.example"}}, "links"),
        ({"links": [{"href": "javascript:alert(1)"}]}, "links"),
        ({"images": [{"src": "http://shop.example/a.png"}]}, "images"),
    ],
)
def test_an_event_that_pagerduty_refuses_is_refused(
    stand_in: StandIn, change: dict[str, Any], told: str
) -> None:
    answer = enqueue(stand_in, {**TRIGGER, **change})
    assert answer.status_code == 400
    assert told in " ".join(answer.json()["errors"])
    assert received(stand_in)["pagerduty"] == []
    assert len(received(stand_in)["refused"]) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"text"'])
def test_what_is_no_event_is_refused(stand_in: StandIn, body: bytes) -> None:
    answer = requests.post(f"{stand_in.url}/v2/enqueue", body, timeout=5)
    assert answer.status_code == 400


def test_not_a_number_is_no_json(stand_in: StandIn) -> None:
    event = {**TRIGGER, "payload": {**PAYLOAD, "custom_details": {"lag": float("nan")}}}
    answer = requests.post(f"{stand_in.url}/v2/enqueue", json.dumps(event), timeout=5)
    assert (answer.status_code, answer.json()["errors"]) == (400, ["the body is no JSON object"])


def test_an_event_of_more_than_512_kb_is_refused(stand_in: StandIn) -> None:
    details = {"text": "x" * (512 * 1024)}
    answer = enqueue(stand_in, {**TRIGGER, "payload": {**PAYLOAD, "custom_details": details}})
    assert answer.status_code == 413


def test_an_integration_has_so_many_calls_in_a_minute(stand_in: StandIn, clock: Clock) -> None:
    assert MAX_CALLS_A_MINUTE == 120
    codes = [enqueue(stand_in, TRIGGER).status_code for _ in range(MAX_CALLS_A_MINUTE + 1)]
    assert codes == [202] * MAX_CALLS_A_MINUTE + [429]
    assert enqueue(stand_in, {**TRIGGER, "routing_key": "o" * 32}).status_code == 202
    clock.now += 61
    assert enqueue(stand_in, TRIGGER).status_code == 202


def test_a_signature_of_the_published_vector_is_right(stand_in: StandIn) -> None:
    assert hook(stand_in).status_code == 400  # verified, but its body tells nothing of ours
    assert hook(stand_in, webhook_signature=f"v2,x v1,wrong {SIGNATURE}").status_code == 400


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (BODY, {"webhook_signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA="}),
        (BODY, {"webhook_signature": ""}),
        (BODY, {"webhook_id": "another"}),
        (BODY, {"webhook_timestamp": str(SIGNED_AT + 1)}),
        (BODY, {"webhook_timestamp": "today"}),
        (b'{"test": 2432232315}', {}),
    ],
    ids=["signature", "none", "id", "timestamp", "no timestamp", "body"],
)
def test_a_webhook_that_is_not_verified_is_refused(
    stand_in: StandIn, body: bytes, headers: dict[str, str]
) -> None:
    assert hook(stand_in, body, **headers).status_code == 401
    assert received(stand_in)["webhook"] == []


@pytest.mark.parametrize(("seconds", "status"), [(-301, 401), (-299, 400), (299, 400), (301, 401)])
def test_a_webhook_is_too_old_or_too_new_after_five_minutes(
    stand_in: StandIn, clock: Clock, seconds: int, status: int
) -> None:
    clock.now += seconds
    assert hook(stand_in).status_code == status


def receiver(stand_in: StandIn, tmp_path: Any, kind: str, secret: str) -> Any:
    place = tmp_path / kind
    place.write_text(secret)
    url = stand_in.url + ("/webhook" if kind == "webhook" else "")
    return RECEIVERS[kind](Receiver(kind, kind, url, Secret((f"file:{place}",))))


def test_our_own_receivers_are_understood(stand_in: StandIn, tmp_path: Any) -> None:
    incident = {"title": "down", "severity": "P0", "target": "shop_eu", "id": "1"}
    document = {"version": 1, "incident": incident, "alerts": [], "links": {}}
    message = Message("m1", Happening.OPENED, "responder-1", document)
    pager = receiver(stand_in, tmp_path, "pagerduty", "r" * 32)
    webhook = receiver(stand_in, tmp_path, "webhook", SECRET)
    for each in (pager, webhook):
        each.deliver(message, NOW, 5)
    told = received(stand_in)
    assert told["refused"] == []
    assert [event["dedup_key"] for event in told["pagerduty"]] == ["responder-1"]
    (heard,) = told["webhook"]
    assert heard["type"] == "incident.opened"
    assert heard["id"] == "m1"
    assert heard["data"] == document
    assert heard["timestamp"] == NOW.isoformat()


def test_a_webhook_signed_with_another_secret_is_undelivered(
    stand_in: StandIn, tmp_path: Any
) -> None:
    message = Message("m1", Happening.OPENED, "responder-1", {})
    webhook = receiver(stand_in, tmp_path, "webhook", "whsec_" + "QUJD" * 8)
    with pytest.raises(Undelivered):
        webhook.deliver(message, NOW + timedelta(seconds=1), 5)


def test_an_alert_is_open_until_it_is_resolved(stand_in: StandIn) -> None:
    """Acknowledged ones too; what has no open alert is dropped; integrations are apart."""
    for action in ("resolve", "acknowledge"):
        assert enqueue(stand_in, {**TRIGGER, "event_action": action}).status_code == 202
    assert stand_in.open_alerts == {}
    key = "k" * 255
    enqueue(stand_in, TRIGGER)
    enqueue(stand_in, TRIGGER)
    enqueue(stand_in, {**TRIGGER, "event_action": "acknowledge"})
    assert stand_in.open_alerts == received(stand_in)["open_alerts"] == {key: 2}
    enqueue(stand_in, {**TRIGGER, "event_action": "resolve", "routing_key": "o" * 32})
    enqueue(stand_in, {**TRIGGER, "dedup_key": "another"})
    assert stand_in.open_alerts == {key: 2, "another": 1}
    enqueue(stand_in, {**TRIGGER, "event_action": "resolve"})
    assert stand_in.open_alerts == {"another": 1}
    enqueue(stand_in, TRIGGER)
    assert stand_in.open_alerts == {"another": 1, key: 1}


def test_an_event_without_a_dedup_key_gets_one(stand_in: StandIn) -> None:
    keys = [enqueue(stand_in, {**TRIGGER, "dedup_key": None}).json()["dedup_key"] for _ in range(2)]
    assert stand_in.open_alerts == dict.fromkeys(keys, 1)
    assert len(stand_in.open_alerts) == 2
    assert [event["dedup_key"] for event in received(stand_in)["pagerduty"]] == [None, None]
