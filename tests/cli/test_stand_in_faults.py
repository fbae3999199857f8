"""A receiver on a bad day: each fault, as a sender meets it."""

import smtplib
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from responder.cli.demo.stand_in import StandIn
from responder.cli.demo.stand_in.faults import DRIP_SECONDS, HTTP_FAULTS, SMTP_FAULTS

CHANNEL = "/services/T000/B000/not-so-secret"
EVENT = {
    "routing_key": "r" * 32,
    "event_action": "trigger",
    "dedup_key": "responder-1",
    "payload": {"summary": "down", "source": "shop", "severity": "critical"},
}
MESSAGES = {CHANNEL: {"text": "down"}, "/v2/enqueue": EVENT, "/incidents/P1/notes": {}}
KINDS = {CHANNEL: "slack", "/v2/enqueue": "pagerduty"}
LETTER = (
    b"From: responder@shop.example\r\nDate: Mon, 23 Nov 2026 03:00:00 +0000\r\n"
    b"Message-ID: <1@shop.example>\r\n\r\ndown\r\n"
)


def post(stand_in: StandIn, path: str, timeout: float = 5) -> requests.Response:
    message = MESSAGES[path]
    url = stand_in.url + path
    return requests.post(url, json=message, timeout=timeout, allow_redirects=False)


@contextmanager
def talking(stand_in: StandIn) -> Iterator[socket.socket]:
    """A Slack message is sent, and nothing of the answer is read yet."""
    body = b'{"text": "down"}'
    head = f"POST {CHANNEL} HTTP/1.1\r\ncontent-type: application/json\r\n"
    port = int(stand_in.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        yield connection


@pytest.mark.parametrize("path", MESSAGES)
@pytest.mark.parametrize(
    ("fault", "status"), [("429", 429), ("500", 500), ("503", 503), ("200-error", 200)]
)
def test_a_message_that_is_not_taken(stand_in: StandIn, path: str, fault: str, status: int) -> None:
    stand_in.fail(path, fault)
    answer = post(stand_in, path)
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (fault == "429")
    if path == CHANNEL:
        assert answer.text not in ("", "ok")
        assert answer.headers["content-type"].startswith("text/plain")
    elif path.startswith("/incidents"):
        assert set(answer.json()["error"]) == {"message", "code", "errors"}
    else:
        assert answer.json()["status"] == "error"
    received = stand_in.received()
    assert received["slack"] == received["pagerduty"] == received["refused"] == []
    (failed,) = received["failed"]
    assert (failed["path"], failed["fault"]) == (path, fault)


@pytest.mark.parametrize("path", KINDS)
def test_a_lost_answer_leaves_the_sender_without_knowing(stand_in: StandIn, path: str) -> None:
    stand_in.fail(path, "lost")
    with pytest.raises(requests.ConnectionError):
        post(stand_in, path)
    assert len(stand_in.received()[KINDS[path]]) == 1
    assert post(stand_in, path).ok
    assert len(stand_in.received()[KINDS[path]]) == 2


def test_an_event_whose_answer_is_lost_is_one_alert_in_the_end(stand_in: StandIn) -> None:
    stand_in.fail("/v2/enqueue", "lost")
    with pytest.raises(requests.ConnectionError):
        post(stand_in, "/v2/enqueue")
    post(stand_in, "/v2/enqueue")
    assert stand_in.open_alerts == {"responder-1": 2}


def test_a_lost_connection_ends_and_a_reset_one_breaks(stand_in: StandIn) -> None:
    stand_in.fail(CHANNEL, "lost")
    with talking(stand_in) as connection:
        assert connection.recv(1) == b""
    stand_in.fail(CHANNEL, "reset")
    with talking(stand_in) as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert len(stand_in.received()["slack"]) == 1


def test_it_hangs_until_the_sender_has_enough(stand_in: StandIn) -> None:
    stand_in.fail(CHANNEL, "hang")
    with pytest.raises(requests.ReadTimeout):
        post(stand_in, CHANNEL, timeout=0.3)
    assert stand_in.received()["slack"] == []
    assert post(stand_in, CHANNEL).ok


def test_an_answer_drips(stand_in: StandIn) -> None:
    stand_in.fail(CHANNEL, "drip")
    began = time.monotonic()
    with talking(stand_in) as connection:
        told = b""
        while len(told) < 5:
            told += connection.recv(1)
        assert time.monotonic() - began >= 4 * DRIP_SECONDS
    assert told == b"HTTP/"
    assert len(stand_in.received()["slack"]) == 1


def test_a_redirect_is_counted_when_it_is_followed(stand_in: StandIn) -> None:
    stand_in.fail(CHANNEL, "redirect", times=2)
    answer = post(stand_in, CHANNEL)
    assert answer.status_code == 302
    assert stand_in.received()["redirected"] == []
    requests.post(stand_in.url + CHANNEL, json={"text": "down"}, timeout=5)  # which follows it
    (followed,) = stand_in.received()["redirected"]
    assert followed["path"] == f"/redirected{CHANNEL}"
    assert stand_in.received()["slack"] == []


def test_faults_happen_in_order_each_as_often_as_asked(stand_in: StandIn) -> None:
    stand_in.fail("/services", "500", times=2)
    stand_in.fail("/v2", "503")
    stand_in.fail("/", "429")
    codes = [post(stand_in, CHANNEL).status_code for _ in range(4)]
    assert codes == [500, 500, 429, 200]
    assert [post(stand_in, "/v2/enqueue").status_code for _ in range(2)] == [503, 202]


def test_what_the_stand_in_itself_offers_never_fails(stand_in: StandIn) -> None:
    stand_in.fail("/", "500", times=9)
    assert requests.get(f"{stand_in.url}/received", timeout=5).ok
    assert requests.get(f"{stand_in.url}/ping/1", timeout=5).status_code == 500
    assert requests.delete(f"{stand_in.url}/faults", timeout=5).ok
    assert requests.get(f"{stand_in.url}/ping/1", timeout=5).ok


def test_a_fault_is_asked_for_from_another_process(stand_in: StandIn) -> None:
    asked = {"path": CHANNEL, "fault": "503", "times": 2}
    assert requests.post(f"{stand_in.url}/faults", json=asked, timeout=5).ok
    del asked["times"]
    assert requests.post(f"{stand_in.url}/faults", json=asked, timeout=5).ok
    assert [post(stand_in, CHANNEL).status_code for _ in range(4)] == [503, 503, 503, 200]


@pytest.mark.parametrize(
    "asked",
    [
        [],
        {},
        {"path": CHANNEL},
        {"path": CHANNEL, "fault": "450"},
        {"path": "smtp", "fault": "429"},
        {"path": "services", "fault": "429"},
        {"path": 1, "fault": "429"},
        {"path": CHANNEL, "fault": "429", "times": 0},
        {"path": CHANNEL, "fault": "429", "times": "often"},
    ],
)
def test_a_fault_that_cannot_be_is_refused(stand_in: StandIn, asked: Any) -> None:
    answer = requests.post(f"{stand_in.url}/faults", json=asked, timeout=5)
    assert answer.status_code == 400
    assert "error" in answer.json()
    assert post(stand_in, CHANNEL).ok


@contextmanager
def mail(stand_in: StandIn) -> Iterator[smtplib.SMTP]:
    client = smtplib.SMTP("127.0.0.1", stand_in.smtp_port, "here", timeout=0.5)
    try:
        yield client
    finally:
        client.close()


def send(client: smtplib.SMTP) -> None:
    client.sendmail("responder@shop.example", ["a@shop.example", "b@shop.example"], LETTER)


@pytest.mark.parametrize("fault", SMTP_FAULTS[:2])
def test_a_letter_is_refused_for_all_its_recipients(stand_in: StandIn, fault: str) -> None:
    stand_in.fail("smtp", fault)
    with mail(stand_in) as client:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            send(client)
        assert {code for code, _ in refused.value.recipients.values()} == {int(fault)}
        assert stand_in.received()["mail"] == []
        send(client)
    assert len(stand_in.received()["mail"]) == 1
    assert len(stand_in.received()["failed"]) == 1


def test_a_letter_is_lost(stand_in: StandIn) -> None:
    stand_in.fail("smtp", "lost")
    with mail(stand_in) as client, pytest.raises(smtplib.SMTPServerDisconnected):
        send(client)
    (kept,) = stand_in.received()["mail"]
    assert kept["raw"].encode() == LETTER


@pytest.mark.parametrize("fault", ["hang", "reset"])
def test_a_letter_is_not_answered(stand_in: StandIn, fault: str) -> None:
    stand_in.fail("smtp", fault)
    with mail(stand_in) as client, pytest.raises((TimeoutError, smtplib.SMTPException)):
        send(client)
    with mail(stand_in) as client:
        send(client)
    assert len(stand_in.received()["mail"]) == 1


def test_the_mail_server_drips(stand_in: StandIn) -> None:
    stand_in.fail("smtp", "drip")
    with mail(stand_in) as client:
        client.ehlo()
        began = time.monotonic()
        client.putcmd("MAIL FROM:<responder@shop.example>")
        assert client.sock is not None
        told = b""
        while len(told) < 4:
            told += client.sock.recv(1)
        assert time.monotonic() - began >= 3 * DRIP_SECONDS
    assert told == b"250 "


def test_every_fault_is_tried_here() -> None:
    assert set(HTTP_FAULTS) == {
        *("429", "500", "503", "200-error", "redirect"),
        *("reset", "hang", "drip", "lost"),
    }
    assert set(SMTP_FAULTS) == {"450", "550", "reset", "hang", "drip", "lost"}
