"""What the stand-in is besides its services: the dead man's ping, its doors, its end."""

import socket
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from responder.cli.demo.stand_in import StandIn
from tests.site import eventually
from tests.stand_in import SECRET, SIGNED_AT

NOW = datetime.fromtimestamp(SIGNED_AT, UTC)
EVENT = {
    "routing_key": "r" * 32,
    "event_action": "trigger",
    "dedup_key": "responder-1",
    "payload": {"summary": "down", "source": "shop", "severity": "critical"},
}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_dead_man_is_pinged(stand_in: StandIn, method: str) -> None:
    answer = requests.request(method, f"{stand_in.url}/ping/some-id?a=b", timeout=5)
    assert answer.status_code == 200
    (ping,) = stand_in.received()["pings"]
    assert ping == {"at": NOW.isoformat(), "path": "/ping/some-id", "method": method}


def test_what_came_can_be_forgotten(stand_in: StandIn) -> None:
    stand_in.add_incident("PT4KHLK", "a key")
    requests.get(f"{stand_in.url}/ping/some-id", timeout=5)
    for event in (EVENT, {}):
        requests.post(f"{stand_in.url}/v2/enqueue", json=event, timeout=5)
    assert requests.delete(f"{stand_in.url}/received", timeout=5).status_code == 200
    received = requests.get(f"{stand_in.url}/received", timeout=5).json()
    assert "open_alerts" in received
    assert not any(received.values())
    headers = {
        "authorization": "Token token=t",
        "accept": "application/vnd.pagerduty+json;version=2",
    }
    known = requests.get(f"{stand_in.url}/incidents", headers=headers, timeout=5).json()
    assert [incident["id"] for incident in known["incidents"]] == ["PT4KHLK"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("POST", "/v2/enqueue/more"),
        ("GET", "/v2/enqueue"),
        ("GET", "/webhook"),
        ("POST", "/received"),
        ("PUT", "/ping/some-id"),
    ],
)
def test_there_is_nothing_else(stand_in: StandIn, method: str, path: str) -> None:
    answer = requests.request(method, stand_in.url + path, json={}, timeout=5)
    assert answer.status_code == 404


def test_a_body_must_say_how_long_it_is(stand_in: StandIn) -> None:
    def chunks() -> Any:
        yield b"{}"

    answer = requests.post(f"{stand_in.url}/v2/enqueue", data=chunks(), timeout=5)
    assert answer.status_code == 411


def test_it_listens_on_this_machine_only(stand_in: StandIn) -> None:
    """A server on all addresses would answer at 127.0.0.2 too."""
    for port in (int(stand_in.url.rpartition(":")[2]), stand_in.smtp_port):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.2", port), timeout=5).close()


def test_it_leaves_no_thread_behind_whatever_its_senders_do() -> None:
    before = set(threading.enumerate())
    with StandIn([SECRET]) as stand_in, requests.Session() as kept_alive:
        kept_alive.get(f"{stand_in.url}/received", timeout=5)
        idle = socket.create_connection(("127.0.0.1", stand_in.smtp_port), timeout=5)
        assert idle.recv(3) == b"220"
        stand_in.fail("/v2", "hang")
        hanging = socket.create_connection(("127.0.0.1", int(stand_in.url[17:])), timeout=5)
        hanging.sendall(b"POST /v2/enqueue HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
        eventually(lambda: stand_in.received()["failed"])
        assert len(set(threading.enumerate()) - before) == 5  # two listen, three talk
    assert set(threading.enumerate()) == before
    idle.close()
    hanging.close()
