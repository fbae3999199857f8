"""The reply table: source by what it sends, and what it is answered, counted and kept."""

import gzip
import json
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from responder.domain.settings import Receiver
from responder.runbook.loader import load
from responder.web import create_app
from responder.web.counters import counted
from tests.house import House
from tests.senders import (
    GENERIC,
    GRAFANA_SIGNED,
    PAGERDUTY,
    SENDERS,
    TIMESTAMP_HEADER,
    Headers,
    Sender,
    sources,
    told,
    trial_message,
)
from tests.small_rules import TABLE, small_rule

MAX_BODY = 50_000
Sent = tuple[bytes, Headers]
#: Receivers of the house by type, which decides who is woken for what came from PagerDuty.
RECEIVERS = {"pager": Receiver("pager", "slack"), "hook": Receiver("hook", "webhook")}

BY_NAME = pytest.mark.parametrize("sender", SENDERS, ids=lambda sender: sender.name)


@pytest.fixture
def house(make_house: Callable[..., House], tmp_path: Path) -> House:
    return make_house([], sources=sources(tmp_path), receivers=RECEIVERS, max_body=MAX_BODY)


@dataclass(frozen=True)
class Door:
    """A house behind its web door, and what was counted there since."""

    house: House
    client: FlaskClient

    def post(self, sender: Sender, body: bytes, headers: Headers) -> TestResponse:
        return self.client.post(f"/v1/webhooks/{sender.name}", data=body, headers=headers)

    def told(self, sender: Sender, payload: Any, identifier: str = "msg_1") -> TestResponse:
        body = told(payload)
        return self.post(sender, body, sender.headers(body, identifier))


@pytest.fixture
def door(house: House) -> Door:
    return Door(house, create_app(house.services).test_client())


def counts() -> dict[tuple[str, ...], float]:
    """Deliveries by source and outcome, refusals by source and reason, alerts by source."""
    found = {}
    for family in counted().collect():
        for sample in family.samples:
            if sample.name.endswith("_total"):
                labels = tuple(sample.labels[name] for name in sorted(sample.labels, reverse=True))
                found[(sample.name.removeprefix("responder_"), *labels)] = sample.value
    return found


def since(before: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """What was counted since then; a refusal's labels are source and reason."""
    changed = {name: value - before.get(name, 0) for name, value in counts().items()}
    return {name: value for name, value in changed.items() if value}


def signed(sender: Sender, body: bytes, **of_attempt: Any) -> Sent:
    return body, sender.headers(body, **of_attempt)


def one(sender: Sender, **more: Any) -> bytes:
    return told(sender.alerts("Noise", **more))


def broken_element(sender: Sender) -> bytes | None:
    if not sender.batches:
        return None
    payload = sender.alerts("Noise")
    next(value for value in payload.values() if isinstance(value, list)).append(7)
    return told(payload)


@dataclass(frozen=True)
class Row:
    """What is sent, and what then must be so.

    body: None where the sender has no such thing; firing: whether the alert was told before.
    """

    name: str
    body: Callable[[Sender], bytes | None]
    outcome: str = "accepted"
    said: tuple[int, int] = (1, 0)
    alerts: Sequence[str] = ("opened",)
    firing: bool = False


TABLE_OF_KEPT = [
    Row("firing", one),
    Row(
        "resolved",
        lambda s: one(s, status="resolved"),
        alerts=("opened", "cleared"),
        firing=True,
    ),
    Row("resolved, never fired", lambda s: one(s, status="resolved"), alerts=("stale",)),
    Row("test message", trial_message, said=(0, 0), alerts=()),
    Row(
        "batch",
        lambda s: told(s.alerts("Noise", "Other", "Noise")) if s.batches else None,
        said=(3, 0),
        alerts=("opened", "opened", "joined"),
    ),
    Row("malformed element", broken_element, said=(1, 1), alerts=("opened", "quarantined")),
    Row("malformed shape", lambda s: b'{"hello": "world"}', "quarantined", (0, 1), ()),
    Row("a list", lambda s: b"[1, 2]", "quarantined", (0, 1), ()),
    Row("too deep", lambda s: b"[" * 5_000 + b"]" * 5_000, "quarantined", (0, 1), ()),
    Row(
        "unknown type of event",
        lambda s: one(s, status="incident.invented") if s is PAGERDUTY else None,
        "quarantined",
        (0, 1),
        (),
    ),
    Row(
        "unknown status",
        lambda s: one(s, status="invented") if s is not PAGERDUTY else None,
        said=(0, 1),
        alerts=("quarantined",),
    ),
]


@pytest.mark.parametrize(
    ("sender", "row", "body"),
    [
        pytest.param(sender, row, body, id=f"{sender.name}-{row.name}")
        for row in TABLE_OF_KEPT
        for sender in SENDERS
        if (body := row.body(sender)) is not None
    ],
)
def test_what_is_kept(door: Door, sender: Sender, row: Row, body: bytes) -> None:
    if row.firing:
        assert door.told(sender, sender.alerts("Noise"), "before").status_code == 202
        door.house.settle()
    before, events = counts(), len(trail(door.house))

    answer = door.post(sender, *signed(sender, body))
    kept = is_kept(door, sender, answer, row.outcome, row.said)
    assert door.house.body(kept["id"]) == body
    expected = {("deliveries_total", sender.name, row.outcome): 1.0}
    if row.outcome == "accepted" and sum(row.said):
        expected[("alerts_accepted_total", sender.name)] = float(sum(row.said))
    assert since(before) == expected
    door.house.settle()
    assert sorted(door.house.outcomes()) == sorted(row.alerts)
    assert door.house.gap() == (0, 0)
    happened = trail(door.house)[events:]
    if row.outcome == "quarantined":
        assert happened == [("delivery", "sender", sender.name, "quarantined")]
        assert kept["note"]
    if "cleared" in row.alerts:
        assert ("status", "sender", sender.name, "resolved") in happened
    assert [e[0] for e in happened].count("opened") == (
        0 if row.firing else row.alerts.count("opened")
    )


def trail(house: House) -> list[tuple[str, ...]]:
    rows = house.sql("SELECT what, actor_kind, actor, after FROM audit_event ORDER BY at, id")
    return [tuple(row.values()) for row in rows]


def is_kept(
    door: Door, sender: Sender, answer: TestResponse, outcome: str, said: tuple[int, int]
) -> dict[str, Any]:
    """202 with its body, and the delivery's row as it is told."""
    assert answer.status_code == 202, answer.get_data()
    newest = door.house.sql("SELECT * FROM delivery ORDER BY id DESC LIMIT 1")[0]
    assert (newest["source"], newest["outcome"]) == (sender.name, outcome)
    known = answer.get_json()["delivery"]
    assert answer.get_json() == {
        "delivery": known,
        "alerts": said[0],
        "quarantined": said[1],
        "duplicate": outcome == "duplicate",
        "links": {"self": f"http://127.0.0.1:8000/v1/deliveries/{known}"},
    }
    assert (known == str(newest["id"])) == (outcome != "duplicate")
    assert newest["alert_count"] == (sum(said) if outcome == "accepted" else 0)
    return newest


def without(headers: Headers, *names: str) -> Headers:
    return {name: value for name, value in headers.items() if name not in names}


PROOFS = ("Authorization", "X-Grafana-Alerting-Signature", "X-PagerDuty-Signature")
ALL_PROOFS = (*PROOFS, "webhook-signature")


def unsigned(sender: Sender) -> Sent:
    body = one(sender)
    return body, without(sender.headers(body), *ALL_PROOFS)


def wrongly(sender: Sender) -> Sent:
    wrong = GENERIC.secret[:-4] + "AAAA" if sender is GENERIC else "wrong"
    return signed(sender, one(sender), secret=wrong)


def of_another_body(sender: Sender) -> Sent | None:
    if not sender.source(None).secret and "signature" not in str(sender.headers(b"")).lower():  # type: ignore[arg-type]
        return None
    return one(sender), sender.headers(one(sender, status="resolved"))


def of_yesterday(sender: Sender) -> Sent | None:
    if sender not in (GRAFANA_SIGNED, GENERIC):
        return None
    return signed(sender, one(sender), at=time.time() - 86_400)


MALFORMED = ["", " ", "v1", "v1=", "v1,", "=", ",", "é\x80\xff", "v1=zz", "Bearer", "Basic %%%"]
MALFORMED += ["Bearer \xff\xfe", "v1,not base64 v1a,x =", "v1," + "A" * 9_000, "0" * 64, "v9=" * 99]


def malformed(told: str) -> Callable[[Sender], Sent]:
    def make(sender: Sender) -> Sent:
        body = one(sender)
        headers = sender.headers(body)
        return body, {n: told if n in ALL_PROOFS else value for n, value in headers.items()}

    return make


def bad_timestamp(told: str) -> Callable[[Sender], Sent | None]:
    def make(sender: Sender) -> Sent | None:
        body = one(sender)
        names = (TIMESTAMP_HEADER, "webhook-timestamp")
        headers = sender.headers(body)
        if not any(name in headers for name in names):
            return None
        return body, {n: told if n in names else value for n, value in headers.items()}

    return make


def packed(
    name: str, pack: Callable[[bytes], bytes], body: bytes | None = None
) -> Callable[[Sender], Sent]:
    def make(sender: Sender) -> Sent:
        compressed = pack(one(sender) if body is None else body)
        return compressed, {**sender.headers(compressed), "Content-Encoding": name}

    return make


NOT_JSON = {
    "not JSON": b"hello",
    "nothing": b"",
    "half": b'{"alerts": [',
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
}
TABLE_OF_REFUSED: list[tuple[str, Callable[[Sender], Sent | None], int, str]] = [
    ("unsigned", unsigned, 401, "unauthenticated"),
    ("wrongly signed", wrongly, 401, "unauthenticated"),
    ("signed for another body", of_another_body, 401, "unauthenticated"),
    ("signed yesterday", of_yesterday, 401, "unauthenticated"),
    *((f"header {each[:12]!r}", malformed(each), 401, "unauthenticated") for each in MALFORMED),
    *(
        (f"time {each[:12]!r}", bad_timestamp(each), 401, "unauthenticated")
        for each in ("", "now", "-1", "1e9", "9" * 400, "\xb2", "1.0", "0x10")
    ),
    *(
        (name, lambda s, body=body: signed(s, body), 400, "not_json")  # type: ignore[misc]
        for name, body in NOT_JSON.items()
    ),
    ("too large", lambda s: signed(s, b" " * (MAX_BODY + 1)), 413, "too_large"),
    ("far too large", lambda s: signed(s, b" " * 20_000_000), 413, "too_large"),
    ("gzip bomb", packed("gzip", gzip.compress, b" " * 9_000_000), 413, "too_large"),
    ("deflate bomb", packed("deflate", zlib.compress, b" " * 9_000_000), 413, "too_large"),
    ("half a gzip", packed("gzip", lambda body: gzip.compress(body)[:-9]), 400, "not_json"),
    ("no gzip", packed("gzip", bytes), 400, "not_json"),
    ("unknown encoding", packed("br", bytes), 400, "not_json"),
]


@pytest.mark.parametrize(
    ("make", "status", "reason"),
    [row[1:] for row in TABLE_OF_REFUSED],
    ids=[row[0] for row in TABLE_OF_REFUSED],
)
def test_what_is_refused(
    door: Door, make: Callable[[Sender], Sent | None], status: int, reason: str
) -> None:
    events = []
    for sender in SENDERS:
        sent, before = make(sender), counts()
        if sent is None:  # this sender has no such thing
            continue
        is_refused(door.post(sender, *sent), status, reason)
        assert since(before) == refused(sender, reason)
        events.append(("refused", "sender", sender.name, None))
    assert events
    assert trail(door.house) == events
    details = door.house.sql("SELECT details ->> 'why' AS why FROM audit_event")
    assert {row["why"] for row in details} == {reason}
    assert door.house.sql("SELECT FROM delivery") == []
    assert door.house.gap() == (0, 0)


def is_refused(answer: TestResponse, status: int, reason: str) -> None:
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    said = answer.get_json()
    assert (said["type"], said["status"]) == (f"urn:responder:{reason}", status)
    assert ("Retry-After" in answer.headers) == (status == 503)


def refused(sender: Sender, reason: str, times: int = 1) -> dict[tuple[str, ...], float]:
    """What is counted of it."""
    return {
        ("deliveries_total", sender.name, "refused"): float(times),
        ("refused_total", sender.name, reason): float(times),
    }


@pytest.mark.parametrize(
    "make",
    [
        packed("gzip", gzip.compress),
        packed("x-gzip", gzip.compress),
        packed("GZIP ", gzip.compress),
        packed("deflate", zlib.compress),
        packed("deflate", lambda body: zlib.compress(body, wbits=-15)),
        packed("identity", bytes),
        packed("gzip", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),
    ],
    ids=["gzip", "x-gzip", "GZIP", "deflate", "raw deflate", "identity", "gzip in two members"],
)
def test_a_compressed_body_is_unpacked(door: Door, make: Callable[[Sender], Sent]) -> None:
    for sender in SENDERS:
        answer = door.post(sender, *make(sender))
        kept = is_kept(door, sender, answer, "accepted", (1, 0))
        assert door.house.body(kept["id"]) == one(sender)


@BY_NAME
def test_a_delivery_that_comes_again(door: Door, sender: Sender) -> None:
    """By the sender's own id it is known; without one it is another notice of the same."""
    sent = signed(sender, one(sender))
    first = door.post(sender, *sent)
    before = counts()
    again = door.post(sender, *sent)
    outcome, said = ("duplicate", (0, 0)) if sender.has_ids else ("accepted", (1, 0))
    is_kept(door, sender, again, outcome, said)
    assert since(before)[("deliveries_total", sender.name, outcome)] == 1
    assert (first.get_json()["delivery"] == again.get_json()["delivery"]) == sender.has_ids
    door.house.settle()
    assert door.house.outcomes() == (["opened"] if sender.has_ids else ["opened", "joined"])
    assert len(door.house.incidents()) == 1
    door.house.later(timedelta(days=8))
    is_kept(door, sender, door.post(sender, *sent), "accepted", (1, 0))
    door.house.settle()
    assert door.house.gap() == (0, 0)


ALIKE = ("alertmanager", "grafana")


@BY_NAME
def test_the_payload_of_another_source(door: Door, sender: Sender) -> None:
    """Grafana speaks as Alertmanager does; nobody else's words are guessed at."""
    understood = []
    for other in SENDERS:
        if other.type == sender.type:
            continue
        answer = door.told(sender, other.alerts(f"Of_{other.name}"), other.name)
        alike = sender.type in ALIKE and other.type in ALIKE
        outcome, said = ("accepted", (1, 0)) if alike else ("quarantined", (0, 1))
        is_kept(door, sender, answer, outcome, said)
        understood += ["opened"] * alike
    door.house.settle()
    assert door.house.outcomes() == understood
    assert door.house.gap() == (0, 0)


@BY_NAME
def test_another_source_s_signature_opens_no_door(door: Door, sender: Sender) -> None:
    for other in SENDERS:
        if other is not sender:
            body = one(sender)
            is_refused(door.post(sender, body, other.headers(body)), 401, "unauthenticated")
    assert door.house.sql("SELECT FROM delivery") == []


def limited(house: House, per_minute: int) -> Door:
    settings = house.services.settings
    slower = {n: replace(s, per_minute=per_minute) for n, s in settings.sources.items()}
    house.with_settings(sources=slower)
    return Door(house, create_app(house.services).test_client())


@BY_NAME
def test_over_the_limit_of_a_minute(house: House, sender: Sender) -> None:
    door, before = limited(house, 2), counts()
    for number in range(2):
        assert door.told(sender, sender.alerts(f"N{number}"), f"m{number}").status_code == 202
    answer = door.told(sender, sender.alerts("N2"), "m2")
    is_refused(answer, 503, "overloaded")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert since(before) == {
        **refused(sender, "overloaded"),
        ("deliveries_total", sender.name, "accepted"): 2.0,
        ("alerts_accepted_total", sender.name): 2.0,
    }
    garbage = b'{"hello": "world"}'
    is_refused(door.post(sender, *signed(sender, garbage)), 503, "overloaded")

    urgent = door.told(sender, sender.alerts("Fire", severity="critical"), "m3")
    is_kept(door, sender, urgent, "accepted", (1, 0))
    is_refused(door.told(sender, sender.alerts("N2"), "m2"), 503, "overloaded")
    others = [other for other in SENDERS if other is not sender]
    assert door.told(others[0], others[0].alerts("N0")).status_code == 202
    house.later(timedelta(seconds=int(answer.headers["Retry-After"]) + 1))
    assert door.told(sender, sender.alerts("N2"), "m2").status_code == 202
    house.settle()
    assert sorted(house.outcomes()) == ["opened"] * 5
    assert house.gap() == (0, 0)


@pytest.fixture
def broken(house: House) -> Iterator[Callable[[str], None]]:
    """Our database ends each session that writes into this table."""
    house.sql(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END'"
    )

    def on(table: str) -> None:
        house.sql(
            f"CREATE TRIGGER die BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION die()"
        )

    yield on


@pytest.mark.parametrize("table", ["delivery", "raw_body"])
@pytest.mark.parametrize("severity", ["warning", "critical"])
def test_our_database_away(
    door: Door, table: str, severity: str, broken: Callable[[str], None]
) -> None:
    """It ends in the middle of the transaction: nothing is kept, and the retry is taken whole."""
    broken(table)
    sent = {sender: signed(sender, one(sender, severity=severity)) for sender in SENDERS}
    for sender in SENDERS:
        before = counts()
        is_refused(door.post(sender, *sent[sender]), 503, "unavailable")
        assert since(before) == refused(sender, "unavailable")
    assert door.house.sql("SELECT FROM delivery") == []
    assert door.house.sql("SELECT FROM delivery_key") == []
    door.house.sql(f"DROP TRIGGER die ON {table}")
    for sender in SENDERS:
        is_kept(door, sender, door.post(sender, *sent[sender]), "accepted", (1, 0))
    door.house.settle()
    assert door.house.outcomes() == ["opened"] * len(SENDERS)
    assert door.house.gap() == (0, 0)


@BY_NAME
def test_a_secret_that_is_not_there(door: Door, sender: Sender, tmp_path: Path) -> None:
    (tmp_path / f"{sender.name}.secret").unlink()
    before = counts()
    is_refused(door.post(sender, *signed(sender, one(sender))), 503, "unavailable")
    assert since(before) == refused(sender, "unavailable")


@BY_NAME
def test_a_rule_that_crashes(
    make_house: Callable[..., House], sender: Sender, tmp_path: Path
) -> None:
    """202, since the alert is ours; the incident is handed over to people."""
    small_rule(tmp_path, name="Noise")
    module = tmp_path / "rules" / "p2" / "noise.py"
    module.write_text(module.read_text().replace('if case["wrong"].rows:', "if 1 / 0:"))
    house = make_house(load(tmp_path), sources=filled(tmp_path), receivers=RECEIVERS)
    house.shop.run(TABLE)
    door = Door(house, create_app(house.services).test_client())
    is_kept(door, sender, door.told(sender, sender.alerts("Noise")), "accepted", (1, 0))
    house.settle()
    assert house.outcomes() == ["opened"]
    assert house.decision() == ("hand_over", "rule_failed")
    assert house.gap() == (0, 0)


def filled(folder: Path) -> Any:
    """Sources that say where an alert comes from, for those who cannot."""
    return {n: replace(s, labels={"env": "production"}) for n, s in sources(folder).items()}


def test_an_unknown_source(door: Door) -> None:
    before = counts()
    for name in ("nobody", "x" * 3_000, "a%00b", "%ff", "%0d%0aX: y"):
        answer = door.client.post(f"/v1/webhooks/{name}", data=b"{}")
        is_refused(answer, 404, "unknown_source")
    assert since(before) == {
        ("deliveries_total", "unknown", "refused"): 5.0,
        ("refused_total", "unknown", "unknown_source"): 5.0,
    }
    assert {row[:3] for row in trail(door.house)} == {("refused", "sender", "unknown")}


def test_the_answers_tell_nothing_secret(door: Door) -> None:
    for sender in SENDERS:
        for make in (unsigned, wrongly, malformed("v1=zz")):
            sent = make(sender)
            assert sent
            answer = door.post(sender, *sent)
            assert sender.secret not in str(answer.headers) + answer.get_data(as_text=True)
    assert not [s for s in SENDERS if s.secret in json.dumps(trail(door.house))]
