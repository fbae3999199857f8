"""Every receiver against a stand-in that has the limits and the bad days of the real ones."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from responder.cli.demo.stand_in import StandIn
from responder.domain.notification import Happening
from responder.domain.secret import Secret
from responder.domain.settings import Receiver
from responder.receivers import RECEIVERS, Undelivered
from tests.receivers.documents import (
    ACKNOWLEDGED,
    BARE,
    FIXED,
    P0,
    RESOLVED,
    SUMMARY,
    changed,
    documents,
    happenings,
    message,
)
from tests.stand_in import SECRET

SECRETS = {"pagerduty": "0" * 32, "pagerduty_notes": "token", "webhook": SECRET, "email": "pass"}
#: Where each of them posts to, as the stand-in's faults name it, and as it keeps it.
PATHS = {
    "pagerduty": ("/v2/enqueue", "pagerduty"),
    "pagerduty_notes": ("/incidents/Q1", "notes"),
    "slack": ("/services", "slack"),
    "webhook": ("/webhook", "webhook"),
    "email": ("smtp", "mail"),
}
HTTP = ("pagerduty", "pagerduty_notes", "slack", "webhook")
EXAMPLES = [
    (P0, Happening.OPENED),
    (BARE, Happening.OPENED),
    (FIXED, Happening.UPDATED),
    (ACKNOWLEDGED, Happening.ACKNOWLEDGED),
    (RESOLVED, Happening.RESOLVED),
    (SUMMARY, Happening.SUMMARY),
    ({}, Happening.OPENED),
]
#: Of an incident that began on PagerDuty.
THEIRS = changed(FIXED, alerts=[{**FIXED["alerts"][0], "type": "pagerduty", "fingerprint": "Q1"}])


class Clock:
    """So much later at each look that nobody is too fast."""

    now = datetime.now(UTC).timestamp()

    def __call__(self) -> float:
        self.now += 2
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stand_in(clock: Clock) -> Iterator[StandIn]:
    login = ("alerts", SECRETS["email"])
    with StandIn([SECRET], clock, rest_token=SECRETS["pagerduty_notes"], smtp_login=login) as one:
        one.add_incident("Q1")
        yield one


def configured(kind: str, stand_in: StandIn, folder: Path) -> Receiver:
    secret = SECRETS.get(kind, f"{stand_in.url}/services/T/B/X")
    (folder / kind).write_text(secret)
    url = {
        "webhook": f"{stand_in.url}/webhook",
        "email": f"127.0.0.1:{stand_in.smtp_port}",
    }.get(kind, stand_in.url)
    return Receiver(
        kind,
        kind,
        url,
        Secret((f"file:{folder}/{kind}",)),
        user="alerts",
        sender="responder@example.com",
        to=("on-call@example.com", "lead@example.com"),
        security="none",
    )


def deliver(
    kind: str,
    stand_in: StandIn,
    folder: Path,
    document: dict[str, Any] = THEIRS,
    happening: Happening = Happening.UPDATED,
    timeout: float = 10,
) -> None:
    now = datetime.fromtimestamp(Clock.now, UTC)
    receiver = configured(kind, stand_in, folder)
    RECEIVERS[kind](receiver).deliver(message(document, happening), now, timeout)


@pytest.mark.parametrize("kind", RECEIVERS)
@pytest.mark.parametrize(("document", "happening"), EXAMPLES)
def test_our_messages_are_taken(
    kind: str, document: dict[str, Any], happening: Happening, stand_in: StandIn, tmp_path: Path
) -> None:
    deliver(kind, stand_in, tmp_path, document, happening)
    received = stand_in.received()
    assert not received["refused"]
    assert len(received[PATHS[kind][1]]) == (kind != "pagerduty_notes")


def test_a_note_finds_the_incident_that_we_raised(stand_in: StandIn, tmp_path: Path) -> None:
    for happening in (Happening.OPENED, Happening.RESOLVED):
        deliver("pagerduty", stand_in, tmp_path, RESOLVED, happening)
        deliver("pagerduty_notes", stand_in, tmp_path, RESOLVED, Happening.UPDATED)
    assert len(stand_in.received()["notes"]) == 2


@pytest.mark.parametrize("kind", RECEIVERS)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=documents(), happening=happenings)
def test_any_document_is_taken(
    kind: str, document: dict[str, Any], happening: Happening, stand_in: StandIn, tmp_path: Path
) -> None:
    deliver(kind, stand_in, tmp_path, document, happening)
    assert not stand_in.received()["refused"]


@pytest.mark.parametrize("kind", HTTP)
@pytest.mark.parametrize(
    ("fault", "permanent", "maybe", "arrived"),
    [
        ("429", False, False, 0),
        ("500", False, True, 0),
        ("503", False, True, 0),
        ("redirect", True, False, 0),
        ("reset", False, True, 0),
        ("hang", False, True, 0),
        ("lost", False, True, 1),
    ],
)
def test_a_bad_day_of_a_receiver_by_http(
    kind: str,
    fault: str,
    permanent: bool,
    maybe: bool,
    arrived: int,
    stand_in: StandIn,
    tmp_path: Path,
) -> None:
    """Whatever may have arrived is marked; nothing that arrived is not."""
    path, kept = PATHS[kind]
    stand_in.fail(path, fault)
    with pytest.raises(Undelivered) as failed:
        deliver(kind, stand_in, tmp_path, timeout=1 if fault == "hang" else 10)
    assert (failed.value.permanent, failed.value.maybe) == (permanent, maybe)
    assert (failed.value.retry_after == 1.0) == (fault == "429")
    assert "services/T" not in str(failed.value)
    received = stand_in.received()
    assert not received["redirected"]
    assert len(received[kept]) == arrived
    deliver(kind, stand_in, tmp_path)
    assert len(stand_in.received()[kept]) == arrived + 1


def test_slack_says_no_with_200(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.fail("/services", "200-error")
    with pytest.raises(Undelivered, match="does not say ok"):
        deliver("slack", stand_in, tmp_path)
    assert not stand_in.received()["slack"]


@pytest.mark.parametrize("kind", ["pagerduty", "pagerduty_notes"])
def test_pagerduty_does_not_say_yes_with_200(kind: str, stand_in: StandIn, tmp_path: Path) -> None:
    """A proxy on the way, or a page for its own bad day: the message is not there."""
    path, kept = PATHS[kind]
    stand_in.fail(path, "200-error")
    with pytest.raises(Undelivered) as failed:
        deliver(kind, stand_in, tmp_path)
    assert (failed.value.permanent, failed.value.maybe) == (False, True)
    assert not stand_in.received()[kept]
    deliver(kind, stand_in, tmp_path)
    assert len(stand_in.received()[kept]) == 1


@pytest.mark.parametrize(
    ("fault", "permanent", "maybe", "arrived"),
    [
        ("450", False, False, 0),
        ("550", True, False, 0),
        ("reset", False, False, 0),
        ("hang", False, False, 0),
        ("lost", False, True, 1),
    ],
)
def test_a_bad_day_of_the_mail_server(
    fault: str, permanent: bool, maybe: bool, arrived: int, stand_in: StandIn, tmp_path: Path
) -> None:
    stand_in.fail("smtp", fault)
    with pytest.raises(Undelivered) as failed:
        deliver("email", stand_in, tmp_path, timeout=1 if fault == "hang" else 10)
    assert (failed.value.permanent, failed.value.maybe) == (permanent, maybe)
    assert base64.b64encode(b"pass").decode() not in str(failed.value)
    assert len(stand_in.received()["mail"]) == arrived
    deliver("email", stand_in, tmp_path)
    assert len(stand_in.received()["mail"]) == arrived + 1
