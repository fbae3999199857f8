"""The numbers: each is what happened, each is on its page, and none needs more than it says."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from werkzeug.test import TestResponse

from responder.domain.alert import DeliveryOutcome
from responder.domain.ids import new_id
from responder.domain.secret import Secret
from responder.domain.settings import SealSettings
from responder.pipeline.accept import Accepted
from responder.pipeline.services import Services
from responder.receivers import Undelivered
from responder.store import Store
from responder.web import create_app
from responder.web.counters import begin, count_accepted, count_refused
from responder.web.metrics import give_a_listener
from tests.house import House, alert
from tests.small_rules import TABLE, small_rule

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
PORT = "9100"
Scrape = Callable[[], Mapping[str, float]]
Ask = Callable[..., TestResponse]


def door(services: Services) -> Ask:
    """By the listener of the metrics, without a token; `port` is another listener's."""
    app = create_app(services)
    give_a_listener(app, PORT)
    client = app.test_client()

    def ask(path: str, method: str = "GET", port: str = PORT) -> TestResponse:
        return client.open(path, method=method, environ_overrides={"SERVER_PORT": port})

    return ask


@pytest.fixture
def listener(house: House) -> Ask:
    house.with_settings(seal=SealSettings(Secret(("env:UNUSED",)), ("/seals.jsonl",)))
    return door(house.services)


@pytest.fixture
def scrape(listener: Ask) -> Scrape:
    """All samples by name and labels."""

    def samples() -> Mapping[str, float]:
        answer = listener("/metrics")
        assert answer.status_code == 200
        lines = answer.get_data(as_text=True).splitlines()
        told = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name.removeprefix("responder_"): float(value) for name, _, value in told}

    return samples


def of(samples: Mapping[str, float], family: str) -> Mapping[str, float]:
    """The samples of one family by what stands between its braces."""
    return {
        name.partition("{")[2].rstrip("}"): value
        for name, value in samples.items()
        if name.partition("{")[0] == family
    }


def families(text: str) -> set[str]:
    """`_created` is there only where one process counts alone."""
    found = set(re.findall(r"^# TYPE (\w+) ", text, re.M))
    return {name for name in found if not name.endswith("_created")}


def test_every_metric_is_on_the_page_and_no_other(listener: Ask) -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M))
    assert families(listener("/metrics").get_data(as_text=True)) == told


def test_the_alerting_rules_of_the_page_ask_for_metrics_and_labels_that_there_are() -> None:
    (group,) = yaml.safe_load(PAGE.partition("```yaml\n")[2].partition("```")[0])["groups"]
    assert len(group["rules"]) == len({rule["alert"] for rule in group["rules"]}) >= 6
    labels = {name: columns for name, columns in re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE, re.M)}
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in ("critical", "warning")
        asked = re.findall(r"(responder_\w+)(?:\{([^}]*)\})?", rule["expr"])
        assert asked
        for name, matchers in asked:
            assert set(re.findall(r"(\w+)[=!]", matchers)) <= set(
                re.findall(r"`(\w+)`", labels[name])
            )
        by = set(re.findall(r"by \((\w+)\)", rule["expr"]))
        assert all(f"`{label}`" in labels[name] for label in by for name, _ in asked)
        assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= by


def test_the_listener_gives_the_metrics_and_nothing_else(listener: Ask) -> None:
    assert listener("/metrics", "HEAD").status_code == 200
    assert listener("/metrics", "POST").status_code == 405
    for path in ("/", "/healthz", "/v1/incidents", "/openapi.json", "/metrics/"):
        answer = listener(path)
        assert (answer.status_code, answer.get_json()["type"]) == (404, "urn:responder:not_found")
    assert listener("/metrics", port="8000").status_code == 401
    assert listener("/healthz", port="8000").status_code == 200


def test_when_our_database_is_away_what_was_counted_is_still_told(house: House) -> None:
    store = Store("postgresql://127.0.0.1:1/nowhere", 1, "test")
    store.open()
    answer = door(replace(house.services, store=store))("/metrics")
    store.close()
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert "responder_database_up 0.0\n" in text
    assert "# TYPE responder_deliveries_total counter\n" in text
    assert "responder_ledger" not in text


def test_what_was_accepted_and_refused_is_counted_once(house: House, scrape: Scrape) -> None:
    begin(["prometheus"])
    before = scrape()
    kept = Accepted(new_id(), DeliveryOutcome.ACCEPTED, alerts=3, quarantined=1)
    with create_app(house.services).app_context():
        count_accepted(kept, "prometheus", 0.004)
        count_accepted(replace(kept, outcome=DeliveryOutcome.DUPLICATE), "prometheus", 0.2)
        lost = replace(kept, outcome=DeliveryOutcome.QUARANTINED, alerts=0, quarantined=1)
        count_accepted(lost, "prometheus", 0.004)
        count_refused("prometheus", "unauthenticated")
        for number in range(50):
            count_refused(f"invented\n{number}", "unknown_source")
    after = scrape()
    changed = {name: after[name] - before.get(name, 0.0) for name in after}
    changed = {name: count for name, count in changed.items() if count and "{" in name}
    assert of(changed, "deliveries_total") == {
        'outcome="accepted",source="prometheus"': 1,
        'outcome="duplicate",source="prometheus"': 1,
        'outcome="quarantined",source="prometheus"': 1,
        'outcome="refused",source="prometheus"': 1,
        'outcome="refused",source="unknown"': 50,
    }
    assert of(changed, "refused_total") == {
        'reason="unauthenticated",source="prometheus"': 1,
        'reason="unknown_source",source="unknown"': 50,
    }
    assert of(changed, "alerts_accepted_total") == {'source="prometheus"': 4}
    assert of(changed, "ack_seconds_count") == {'source="prometheus"': 3}
    assert changed['ack_seconds_bucket{le="0.005",source="prometheus"}'] == 2


def test_what_never_happened_is_0_from_the_beginning(house: House, scrape: Scrape) -> None:
    begin(["a_new_source"])
    found = of(scrape(), "deliveries_total")
    for outcome in DeliveryOutcome:
        assert found[f'outcome="{outcome}",source="a_new_source"'] == 0


def test_an_empty_house_says_so(scrape: Scrape) -> None:
    samples = scrape()
    assert samples["database_up"] == samples["autofix_enabled"] == 1
    assert samples["workers_alive"] == 0
    assert samples["oldest_job_seconds"] == samples["oldest_due_notification_seconds"] == 0
    for family in ("source_last_seen_timestamp_seconds", "stage_seconds", "page_lateness_seconds"):
        assert of(samples, family) == {}


def test_a_fix_from_its_alert_to_its_verification(
    make_house: Callable[..., House], tmp_path: Path, scrape: Scrape, house: House
) -> None:
    rule = small_rule(tmp_path)
    house.services = make_house([rule]).services
    house.shop.run(TABLE)
    house.promote(rule)
    house.post(alert("Thing"), alert("Thing", severity="critical", env="staging"))
    house.settle()
    samples = scrape()
    stages = {name.rpartition('stage="')[2].rstrip('"') for name in of(samples, "stage_seconds")}
    assert stages == {"triage", "decision", "fix", "verify", "page"}
    assert len(of(samples, "stage_seconds")) == 15
    assert all(0 <= seconds < 60 for seconds in of(samples, "stage_seconds").values())
    assert of(samples, "alerts") == {'outcome="opened",source="prometheus"': 2}
    assert of(samples, "fixes") == {'status="committed",verification="held"': 1}
    assert of(samples, "incidents_opened") == {f'rule="{rule.name}"': 2}
    assert sum(of(samples, "incidents").values()) == 2
    assert of(samples, "source_last_seen_timestamp_seconds")['source="prometheus"'] > 0


def test_how_late_pages_are(house: House, scrape: Scrape) -> None:
    house.post(alert("CheckoutBroken", severity="critical"))
    house.settle()
    house.later(timedelta(seconds=2))
    house.watch()
    late = "due_at = sent_at - interval '40 s', created_at = sent_at - interval '90 s'"
    house.sql(f"UPDATE notification SET {late} WHERE page")
    worst = 'quantile="1",state="sent"'
    assert of(scrape(), "page_lateness_seconds")[worst] == 40
    house.sql("UPDATE notification SET attempts = 2 WHERE page")  # its due time was moved on
    assert of(scrape(), "page_lateness_seconds")[worst] == 90

    house.pager.fails = Undelivered("it is away", permanent=False)
    house.post(alert("CheckoutBroken", severity="critical", instance="2"))
    house.settle()
    house.later(timedelta(seconds=2))
    house.watch()
    house.sql("UPDATE notification SET created_at = now() - interval '5 min' WHERE status = 'due'")
    waiting = of(scrape(), "page_lateness_seconds")['quantile="1",state="waiting"']
    assert 300 <= waiting < 360


def test_what_waits_and_how_long(house: House, scrape: Scrape) -> None:
    house.post(alert("Something", severity="critical"))
    house.run_triage()
    house.sql("UPDATE procrastinate_events SET at = now() - interval '7 min'")
    assert 420 <= scrape()["oldest_job_seconds"] < 480
    house.run_jobs()
    assert scrape()["oldest_job_seconds"] == 0
    house.sql("UPDATE notification SET due_at = now() - interval '3 min'")
    samples = scrape()
    assert 180 <= samples["oldest_due_notification_seconds"] < 240
    due = sum(n for name, n in of(samples, "notifications").items() if 'status="due"' in name)
    assert due == samples["ledger_notifications_due"] > 0


def test_how_receivers_fare(house: House, scrape: Scrape) -> None:
    house.sql(
        "INSERT INTO receiver (name, failures, open_until, sent, failed) VALUES"
        " ('pager', 5, now() + interval '1 min', 7, 12), ('hook', 0, now() - interval '1 s', 3, 0)"
        " RETURNING name"
    )
    samples = scrape()
    assert of(samples, "receiver_sent_total") == {'receiver="pager"': 7, 'receiver="hook"': 3}
    assert of(samples, "receiver_failed_total") == {'receiver="pager"': 12, 'receiver="hook"': 0}
    assert of(samples, "receiver_failures") == {'receiver="pager"': 5, 'receiver="hook"': 0}
    assert of(samples, "receiver_circuit_open") == {'receiver="pager"': 1, 'receiver="hook"': 0}


def test_workers_are_counted_by_their_two_loops(house: House, scrape: Scrape) -> None:
    for age in ("1 s", "2 s", "3 s", "4 s", "1 min", "2 min"):
        house.sql(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - %s::interval)"
            " RETURNING id",
            age,
        )
    assert scrape()["workers_alive"] == 2


def test_switches_and_what_was_not_understood(house: House, scrape: Scrape) -> None:
    house.sql("UPDATE autofix SET enabled = false RETURNING one")
    house.sql("UPDATE housekeeping SET pinged_at = to_timestamp(1800000000) RETURNING one")
    house.post(alert("Something"))
    house.sql("UPDATE delivery SET outcome = 'quarantined' RETURNING id")
    samples = scrape()
    assert samples["autofix_enabled"] == 0
    assert samples["dead_man_pinged_timestamp_seconds"] == 1800000000
    assert of(samples, "deliveries_quarantined") == {'source="prometheus"': 1}
