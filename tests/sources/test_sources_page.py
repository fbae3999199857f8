"""Each example of docs/sources.md, read as it stands there, understands its monitor's own JSON."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from responder import settings
from responder.domain.alert import Alert, AlertStatus, Malformed, Notice
from responder.domain.settings import Source
from responder.domain.severity import Severity
from responder.settings import SOURCE_TYPES
from responder.sources import ADAPTERS, Request, read_json
from responder.sources.generic import RESOLVED_WORDS
from tests.sources.strange import is_storable, payloads_in

ROOT = Path(__file__).parent.parent
PAGE = (ROOT.parent / "docs" / "sources.md").read_text(encoding="utf-8")
PAYLOADS = ROOT / "payloads" / "generic"
AT = datetime(2026, 3, 14, 3, 21, 0, tzinfo=UTC)

CHANGED = datetime(2026, 3, 14, 3, 12, 9, tzinfo=UTC)
ENDED = datetime(2026, 3, 14, 3, 20, 41, tzinfo=UTC)


def sources() -> dict[str, Source]:
    """All blocks of TOML of the page, each of which is one source."""
    found: dict[str, Source] = {}
    for block in re.findall(r"^```toml\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        found.update(settings.read(block, "docs/sources.md").sources)
    return found


SOURCES = sources()


def parse(name: str, file: str) -> list[Notice]:
    payload: Any = read_json((PAYLOADS / f"{name}_{file}.json").read_bytes())
    return ADAPTERS["generic"].parse(payload, SOURCES[name], AT)


def only(name: str, file: str) -> Alert:
    (alert,) = parse(name, file)
    assert isinstance(alert, Alert), alert
    is_storable(alert)
    return alert


#: name, severity, title at the start, labels besides `env`, whether the sender says when it ended.
EXPECTED: dict[str, tuple[str, Severity | None, str, dict[str, str], bool]] = {
    "better_stack": (
        "Shop front page",
        Severity.P0,
        "Status 502",
        {"severity": "critical", "instance": "https://shop.example.com/"},
        True,
    ),
    "datadog": (
        "postgresql.queries.time",
        Severity.P1,
        "[P2] [Triggered on {host:db-1}] Queries are slow",
        {"monitor": "10432", "scope": "host:db-1", "instance": "db-1"},
        True,
    ),
    "google_cloud": (
        "DatabaseBusy",
        Severity.P1,
        "CPU of shop-db is above the threshold of 0.9 with a value of 0.97.",
        {
            "condition": "CPU above 90 %",
            "project": "shop-eu",
            "resource": "shop-eu Cloud SQL Database labels",
            "metric": "cloudsql.googleapis.com/database/cpu/utilization",
        },
        True,
    ),
    "azure": (
        "DatabaseDown",
        Severity.P1,
        "The database of the shop does not answer",
        {
            "resource": "/subscriptions/11111111-2222-3333-4444-555555555555/resourcegroups/shop"
            "/providers/microsoft.dbforpostgresql/servers/shop-db",
            "instance": "shop-db",
            "signal": "Metric",
        },
        True,
    ),
    "new_relic": (
        "ErrorRate",
        Severity.P0,
        "Error rate of shop-api is above 5 %",
        {"policy": "Shop", "workflow": "To the responder"},
        True,
    ),
    "opsgenie": (
        "DiskAlmostFull",
        Severity.P2,
        "DiskAlmostFull",
        {"alias": "disk:db-1", "origin": "node-exporter", "tag": "disk"},
        False,
    ),
    "pingdom": (
        "Shop front page",
        Severity.P0,
        "HTTP Server Error 502 Bad Gateway",
        {"check": "HTTP", "tag": "shop"},
        True,
    ),
    "sentry": (
        "ShopErrors",
        Severity.P0,
        "Critical: Errors of the shop",
        {"project": "shop-api"},
        False,
    ),
    "supabase": ("QueueStuck", Severity.P2, "QueueStuck", {"row": "77", "table": "alerts"}, False),
    "uptime_kuma": (
        "Shop front page",
        Severity.P0,
        "[Shop front page] [Down] connect ECONNREFUSED 192.0.2.20:443",
        {"severity": "critical", "instance": "https://shop.example.com/", "check": "http"},
        True,
    ),
    "uptimerobot": (
        "Shop front page",
        Severity.P0,
        "HTTP 502 - Bad Gateway",
        {"instance": "https://shop.example.com/"},
        True,
    ),
}


def test_every_example_is_tried() -> None:
    assert SOURCES.keys() == EXPECTED.keys()
    assert len(re.findall(r"^### ", PAGE, re.MULTILINE)) == len(SOURCES)


@pytest.mark.parametrize("name", EXPECTED)
def test_it_fires(name: str) -> None:
    alert = only(name, "firing")
    named, severity, title, labels, _ = EXPECTED[name]
    assert alert.status == AlertStatus.FIRING
    assert (alert.name, alert.severity, alert.title) == (named, severity, title)
    assert alert.labels == {"alertname": named, "env": "production", **labels}
    if name != "sentry":
        assert alert.starts_at is not None
        assert alert.starts_at.replace(microsecond=0) == CHANGED
    assert alert.ends_at is None


@pytest.mark.parametrize("name", EXPECTED)
def test_it_ends_as_the_same_one(name: str) -> None:
    fired, resolved = only(name, "firing"), only(name, "resolved")
    assert resolved.status == AlertStatus.RESOLVED
    assert resolved.fingerprint == fired.fingerprint
    assert resolved.name == fired.name
    assert not resolved.severity_unreadable
    if EXPECTED[name][-1]:
        assert resolved.ends_at is not None
        assert abs(resolved.ends_at - ENDED) < timedelta(seconds=1)


@pytest.mark.parametrize(
    "name", [path.stem.removesuffix("_ignored") for path in PAYLOADS.glob("*_ignored.json")]
)
def test_what_is_no_news_is_no_notice(name: str) -> None:
    assert parse(name, "ignored") == []


def test_the_test_message_of_uptime_kuma_names_no_monitor() -> None:
    assert parse("uptime_kuma", "test") == [Malformed("there is no name at /monitor/name")]


def test_an_unset_variable_says_nothing() -> None:
    assert "instance" not in only("uptimerobot", "resolved").labels


def test_a_delivery_of_datadog_has_an_id() -> None:
    payload = read_json((PAYLOADS / "datadog_firing.json").read_bytes())
    key = ADAPTERS["generic"].delivery_key(Request({}, b"", AT), payload, SOURCES["datadog"])
    assert key == "7361550981"


@pytest.mark.parametrize("name", EXPECTED)
def test_another_monitors_json_does_no_harm(name: str) -> None:
    for payload in payloads_in(PAYLOADS):
        for notice in ADAPTERS["generic"].parse(payload, SOURCES[name], AT):
            is_storable(notice)


def test_the_page_has_every_type_and_every_usual_word() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(SOURCE_TYPES)
    told = re.search(r"`resolved` is by itself: (.+?)\.\s", PAGE, re.DOTALL)
    assert told and set(re.split(r",\s+", told[1])) == RESOLVED_WORDS
