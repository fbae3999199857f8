"""Hostile bodies of authenticated senders: the reply table holds, and nothing of it gets through.

What was accepted goes the whole way, to receivers of the real types before a strict stand-in.
"""

import copy
import gzip
import json
import re
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from email import message_from_string, policy
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from responder.cli.demo.stand_in import StandIn
from responder.domain.secret import Secret
from responder.domain.settings import Receiver, Route
from responder.receivers import RECEIVERS
from responder.web import create_app
from tests.house import House
from tests.senders import GENERIC, PAGERDUTY, SENDERS, Sender, sources, told, trial_message
from tests.stand_in import SECRET
from tests.test_log import parsed
from tests.web.conftest import Tokens

MAX_BODY = 1_000_000
BY_NAME = pytest.mark.parametrize("sender", SENDERS, ids=lambda sender: sender.name)


class Clock:
    """The stand-in's: that of our database, which the tests move."""

    house: House | None = None

    def __call__(self) -> float:
        ahead = self.house.services.store.offset if self.house else timedelta()
        return time.time() + ahead.total_seconds()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def receiver(kind: str, stand_in: StandIn, folder: Path) -> Receiver:
    secrets = {"slack": f"{stand_in.url}/services/T/B/X", "webhook": SECRET}
    (folder / kind).write_text(secrets.get(kind, "0" * 32))
    url = {
        "webhook": f"{stand_in.url}/webhook",
        "email": f"127.0.0.1:{stand_in.smtp_port}",
    }.get(kind, stand_in.url)
    return Receiver(
        kind,
        kind,
        url,
        Secret((f"file:{folder}/{kind}",)),
        per_minute=50,
        user="alerts",
        sender="responder@example.com",
        to=("on-call@example.com",),
        security="none",
    )


@pytest.fixture
def house(
    make_house: Callable[..., House],
    stand_in: StandIn,
    clock: Clock,
    tmp_path: Path,
    key_file: Path,
) -> House:
    """Every source, and every receiver as it is in production, at the stand-in."""
    configured = {kind: receiver(kind, stand_in, tmp_path) for kind in RECEIVERS}
    house = make_house(
        token_keys=Secret((f"file:{key_file}",)),
        sources=sources(tmp_path),
        receivers=configured,
        routes=(
            Route(("pagerduty", "slack"), page=True),
            Route(("webhook", "email", "pagerduty_notes")),
        ),
        max_body=MAX_BODY,
    )
    real = {kind: RECEIVERS[kind](each) for kind, each in configured.items()}
    house.services = replace(house.services, receivers=real)
    for name in ("Noise", "ShopifyQueueStuck"):
        stand_in.add_incident(f"Q{name}")
    clock.house = house
    return house


def post(client: FlaskClient, sender: Sender, body: bytes, **more: str) -> TestResponse:
    headers = {**sender.headers(body, f"m{time.monotonic_ns()}"), **more}
    return client.post(f"/v1/webhooks/{sender.name}", data=body, headers=headers)


def settle(house: House) -> None:
    """Until nothing is due, minute after minute."""
    for _ in range(400):
        house.settle()
        left = house.sql(
            "SELECT FROM notification WHERE status IN ('due', 'sending') AND due_at <= now() + %s",
            house.services.store.offset,
        )
        if not left and not house.jobs():
            return
        house.later(timedelta(seconds=61))
    pytest.fail("it never settles")


def nothing_is_lost(house: House, stand_in: StandIn, capfd: pytest.CaptureFixture[str]) -> None:
    """Every alert has its outcome, every message was taken or replaced, every line is JSON."""
    settle(house)
    accepted = house.sql("SELECT coalesce(sum(alert_count), 0)::int AS n FROM delivery")[0]["n"]
    assert len(house.outcomes()) == accepted
    assert house.sql("SELECT FROM delivery WHERE triaged_at IS NULL") == []
    assert house.gap() == (0, 0)
    received = stand_in.received()
    assert received["refused"] == []
    assert house.sql("SELECT receiver, error FROM notification WHERE status = 'dead'") == []
    for line in parsed(capfd.readouterr().err):
        assert line["level"] not in ("error", "critical"), line
    for message in received["slack"]:
        is_inert(message["payload"])
    for letter in received["mail"]:
        is_one_letter(letter)


#: What wakes a whole channel, names a person, or hides where a link leads to.
ACTIVE = re.compile(r"<[!@#]|<(?:https?|mailto|javascript):[^|>]*evil|<script|<img")


def is_inert(told: Any) -> None:
    """Nothing active in any text that Slack reads as markup."""
    if isinstance(told, list):
        for each in told:
            is_inert(each)
    elif isinstance(told, dict):
        if told.get("type") != "plain_text" and isinstance(told.get("text"), str):
            assert not ACTIVE.search(told["text"]), told["text"]
        for each in told.values():
            is_inert(each)


#: Headers that a letter of ours has.
HEADERS = {
    *("from", "to", "subject", "date", "message-id", "in-reply-to", "references"),
    *("auto-submitted", "mime-version", "content-type", "content-transfer-encoding"),
    *("importance", "x-priority", "x-auto-response-suppress"),
}


def is_one_letter(letter: dict[str, Any]) -> None:
    assert letter["to"] == ["on-call@example.com"]
    read = message_from_string(letter["raw"], policy=policy.default)
    assert {name.lower() for name in read.keys()} <= HEADERS  # noqa: SIM118
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", read["subject"])


DEEP = 50_000
#: By what it is: a body, and what it is answered with.
BODIES: dict[str, tuple[bytes, int]] = {
    "20 MB": (b" " * 20_000_000, 413),
    "deep arrays": (b"[" * DEEP + b"]" * DEEP, 202),
    "deep objects": (b'{"a":' * DEEP + b"1" + b"}" * DEEP, 202),
    "deep and not closed": (b"[" * DEEP, 202),
    "deep in a place": (b'{"alerts": [{"labels": ' + b"[" * 70 + b"]" * 70 + b"}]}", 202),
    "raw invalid UTF-8": (b'{"alerts": "\xff"}', 400),
    "overlong UTF-8": (b'{"alerts": "\xc0\xaf"}', 400),
    "surrogates in UTF-8": (b'{"alerts": "\xed\xa0\x80"}', 400),
    "a raw control character": (b'{"a": "\x01"}', 400),
    "a raw NUL": (b'{"a": "\x00"}', 400),
    "NUL behind": (b'{"a": 1}\x00', 400),
    "two documents": (b"{} {}", 400),
    "only a BOM": (b"\xef\xbb\xbf", 400),
    "a BOM": (b"\xef\xbb\xbf{}", 202),
    "NaN": (b"NaN", 202),
    "a number": (b"1e999", 202),
    "5,000 digits": (b"-" + b"9" * 5_000, 202),
    "a text": (b'"\\ud800\\u0000"', 202),
    "null": (b"null", 202),
    "true": (b"true", 202),
    "an empty object": (b"{}", 202),
    "a million zeros": (b"[" + b"0," * 490_000 + b"0]", 202),
}


@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES)
def test_a_hostile_body(
    house: House,
    stand_in: StandIn,
    capfd: pytest.CaptureFixture[str],
    body: bytes,
    status: int,
) -> None:
    client = create_app(house.services).test_client()
    for sender in SENDERS:
        assert post(client, sender, body).status_code == status
        for encoding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
            answer = post(client, sender, pack(body), **{"Content-Encoding": encoding})
            assert answer.status_code == status
    kept = house.sql("SELECT outcome, id FROM delivery")
    assert len(kept) == (15 if status == 202 else 0)
    assert all(row["outcome"] == "quarantined" and house.body(row["id"]) == body for row in kept)
    nothing_is_lost(house, stand_in, capfd)


def element(payload: Any) -> dict[str, Any]:
    """Where a sender's payload says what its alert is."""
    if "event" in payload:
        return payload["event"]["data"]  # type: ignore[no-any-return]
    found = payload.get("alerts", payload.get("items"))
    return found[0]  # type: ignore[no-any-return]


def labelled(sender: Sender, labels: dict[str, Any]) -> bytes:
    payload = sender.alerts("Noise")
    where = element(payload)
    name = "where" if "where" in where else "labels"
    where[name] = {**where.get(name, {}), **labels}
    return told(payload)


WHOLE: dict[str, Callable[[Sender], bytes]] = {
    "10,000 labels": lambda s: labelled(s, {f"l{n}": "v" for n in range(10_000)}),
    "a label name of 900 kB": lambda s: labelled(s, {"n" * 900_000: "v"}),
    "a large label value": lambda s: labelled(s, {"n": "\u2028" * 140_000}),
    "99 large names and values": lambda s: labelled(
        s, {f"{n}" + "n" * 4_000: "v" * 4_000 for n in range(90)}
    ),
    "duplicate keys": lambda s: told(s.alerts("Noise")).replace(b'{"', b'{"a": 1, "a": [], "'),
    "a large name": lambda s: told(s.alerts("N" * 120_000)),
    "a name of controls": lambda s: told(s.alerts("N\r\n\x00\ud800\u202e\x1b[2J" * 99)),
    "NaN and Infinity": lambda s: re.sub(
        rb'"(Noise in the shop|Shop)"', b"[NaN, -Infinity, 1e999]", told(s.alerts("Noise"))
    ),
    "5,000 digits": lambda s: told(s.alerts("Noise")).replace(b'"production"', b"9" * 5_000),
    "a date of the end of time": lambda s: re.sub(
        rb'"2026-[^"]*"', b'"9999-12-31T23:59:59.999999-14:00"', told(s.alerts("Noise"))
    ),
    "the last date": lambda s: re.sub(
        rb'"2026-[^"]*"', b'"9999-12-31T23:59:59.999999Z"', told(s.alerts("Noise"))
    ),
    "the first date": lambda s: re.sub(
        rb'"2026-[^"]*"', b'"0001-01-02T00:00:00Z"', told(s.alerts("Noise"))
    ),
}


@pytest.mark.parametrize("make", WHOLE.values(), ids=WHOLE)
def test_a_hostile_alert_goes_the_whole_way(
    house: House,
    stand_in: StandIn,
    capfd: pytest.CaptureFixture[str],
    make: Callable[[Sender], bytes],
) -> None:
    client = create_app(house.services).test_client()
    for sender in SENDERS:
        body = make(sender)
        for _ in range(2):
            assert post(client, sender, body).status_code == 202
        assert post(client, sender, body.replace(b'"warning"', b'"critical"')).status_code == 202
        ended = body.replace(b'"firing"', b'"resolved"').replace(b".triggered", b".resolved")
        assert post(client, sender, ended).status_code == 202
    nothing_is_lost(house, stand_in, capfd)


MARKUP = (
    "<!channel> <!here|x> <@U0123ABC> <#C1|x> <https://evil.example/x|our docs> *b* _i_ ~s~ `c`"
    " ```d``` &lt;!channel&gt; <script>alert(1)</script><img src=x onerror=alert(1)>"
    " [x](javascript:evil) {{7*7}} ${jndi:x} %s %(x)s '; DROP TABLE incident; -- \\u003c!channel>"
)
INJECTION = (
    'x\r\nBcc: evil@example.com\r\nSubject: forged\r\n\r\nbody\r\n.\r\nQUIT\n{"level": "critical"}'
    "\x1b[31m\x1b]0;title\x07\x00\x08\x7f\x85\x9b\u2028\u2029\u202e\ufeff\ud800"
)


def with_every_text(value: Any, change: Callable[[str], Any], inside: str = "") -> Any:
    """The payload with each text changed, but for the words that say what it is."""
    if isinstance(value, dict):
        return {n: with_every_text(each, change, n) for n, each in value.items()}
    if isinstance(value, list):
        return [with_every_text(each, change, inside) for each in value]
    spared = ("status", "state", "event_type", "id", "startsAt", "endsAt", "severity", "how_bad")
    if isinstance(value, str) and inside not in (*spared, "occurred_at", "created_at"):
        return change(value)
    return value


@BY_NAME
@pytest.mark.parametrize("hostile", [MARKUP, INJECTION], ids=["markup", "injection"])
def test_markup_and_injection_in_every_text(
    house: House,
    stand_in: StandIn,
    capfd: pytest.CaptureFixture[str],
    sender: Sender,
    hostile: str,
) -> None:
    """Of an alert that a rule answers, too: its title, labels and reasons reach people."""
    client = create_app(house.services).test_client()
    for name in ("Noise", "ShopifyQueueStuck"):
        for severity in ("warning", "critical"):
            for change in (lambda text: hostile, lambda text: f"{text} {hostile}"):
                payload = sender.alerts(name, severity=severity)
                changed = with_every_text(payload, change)
                assert post(client, sender, told(changed)).status_code == 202
        both = with_every_text(sender.alerts(name), lambda text: hostile)
        for_rule = told(both).replace(json.dumps(hostile)[1:-1].encode(), name.encode(), 1)
        assert post(client, sender, for_rule).status_code == 202
    nothing_is_lost(house, stand_in, capfd)
    assert stand_in.received()["slack"] and stand_in.received()["mail"]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each leaf and each branch."""
    yield path
    if isinstance(value, dict | list):
        for name in list(value) if isinstance(value, dict) else range(len(value)):
            yield from places(value[name], (*path, name))


def changed(payload: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    whole = copy.deepcopy(payload)
    inner = whole
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return whole


WRONG = [None, 0, -1, 1.5, True, "", " ", [], {}, [None], {"a": {}}, "x" * 20_000, 10**30, "\0"]


@BY_NAME
def test_wrong_types_in_every_place(
    house: House, stand_in: StandIn, capfd: pytest.CaptureFixture[str], sender: Sender
) -> None:
    client = create_app(house.services).test_client()
    for real in (sender.alerts("Noise"), json.loads(trial_message(sender))):
        for path in places(real):
            for value in WRONG:
                answer = post(client, sender, told(changed(real, path, value)))
                assert answer.status_code == 202, (path, value)
    nothing_is_lost(house, stand_in, capfd)


#: What a header may carry on the wire: Latin-1 without what ends a line.
_JUNK = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60)
_HEADER_NAMES = [
    *("Authorization", "X-Grafana-Alerting-Signature", "X-Grafana-Timestamp"),
    *("X-PagerDuty-Signature", "X-Webhook-Id", "webhook-id", "webhook-timestamp"),
    *("webhook-signature", "svix-id", "svix-signature", "Content-Encoding", "Content-Type"),
    *("Prefer", "User-Agent", "X-Forwarded-For", "Host"),
]
_HEADERS = st.dictionaries(st.sampled_from(_HEADER_NAMES), _JUNK, max_size=6)


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    sender=st.sampled_from(SENDERS),
    body=st.binary(max_size=200) | st.sampled_from([told(s.alerts("Noise")) for s in SENDERS]),
    junk=_HEADERS,
    proven=st.booleans(),
)
@example(sender=PAGERDUTY, body=b"{}", junk={"X-Webhook-Id": "\xff" * 60}, proven=True)
@example(sender=GENERIC, body=b"{}", junk={"webhook-id": "\xe9", "svix-id": "x"}, proven=True)
def test_bytes_and_headers_never_are_our_mistake(
    house: House, sender: Sender, body: bytes, junk: dict[str, str], proven: bool
) -> None:
    client = create_app(house.services).test_client()
    headers = {**(sender.headers(body) if proven else {}), **junk}
    answer = client.post(f"/v1/webhooks/{sender.name}", data=body, headers=headers)
    assert answer.status_code in (202, 400, 401, 413), answer.get_data()


LISTS = ("incidents", "deliveries", "rules", "maintenance", "notifications")
GARBAGE = ["", " ", "0", "-1", "1e9", "\x00", "%", "é", "\u202e", "x" * 6_000, "9" * 400, "[]"]
GARBAGE += [
    "99999999999999999-" + "f" * 32,
    "0-" + "0" * 32,
    "1-1",
    "null",
    "' OR 1=1 --",
    "\ud83d",
]


@pytest.mark.parametrize("path", LISTS)
def test_queries_are_read_or_refused(house: House, tokens: Tokens, path: str) -> None:
    client = create_app(house.services).test_client()
    for name in ("cursor", "limit", "status", "severity", "rule", "q", "source", "outcome", "x"):
        for value in GARBAGE:
            text = value.encode("utf-8", "replace").decode()
            answer = client.get(f"/v1/{path}", query_string={name: text}, headers=tokens["viewer"])
            assert answer.status_code in (200, 400, 404), (name, value, answer.get_data())
    for raw in (f"q={'%ff' * 2_000}", "q=%", "&" * 5_000, "=" * 999, "q=%00", "limit=1&limit=2"):
        answer = client.get(f"/v1/{path}?{raw}", headers=tokens["viewer"])
        assert answer.status_code in (200, 400, 404), raw


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(key=_JUNK, prefer=_JUNK, authorization=_JUNK)
def test_headers_of_the_api_are_read_or_refused(
    house: House, tokens: Tokens, key: str, prefer: str, authorization: str
) -> None:
    client = create_app(house.services).test_client()
    nobody = "00000000-0000-7000-8000-000000000000"
    for token in (tokens["operator"], {"Authorization": authorization}):
        for path in (f"incidents/{nobody}/fixes", f"incidents/{nobody}/acknowledge"):
            answer = client.post(
                f"/v1/{path}",
                json={"option": "mend"},
                headers={"Idempotency-Key": key, "Prefer": prefer, **token},
            )
            assert answer.status_code in (400, 401, 404, 409, 422), answer.get_data()


PREFERENCES = ["wait", "wait=", "wait=abc", "wait=-1", "wait=1e9", "wait=99999999999", "=", ",;,;"]
PREFERENCES += ["wait=0", 'wait="0"', "x" * 9_000, "\xff\xfe", "wait=\xb2", "wait=0, wait=abc"]


@BY_NAME
def test_a_preference_that_cannot_be_read_is_none(house: House, sender: Sender) -> None:
    client = create_app(house.services).test_client()
    for number, prefer in enumerate(PREFERENCES):
        payload = sender.alerts(f"Noise{number}")
        answer = post(client, sender, told(payload), Prefer=prefer)
        assert answer.status_code == 202
        assert "Preference-Applied" not in answer.headers
