"""Any JSON becomes alerts by the pointers of responder.toml, and nothing of it can do harm."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from responder.domain.alert import Alert, AlertStatus, Malformed, Notice, fingerprint
from responder.domain.settings import Fields, Source
from responder.sources import ADAPTERS, NotUnderstood, Request
from responder.sources.generic import RESOLVED_WORDS

GENERIC = ADAPTERS["generic"]
AT = datetime(2026, 3, 14, 9, 27, 0, tzinfo=UTC)
FIELDS = Fields(name=("/name",))


def parse(payload: Any, fields: Fields = FIELDS, **source: Any) -> list[Notice]:
    return GENERIC.parse(payload, Source("any", "generic", fields=fields, **source), AT)


def only(element: Any, fields: Fields = FIELDS, **source: Any) -> Alert:
    (alert,) = parse(element, fields, **source)
    assert isinstance(alert, Alert), alert
    return alert


def mapped(**pointers: Any) -> Fields:
    return replace(FIELDS, **pointers)


def test_the_least_that_can_be_mapped() -> None:
    assert only({"name": "DatabaseDown", "other": [1]}) == Alert(
        source="any",
        fingerprint=fingerprint({"alertname": "DatabaseDown"}),
        status=AlertStatus.FIRING,
        name="DatabaseDown",
        title="DatabaseDown",
        service="",
        labels={"alertname": "DatabaseDown"},
    )


@pytest.mark.parametrize(
    ("alerts", "payload", "names"),
    [
        ("", {"name": "a"}, ["a"]),
        ("", [{"name": "a"}, {"name": "b"}], ["a", "b"]),
        ("", [], []),
        ("/data/alerts", {"data": {"alerts": [{"name": "a"}, {"name": "b"}]}}, ["a", "b"]),
        ("/data/alerts", {"data": {"alerts": {"name": "a"}}}, ["a"]),
        ("/0", [{"name": "a"}, {"name": "b"}], ["a"]),
    ],
)
def test_one_alert_or_many(alerts: str, payload: Any, names: list[str]) -> None:
    found = parse(payload, mapped(alerts=alerts))
    assert [alert.name for alert in found if isinstance(alert, Alert)] == names
    assert len(found) == len(names)


@pytest.mark.parametrize("payload", [None, 7, "text", True, {}, {"alerts": "text"}, {"alerts": 1}])
def test_where_no_alerts_are_nothing_is_understood(payload: Any) -> None:
    with pytest.raises(NotUnderstood, match="at /alerts"):
        parse(payload, mapped(alerts="/alerts"))
    if not isinstance(payload, dict):
        with pytest.raises(NotUnderstood, match="at the top"):
            parse(payload)


def test_a_broken_one_does_not_hurt_its_neighbours() -> None:
    fields = mapped(name=("/name", "/title"), status=("/is",), firing=("on",), ignored=("test",))
    found = parse(
        [
            {"name": "a", "is": "on"},
            "text",
            {"is": "on"},
            {"name": "$NAME", "title": ["x"], "is": "on"},
            {"name": "b", "is": "sleeping"},
            {"name": "c"},
            {"name": "d", "is": "TEST"},
            {"name": "e", "is": "On "},
        ],
        fields,
    )
    assert [each.name if isinstance(each, Alert) else each for each in found] == [
        "a",
        Malformed("the alert is not an object"),
        Malformed("there is no name at /name or /title"),
        Malformed("there is no name at /name or /title"),
        Malformed("the status at /is is 'sleeping': no known word"),
        Malformed("the status at /is is nothing: no known word"),
        "e",
    ]


FIRING, RESOLVED = AlertStatus.FIRING, AlertStatus.RESOLVED
PAST, SOON, LATER = ((AT + timedelta(seconds=seconds)).isoformat() for seconds in (-60, 59, 61))


@pytest.mark.parametrize(
    ("told", "words", "status"),
    [
        ("resolved", {}, RESOLVED),
        (" OK ", {}, RESOLVED),
        ("anything", {}, FIRING),
        (0, {}, FIRING),
        (0, {"resolved": ("0",)}, RESOLVED),
        (1, {"resolved": ("0",)}, FIRING),
        (False, {"resolved": ("false",)}, RESOLVED),
        ("ok", {"resolved": ("fine",)}, FIRING),
        ("ok", {"firing": ("ok",)}, FIRING),
        ("up", {"firing": ("down",)}, RESOLVED),
        ("ok", {"ignored": ("ok",)}, None),
        ("no data", {"ignored": ("no data", "muted")}, None),
        (None, {}, FIRING),
        ("", {}, FIRING),
        ("$STATUS", {"ignored": ("muted",)}, FIRING),
        (["resolved"], {}, FIRING),
    ],
)
def test_the_word_of_the_status(
    told: Any, words: dict[str, Any], status: AlertStatus | None
) -> None:
    fields = mapped(status=("/s", "/t"), **words)
    for element in ({"name": "a", "s": told}, {"name": "a", "t": told, "s": ""}):
        found = [each.status for each in parse(element, fields) if isinstance(each, Alert)]
        assert found == ([status] if status else [])


@pytest.mark.parametrize("word", sorted(RESOLVED_WORDS))
def test_the_usual_words_for_the_end(word: str) -> None:
    assert only({"name": "a", "s": word.title()}, mapped(status=("/s",))).status == RESOLVED


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (PAST, RESOLVED),
        (AT.isoformat(), RESOLVED),
        (SOON, RESOLVED),
        (LATER, FIRING),
        (None, FIRING),
        ("", FIRING),
        (0, FIRING),
        ("0001-01-01T00:00:00Z", FIRING),
        ("1970-01-01T00:00:00Z", FIRING),
        ("never", FIRING),
    ],
)
def test_without_a_word_the_end_tells(end: Any, status: AlertStatus) -> None:
    for fields in (mapped(ends_at=("/end",)), mapped(ends_at=("/end",), status=("/nowhere",))):
        assert only({"name": "a", "end": end}, fields).status == status
    worded = mapped(ends_at=("/end",), status=("/s",))
    assert only({"name": "a", "end": end, "s": "on"}, worded).status == FIRING
    assert only({"name": "a", "end": end, "s": "ok"}, worded).status == RESOLVED


STARTED = datetime(2026, 3, 14, 3, 12, 9, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (1773457929, STARTED.replace(microsecond=0)),
        ("1773457929", STARTED.replace(microsecond=0)),
        (1773457929.0, STARTED.replace(microsecond=0)),
        (1773457929.25, STARTED.replace(microsecond=250_000)),
        ("1773457929.123456789", STARTED),
        (1773457929123, STARTED.replace(microsecond=123_000)),
        (" 1773457929123 ", STARTED.replace(microsecond=123_000)),
        (1773457929123456, STARTED),
        (1773457929123456789, STARTED),
        (1.773457929123e12, STARTED.replace(microsecond=123_000)),
        (1.773457929e18, STARTED.replace(microsecond=0)),
        ("2026-03-14T03:12:09.1234567Z", STARTED),
        ("2026-03-14 03:12:09.123456", STARTED),
        ("2026-03-14T05:12:09.123456+0200", STARTED),
        (9_999_999_999, datetime(2286, 11, 20, 17, 46, 39, tzinfo=UTC)),
        (999_999_999, None),
        (17734579291, None),
        (0, None),
        (-1773457929, None),
        (10**40, None),
        ("9" * 3_000, None),
        (float("inf"), None),
        (1e308, None),
        (True, None),
        (None, None),
        ("yesterday", None),
        ("$DATE", None),
        ("9999-12-31T23:59:59-10:00", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("1999-12-31T23:59:59Z", None),
        ([1773457929], None),
    ],
)
def test_times_in_each_way_of_writing_them(told: Any, expected: datetime | None) -> None:
    element = {"name": "a", "at": told, "s": "resolved"}
    starting = only(element, mapped(starts_at=("/nowhere", "/at")))
    assert starting.starts_at == expected
    assert only(element, mapped(ends_at=("/at",), status=("/s",))).ends_at == expected
    second = {"name": "a", "at": told, "then": "2026-03-14T03:12:09.123456Z"}
    assert only(second, mapped(starts_at=("/at", "/then"))).starts_at == (expected or STARTED)


def test_one_pointer_for_both_is_the_time_of_the_change() -> None:
    fields = mapped(starts_at=("/at",), ends_at=("/at",), status=("/s",))
    fired = only({"name": "a", "at": 1773457929, "s": "down"}, fields)
    resolved = only({"name": "a", "at": 1773457999, "s": "up"}, fields)
    assert (fired.starts_at, fired.ends_at) == (STARTED.replace(microsecond=0), None)
    assert (resolved.starts_at, resolved.ends_at) == (None, datetime.fromtimestamp(1773457999, UTC))


def test_a_sender_that_does_not_say_when_says_nothing() -> None:
    alert = only({"name": "a"}, mapped(starts_at=("/at",), ends_at=("/end",)))
    assert (alert.starts_at, alert.ends_at) == (None, None)


def test_ten_thousand_alerts_in_a_body() -> None:
    fields = mapped(
        alerts="/alerts",
        status=("/status",),
        severity=("/severity",),
        starts_at=("/at",),
        labels={name: (f"/labels/{name}",) for name in ("instance", "env", "team")},
    )
    labels = {"instance": "db-1", "env": "production", "team": "shop"}
    alerts = [
        {"name": f"a{n}", "status": "down", "severity": "P1", "at": 1773457929, "labels": labels}
        for n in range(10_000)
    ]
    began = time.process_time()
    found = parse({"alerts": alerts}, fields)
    assert time.process_time() - began < 10
    assert len({alert.fingerprint for alert in found if isinstance(alert, Alert)}) == 10_000


def key(payload: Any, *pointers: str, **fields: Any) -> str | None:
    source = Source("any", "generic", fields=mapped(id=pointers, **fields))
    return GENERIC.delivery_key(Request({"webhook-id": "header"}, b"", AT), payload, source)


def test_the_id_of_a_delivery_begins_at_the_top() -> None:
    assert key({"id": 17, "alerts": []}, "/id", alerts="/alerts") == "17"
    assert key({"id": "a", "n": 2}, "/id", "/n") == '["a", "2"]'
    assert key([{"id": "a"}], "/0/id") == "a"


@pytest.mark.parametrize("payload", [{}, {"id": "a"}, {"id": "$ID", "n": 1}, {"n": 1}, [], "x", 1])
def test_half_an_id_is_none(payload: Any) -> None:
    assert key(payload, "/id", "/n") is None
    assert key(payload) is None


def test_a_long_id_is_hashed() -> None:
    long, longer = key({"id": "a" * 201}, "/id"), key({"id": "a" * 202}, "/id")
    assert long and longer and long != longer and len(long) == 71
