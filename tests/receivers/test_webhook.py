"""The plain webhook: Standard Webhooks v1, signed with every live secret."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import responses
from hypothesis import given

from responder.domain import settings
from responder.domain.notification import Happening, Message
from responder.domain.secret import Secret
from responder.domain.signing import sign
from responder.receivers import RECEIVERS, Undelivered
from responder.receivers.brief.text import as_json
from tests.receivers.documents import documents, happenings, message, patient

URL = "https://hooks.example/incidents"
NOW = datetime.now(UTC)
DOCUMENT = {"incident": {"id": "i-1", "title": "Größer als €"}, "findings": []}
MESSAGE = Message("018f-id", Happening.OPENED, "responder-abc", DOCUMENT)
NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()
OLD = base64.b64encode(b"o" * 24).decode().rstrip("=")


def secret(folder: Path, *values: str) -> Secret:
    for number, value in enumerate(values):
        (folder / f"secret-{number}").write_text(value + "\n")
    return Secret(tuple(f"file:{folder}/secret-{number}" for number in range(len(values))))


def deliver(live: Secret, now: datetime = NOW, message: Message = MESSAGE) -> None:
    receiver = settings.Receiver("hook", "webhook", URL, live)
    RECEIVERS["webhook"](receiver).deliver(message, now, timeout=5)


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def sent(web: responses.RequestsMock, number: int = 0) -> tuple[dict[str, str], bytes]:
    request = web.calls[number].request
    assert isinstance(request.body, bytes)
    return dict(request.headers), request.body


def test_the_vector_of_standard_webhooks() -> None:
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_it_sends_the_document_signed(web: responses.RequestsMock, tmp_path: Path) -> None:
    web.post(URL, status=204)
    deliver(secret(tmp_path, NEW, OLD))
    headers, body = sent(web)
    assert json.loads(body) == {
        "type": "incident.opened",
        "timestamp": NOW.isoformat(),
        "data": DOCUMENT,
    }
    timestamp = str(int(NOW.timestamp()))
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("responder/")
    assert headers["webhook-id"] == "018f-id"
    assert headers["webhook-timestamp"] == timestamp
    assert headers["webhook-signature"].split(" ") == [
        sign(NEW, "018f-id", timestamp, body),
        sign(OLD, "018f-id", timestamp, body),
    ]


def test_a_retry_has_the_same_id_and_a_new_timestamp(
    web: responses.RequestsMock, tmp_path: Path
) -> None:
    web.post(URL, status=200)
    live = secret(tmp_path, NEW)
    deliver(live)
    deliver(live, NOW + timedelta(minutes=5))
    first, second = sent(web, 0)[0], sent(web, 1)[0]
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 300
    assert first["webhook-signature"] != second["webhook-signature"]


@pytest.mark.parametrize("happening", Happening)
def test_every_happening_is_told(
    web: responses.RequestsMock, tmp_path: Path, happening: Happening
) -> None:
    web.post(URL, status=200)
    deliver(secret(tmp_path, NEW), message=Message("1", happening, "responder-abc", {}))
    others = {
        "summary": "messages.summary",
        "maintenance": "maintenance.changed",
        "digest": "digest",
    }
    told = others.get(happening, f"incident.{happening}")
    assert json.loads(sent(web)[1])["type"] == told


@patient
@given(documents(), happenings)
def test_any_document_is_sent_signed(document: dict[str, Any], happening: Happening) -> None:
    with TemporaryDirectory() as folder, responses.RequestsMock() as web:
        web.post(URL, status=200)
        deliver(secret(Path(folder), NEW), message=message(document, happening, repeated=True))
        headers, body = sent(web)
    identifier, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    assert headers["webhook-signature"] == sign(NEW, identifier, timestamp, body)
    data = json.loads(body, parse_constant=pytest.fail)["data"]
    assert set(data) == set(json.loads(as_json(document)))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("not base64 at all!", "not base64"),
        ("schlüssel-schlüssel-schlüssel", "not base64"),
        ("whsec_" + base64.b64encode(b"short").decode(), "shorter than 16 bytes"),
    ],
)
def test_a_wrong_secret_is_named_by_its_place(tmp_path: Path, wrong: str, reason: str) -> None:
    with pytest.raises(Undelivered, match=reason) as failed:
        deliver(secret(tmp_path, NEW, wrong))
    assert not failed.value.permanent
    assert "secret-1" in str(failed.value)
    assert wrong not in str(failed.value)


def test_a_missing_secret_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(Undelivered, match="cannot be read") as failed:
        deliver(Secret((f"file:{tmp_path}/gone",)))
    assert not failed.value.permanent


def test_gone_is_gone(web: responses.RequestsMock, tmp_path: Path) -> None:
    web.post(URL, status=410)
    with pytest.raises(Undelivered, match="says it is gone") as failed:
        deliver(secret(tmp_path, NEW))
    assert failed.value.permanent


def test_a_busy_one_is_asked_later(web: responses.RequestsMock, tmp_path: Path) -> None:
    web.post(URL, status=503, headers={"retry-after": "17"})
    with pytest.raises(Undelivered) as failed:
        deliver(secret(tmp_path, NEW))
    assert (failed.value.permanent, failed.value.retry_after) == (False, 17.0)
