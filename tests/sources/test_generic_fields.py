"""What a mapped alert is called, how bad it is and which one it is; and any mapping of any JSON."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.alert import Alert, AlertStatus, Malformed, fingerprint
from responder.domain.settings import Fields, Source
from responder.domain.severity import Severity
from responder.sources import ADAPTERS, Request, read_json
from responder.sources.payload import MAX_FINGERPRINT
from tests.sources.strange import ANYTHING, survives

GENERIC = ADAPTERS["generic"]
AT = datetime(2026, 3, 14, 9, 27, 0, tzinfo=UTC)
FIELDS = Fields(name=("/name",))


def only(element: Any, fields: Fields = FIELDS, **source: Any) -> Alert:
    (alert,) = GENERIC.parse(element, Source("any", "generic", fields=fields, **source), AT)
    assert isinstance(alert, Alert), alert
    return alert


def mapped(**pointers: Any) -> Fields:
    return replace(FIELDS, **pointers)


@pytest.mark.parametrize(
    ("element", "labels", "name"),
    [
        ({"name": " a b "}, {}, "a b"),
        ({"name": 17}, {}, "17"),
        ({"name": "a"}, {"alertname": "configured"}, "a"),
        ({"name": ""}, {"alertname": "configured"}, "configured"),
        ({"name": "n" * 3_000}, {}, "n" * 1_999 + "…"),
    ],
)
def test_the_name_is_also_the_label_alertname(
    element: Any, labels: dict[str, str], name: str
) -> None:
    alert = only(element, mapped(labels={"alertname": ("/other",)}), labels=labels)
    assert alert.name == alert.labels["alertname"] == name


def test_the_senders_labels_win_over_the_configured_ones() -> None:
    fields = mapped(
        labels={"env": ("/env",), "zone": ("/zone", "/region"), "n": ("/n",), "long": ("/long",)}
    )
    element = {
        "name": "a",
        "env": "staging",
        "zone": "",
        "region": "eu",
        "n": 0,
        "long": "x" * 3000,
    }
    alert = only(element, fields, labels={"env": "production", "team": "shop", "zone": "none"})
    assert alert.labels == {
        "alertname": "a",
        "env": "staging",
        "zone": "eu",
        "n": "0",
        "long": "x" * 1_999 + "…",
        "team": "shop",
    }
    assert only({"name": "a"}, fields, labels={"env": "production"}).labels == {
        "alertname": "a",
        "env": "production",
    }


def test_more_labels_than_are_taken_are_no_alert() -> None:
    labels = {f"l{number}": ("/name",) for number in range(100)}
    source = Source("any", "generic", fields=mapped(labels=labels))
    (broken,) = GENERIC.parse({"name": "a"}, source, AT)
    assert broken == Malformed("there are 101 labels; at most 100 are taken")


@pytest.mark.parametrize(
    ("told", "title"),
    [
        ("two\n lines\t of it", "two lines of it"),
        ("x" * 400, "x" * 299 + "…"),
        (5, "5"),
        ("", "a"),
        ("$EVENT_TITLE", "a"),
        (["no text"], "a"),
    ],
)
def test_the_title_is_one_line(told: Any, title: str) -> None:
    assert only({"name": "a", "t": told}, mapped(title=("/t",))).title == title


def test_the_service_is_its_own_else_a_label() -> None:
    fields = mapped(service=("/service",), labels={"service": ("/label",)})
    assert only({"name": "a", "service": "s" * 3_000}, fields).service == "s" * 1_999 + "…"
    assert only({"name": "a", "label": "l"}, fields).service == "l"
    assert only({"name": "a"}, fields, labels={"service": "c"}).service == "c"
    assert only({"name": "a"}, fields).service == ""


@pytest.mark.parametrize("address", ["javascript:alert(1)", None, 7, "", "*monitorURL*", "x.com"])
def test_only_an_address_is_a_link(address: Any) -> None:
    fields = mapped(link=("/link", "/other"))
    assert only({"name": "a", "link": address}, fields).links == {}
    found = only({"name": "a", "link": address, "other": "https://x.example/"}, fields).links
    assert found == {"source": "https://x.example/"}


@pytest.mark.parametrize(
    ("element", "word", "severity"),
    [
        ({"sev": "Critical", "label": "info"}, "Critical", Severity.P0),
        ({"sev": "", "label": "info"}, "info", Severity.P3),
        ({"sev": "$PRIORITY", "second": "Sev2"}, "Sev2", Severity.P2),
        ({"sev": " Ours "}, "Ours", Severity.P1),
        ({"sev": 3}, "3", None),
        ({"sev": "w" * 3_000}, "w" * 1_999 + "…", None),
        ({"sev": ["critical"]}, "warning", Severity.P2),
        ({}, "warning", Severity.P2),
    ],
)
def test_the_severity_is_what_the_sender_declares(
    element: dict[str, Any], word: str, severity: Severity | None
) -> None:
    fields = mapped(severity=("/sev", "/second"), labels={"severity": ("/label",)})
    own = {"severities": {"ours": Severity.P1}, "labels": {"severity": "warning"}}
    alert = only({"name": "a", **element}, fields, **own)
    assert (alert.severity_word, alert.severity) == (word, severity)
    assert alert.severity_unreadable == (severity is None)


@pytest.mark.parametrize("blank", ["", "  "])
def test_without_a_word_no_severity_is_declared(blank: str) -> None:
    alert = only(
        {"name": "a", "sev": blank}, mapped(severity=("/sev",)), labels={"severity": blank}
    )
    assert (alert.severity_word, alert.severity) == (None, None)


@pytest.mark.parametrize(("word", "kept"), [("success", (None, None)), ("P1", ("P1", Severity.P1))])
def test_an_end_may_have_another_word_for_it(word: str, kept: tuple[str, Severity]) -> None:
    fields = mapped(severity=("/sev",), status=("/s",))
    alert = only({"name": "a", "sev": word, "s": "ok"}, fields)
    assert alert.status == AlertStatus.RESOLVED
    assert (alert.severity_word, alert.severity) == kept


def test_the_fingerprint_is_what_is_mapped() -> None:
    assert only({"name": "a", "id": 17}, mapped(fingerprint=("/id",))).fingerprint == "17"
    both = mapped(fingerprint=("/id", "/group"))
    prints = [
        only({"name": "a", "id": first, "group": second}, both).fingerprint
        for first, second in [("a", "b"), ("ab", ""), ("", "ab"), ("a, b", ""), ('a", "b', "")]
    ]
    assert prints[0] == '["a", "b"]'
    assert len(set(prints)) == len(prints)


def test_a_long_fingerprint_is_hashed() -> None:
    fields = mapped(fingerprint=("/id",))
    exact = only({"name": "a", "id": "i" * MAX_FINGERPRINT}, fields).fingerprint
    long, other = (only({"name": "a", "id": "i" * 3_000 + end}, fields) for end in "xy")
    assert exact == "i" * MAX_FINGERPRINT
    assert re.fullmatch("sha256:[0-9a-f]{64}", long.fingerprint)
    assert long.fingerprint != other.fingerprint


def test_without_one_it_is_made_of_name_and_labels() -> None:
    fields = mapped(fingerprint=("/id",), labels={"host": ("/host",), "env": ("/env",)})
    element = {"name": "a", "host": "db-1", "env": "", "id": "$ID"}
    alert = only(element, fields, labels={"env": "production", "alertname": "configured"})
    assert alert.fingerprint == fingerprint({"alertname": "a", "host": "db-1"})
    assert only({**element, "host": "db-2"}, fields).fingerprint != alert.fingerprint


def test_what_differs_at_the_end_is_not_in_it() -> None:
    fields = mapped(
        id=("/event",),
        status=("/state",),
        severity=("/sev",),
        starts_at=("/at",),
        ends_at=("/end",),
        labels={
            "host": ("/host",),
            "state": ("/state",),
            "how_bad": ("/unused", "/sev"),
            "since": ("/at",),
            "until": ("/end",),
            "event": ("/event",),
            "level": ("/level",),
        },
    )
    start = {"state": "down", "sev": "high", "at": 1773457929, "end": None, "event": 1, "level": 5}
    end = {"state": "up", "sev": "success", "at": 1773457999, "end": 1773458000, "event": 2}
    fired, resolved = (only({"name": "a", "host": "h", **each}, fields) for each in (start, end))
    assert (fired.status, resolved.status) == (AlertStatus.FIRING, AlertStatus.RESOLVED)
    assert fired.labels["state"] == "down" and fired.labels["level"] == "5"
    assert fired.fingerprint == resolved.fingerprint
    assert fired.fingerprint == fingerprint({"alertname": "a", "host": "h"})


def test_an_alerts_own_id_may_be_a_label_below_that_of_the_delivery() -> None:
    fields = Fields(alerts="/alerts", id=("/id",), name=("/name",), labels={"id": ("/id",)})
    source = Source("any", "generic", fields=fields)
    alerts = [{"name": "a", "id": 1}, {"name": "a", "id": 2}]
    first, second = GENERIC.parse({"id": "delivery", "alerts": alerts}, source, AT)
    assert isinstance(first, Alert) and isinstance(second, Alert)
    assert first.fingerprint != second.fingerprint


STEPS = st.sampled_from(["name", "a", "b", "0", "1", "", "~0", "~1"]) | st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="/~\x00"), max_size=5
)
POINTER = st.lists(STEPS, max_size=3).map(lambda steps: "".join(f"/{step}" for step in steps))
POINTERS = st.lists(POINTER, max_size=3).map(tuple)
WORDS = st.lists(st.sampled_from(["firing", "resolved", "ok", "1", "true"]), max_size=2).map(tuple)
NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=8)
MAPPINGS = st.builds(
    Fields,
    alerts=st.just("") | POINTER,
    **{
        name: POINTERS
        for name in (
            *("id", "name", "title", "status", "severity", "service", "fingerprint"),
            *("starts_at", "ends_at", "link"),
        )
    },
    labels=st.dictionaries(NAMES, POINTERS, max_size=3)
    | st.just({f"l{number}": ("",) for number in range(120)}),
    resolved=WORDS,
    firing=WORDS,
    ignored=WORDS,
)
SHAPED = st.dictionaries(st.sampled_from(["name", "a", "b", "0", "", "/", "~"]), ANYTHING)


@given(ANYTHING | SHAPED | st.lists(SHAPED, max_size=3), MAPPINGS, st.dictionaries(NAMES, NAMES))
def test_any_mapping_of_any_json(payload: Any, fields: Fields, labels: dict[str, str]) -> None:
    source = Source("any", "generic", fields=fields, labels=labels)
    survives(GENERIC, payload, source, AT)
    told = read_json(json.dumps(payload).encode())
    key = GENERIC.delivery_key(Request({}, b"", AT), told, source)
    assert key is None or (0 < len(key) <= MAX_FINGERPRINT and key.encode())


@given(SHAPED, MAPPINGS)
def test_what_has_a_name_is_an_alert(payload: dict[str, Any], fields: Fields) -> None:
    fields = replace(fields, alerts="", name=("/name",), firing=(), ignored=(), labels={})
    alert = only(read_json(json.dumps({**payload, "name": "a"}).encode()), fields)
    assert alert.name == "a"
