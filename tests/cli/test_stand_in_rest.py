"""PagerDuty's REST API, as the stand-in speaks it."""

from typing import Any

import pytest
import requests

from responder.cli.demo.stand_in import StandIn
from responder.cli.demo.stand_in.rest import MAX_REQUESTS_A_MINUTE
from tests.stand_in import SECRET, Clock

HEADERS = {
    "Authorization": "Token token=y_NbAkKc66ryYTWUXYEu",
    "Accept": "application/vnd.pagerduty+json;version=2",
    "From": "responder@shop.example",
}
NOTE = {"note": {"content": "The queue was stuck; it is moving again."}}


def call(stand_in: StandIn, method: str, path: str, **changed: Any) -> requests.Response:
    """With all headers that PagerDuty wants, unless changed; None leaves one out."""
    headers = {**HEADERS, **changed.pop("headers", {})}
    return requests.request(method, stand_in.url + path, headers=headers, timeout=5, **changed)


def trigger(stand_in: StandIn, key: str, action: str = "trigger") -> None:
    event = {
        "routing_key": "r" * 32,
        "event_action": action,
        "dedup_key": key,
        "payload": {
            "summary": f"{key} is down",
            "source": "shop",
            "severity": "critical",
            "custom_details": {"cause": "disk"},
        },
    }
    assert requests.post(f"{stand_in.url}/v2/enqueue", json=event, timeout=5).status_code == 202


def incidents(stand_in: StandIn, **query: Any) -> list[dict[str, Any]]:
    answer = call(stand_in, "GET", "/incidents", params=query)
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()["incidents"]
    return found


def test_an_event_opens_an_incident_that_its_dedup_key_finds(stand_in: StandIn) -> None:
    for key in ("responder-1", "responder-2", "responder-1"):
        trigger(stand_in, key)
    (found,) = incidents(stand_in, incident_key="responder-1")
    assert (found["status"], found["title"]) == ("triggered", "responder-1 is down")
    assert found["incident_key"] is None  # as PagerDuty has it for an incident with alerts
    answer = call(stand_in, "GET", f"/incidents/{found['id']}/alerts")
    (alert,) = answer.json()["alerts"]
    assert alert["alert_key"] == "responder-1"
    assert alert["body"]["details"] == {"cause": "disk"}
    assert alert["incident"]["id"] == found["id"]
    assert [each["title"][:11] for each in incidents(stand_in)] == ["responder-1", "responder-2"]
    assert incidents(stand_in, incident_key="responder-3") == []


def test_the_same_dedup_key_opens_another_incident_once_it_is_resolved(stand_in: StandIn) -> None:
    trigger(stand_in, "responder-1")
    trigger(stand_in, "responder-1", "acknowledge")
    assert [each["status"] for each in incidents(stand_in)] == ["acknowledged"]
    trigger(stand_in, "responder-1", "resolve")
    trigger(stand_in, "responder-1")
    resolved, opened = incidents(stand_in, incident_key="responder-1")
    assert (resolved["status"], opened["status"]) == ("resolved", "triggered")
    assert resolved["id"] != opened["id"]
    newest_first = incidents(stand_in, incident_key="responder-1", sort_by="created_at:desc")
    assert newest_first == [opened, resolved]
    only = incidents(stand_in, **{"incident_key": "responder-1", "statuses[]": "triggered"})
    assert only == [opened]
    answer = call(stand_in, "GET", f"/incidents/{resolved['id']}/alerts").json()
    assert [alert["status"] for alert in answer["alerts"]] == ["resolved"]


def test_a_note_is_kept(stand_in: StandIn) -> None:
    stand_in.add_incident("PT4KHLK")
    answer = call(stand_in, "POST", "/incidents/PT4KHLK/notes", json=NOTE)
    assert answer.status_code == 200
    assert answer.json()["note"]["content"] == NOTE["note"]["content"]
    (note,) = stand_in.received()["notes"]
    del note["at"]
    assert note == {"incident": "PT4KHLK", "from": HEADERS["From"], **NOTE["note"]}
    assert stand_in.received()["refused"] == []


def test_an_incident_is_told_from_another_process(stand_in: StandIn) -> None:
    alerts = [{"id": "PALERT", "alert_key": "disk", "body": {"details": {"env": "production"}}}]
    told = {"id": "PT4KHLK", "incident_key": "a key", "alerts": alerts}
    assert requests.post(f"{stand_in.url}/known", json=told, timeout=5).status_code == 200
    for key in ("a key", "disk"):
        assert [each["id"] for each in incidents(stand_in, incident_key=key)] == ["PT4KHLK"]
    (alert,) = call(stand_in, "GET", "/incidents/PT4KHLK/alerts").json()["alerts"]
    assert alert["body"] == {"details": {"env": "production"}}
    wrongs: list[Any] = [[], {}, {"id": "P1", "alerts": ["text"]}, {"id": "P1", "alerts": 1}]
    for wrong in wrongs:
        assert requests.post(f"{stand_in.url}/known", json=wrong, timeout=5).status_code == 400


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({"Authorization": None}, NOTE, 401, 2006),
        ({"Authorization": "Token token="}, NOTE, 401, 2006),
        ({"Authorization": "Bearer y_NbAkKc66ryYTWUXYEu"}, NOTE, 401, 2006),
        ({"Accept": "application/json"}, NOTE, 400, 2001),
        ({"Accept": "application/vnd.pagerduty+json;version=1"}, NOTE, 400, 2001),
        ({"From": None}, NOTE, 400, 2016),
        ({"From": "responder"}, NOTE, 400, 2016),
        ({"Content-Type": "text/plain"}, NOTE, 400, 2001),
        ({}, {}, 400, 2001),
        ({}, [], 400, 2001),
        ({}, {"note": "text"}, 400, 2001),
        ({}, {"note": {"content": " "}}, 400, 2001),
        ({}, {"note": {"content": ["text"]}}, 400, 2001),
    ],
)
def test_what_pagerduty_refuses_is_refused(
    stand_in: StandIn, headers: dict[str, Any], body: Any, status: int, code: int
) -> None:
    stand_in.add_incident("PT4KHLK")
    answer = call(stand_in, "POST", "/incidents/PT4KHLK/notes", headers=headers, json=body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["code"], sorted(error)) == (code, ["code", "errors", "message"])
    assert stand_in.received()["notes"] == []
    assert [each["status"] for each in stand_in.received()["refused"]] == [status]


def test_reading_needs_no_author(stand_in: StandIn) -> None:
    answer = call(stand_in, "GET", "/incidents", headers={"From": None})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/incidents/PUNKNOWN/notes"),
        ("GET", "/incidents/PUNKNOWN/alerts"),
        ("GET", "/incidents/PT4KHLK/notes/1"),
        ("POST", "/incidents"),
    ],
)
def test_what_is_not_known_is_not_found(stand_in: StandIn, method: str, path: str) -> None:
    stand_in.add_incident("PT4KHLK")
    answer = call(stand_in, method, path, json=NOTE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, 2100)


def test_only_the_configured_token_is_right() -> None:
    with StandIn([SECRET], rest_token="right") as stand_in:
        for token, status in (("right", 200), ("wrong", 401)):
            headers = {"Authorization": f"Token token={token}"}
            assert call(stand_in, "GET", "/incidents", headers=headers).status_code == status


def test_a_token_has_so_many_requests_in_a_minute(stand_in: StandIn, clock: Clock) -> None:
    assert MAX_REQUESTS_A_MINUTE == 960
    with requests.Session() as session:
        url = f"{stand_in.url}/incidents"
        answers = [session.get(url, headers=HEADERS, timeout=5) for _ in range(961)]
    assert [each.status_code for each in answers] == [200] * 960 + [429]
    assert answers[0].headers["ratelimit-remaining"] == "959"
    assert answers[-1].json()["error"]["code"] == 2020
    clock.now += int(answers[-1].headers["ratelimit-reset"])
    assert call(stand_in, "GET", "/incidents").status_code == 200
