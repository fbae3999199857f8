"""Alerts survive being written down, and fingerprints are Alertmanager's own."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.alert import (
    Alert,
    AlertStatus,
    Malformed,
    alert_from_json,
    fingerprint,
    notice_from_json,
)
from responder.domain.severity import Severity

words = st.text(max_size=8)
maps = st.dictionaries(words, words, max_size=3)
times = st.datetimes(timezones=st.just(UTC))
alerts = st.builds(
    Alert,
    source=words,
    fingerprint=words,
    status=st.sampled_from(AlertStatus),
    name=words,
    title=words,
    service=words,
    labels=maps,
    starts_at=times,
    ends_at=st.none() | times,
    severity_word=st.none() | words,
    severity=st.none() | st.sampled_from(Severity),
    annotations=maps,
    links=maps,
)


@given(alerts | st.builds(Malformed, words))
def test_a_notice_is_read_back_as_it_was_written(notice: Alert | Malformed) -> None:
    written = json.dumps(notice.to_json())
    assert notice_from_json(json.loads(written)) == notice


@given(alerts)
def test_what_was_an_enum_is_one_again(alert: Alert) -> None:
    read = alert_from_json(json.loads(json.dumps(alert.to_json())))
    assert type(read.status) is AlertStatus
    assert read.severity is None or type(read.severity) is Severity


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        # As in Grafana's own tests of this formula.
        ({"alertname": "alert1", "lbl1": "val1"}, "fac0861a85de433a"),
        ({"alertname": "alert1", "lbl1": "val2"}, "fab6861a85d5eeb5"),
        ({"lbl1": "val1", "alertname": "alert1"}, "fac0861a85de433a"),
        # FNV-1a's offset: nothing to hash.
        ({}, "cbf29ce484222325"),
    ],
)
def test_fingerprints_are_those_of_alertmanager(labels: dict[str, str], expected: str) -> None:
    assert fingerprint(labels) == expected


@given(st.dictionaries(words, words, min_size=1), st.data())
def test_names_and_values_are_told_apart(labels: dict[str, str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(labels)))
    assert fingerprint(labels) != fingerprint({**labels, name: labels[name] + "x"})
    assert fingerprint({"a": "bc"}) != fingerprint({"ab": "c"})


@pytest.mark.parametrize(
    ("word", "severity", "unreadable"),
    [(None, None, False), ("critical", Severity.P0, False), ("quite bad", None, True)],
)
def test_a_severity_is_absent_read_or_unreadable(
    word: str | None, severity: Severity | None, unreadable: bool
) -> None:
    now = datetime.now(UTC)
    alert = Alert(
        "am", "f", AlertStatus.FIRING, "n", "t", "s", {}, now, None, word, severity
    )  # fmt: skip
    assert alert.severity_unreadable is unreadable
