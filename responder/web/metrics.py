"""The numbers for Prometheus; docs/metrics.md says what each of them is for."""

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from flask import Flask, Response, request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from responder import __version__
from responder.domain.settings import SealSettings
from responder.pipeline.audit.copies import name_of
from responder.pipeline.breaker import BREAKER_LIMIT
from responder.pipeline.review import reviews_waiting
from responder.pipeline.secrets import ages
from responder.pipeline.services import Services
from responder.store import StoreAway, Transaction
from responder.store.jobs import DEAD_AFTER
from responder.web.counters import counted
from responder.web.problems import problem

Rows = Sequence[Mapping[str, Any]]


def scrape(services: Services) -> Response:
    """What was counted in web processes, and what our database says at this moment."""
    registry = CollectorRegistry()
    registry.register(_Database(services))
    told = generate_latest(counted()) + generate_latest(registry)
    return Response(told, content_type=CONTENT_TYPE_LATEST)


def give_a_listener(app: Flask, port: str) -> None:
    """On this port of ours there are the metrics, without a token, and nothing else."""

    @app.before_request
    def only_metrics() -> Response | None:
        if request.environ["SERVER_PORT"] != port:
            return None
        if request.path != "/metrics":
            return problem(404, "not_found", "here is nothing but /metrics")
        if request.method not in ("GET", "HEAD"):
            return problem(405, "http", "GET it")
        return scrape(app.extensions["responder"])


class _Database:
    """Asks our database when it is scraped; when that is away, this is what it says."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        sources = tuple(self._services.settings.sources)
        receivers = tuple(self._services.receivers)
        try:
            with self._services.store.transaction() as tx:
                told = [
                    *_ledger(tx),
                    *_queues(tx, receivers),
                    *_outcomes(tx),
                    *_reviews(tx),
                    *_secrets(tx),
                    *_receivers(tx, receivers),
                    *_life(tx, sources),
                    *_seals(tx, self._services.settings.seal),
                ]
        except StoreAway:
            told = []
        build = {"version": __version__, "python": platform.python_version()}
        yield _gauge("build_info", "This version of the responder.", [{**build, "value": 1}])
        yield _single("database_up", "Whether our database answered this scrape.", bool(told))
        yield from told


_LEDGER = {
    "alerts_gap": "Alerts of the last hour without exactly one outcome; must be 0.",
    "incidents_gap": "Incidents that are not done and have neither a job nor a timer; must be 0.",
    "incidents_lost": "Incidents that are done though nobody resolved them; must be 0.",
    "alerts_untriaged": "Alerts in deliveries that wait for triage.",
    "deliveries_untriaged": "Deliveries that wait for triage.",
    "oldest_untriaged_seconds": "Age of the oldest delivery that waits for triage.",
    "notifications_due": "Messages that are due and not sent.",
    "notifications_dead": "Messages that were given up.",
}


def _ledger(tx: Transaction) -> Iterator[Metric]:
    """Promise 1 in numbers."""
    row = tx.one("ledger")
    for name, explanation in _LEDGER.items():
        yield _single(f"ledger_{name}", explanation, row[name])


def _queues(tx: Transaction, receivers: tuple[str, ...]) -> Iterator[Metric]:
    """What waits, for how long, and how fast it went lately."""
    ages = tx.one("queue_ages")
    told = "Age of the oldest job that waits for a worker."
    yield _single("oldest_job_seconds", told, ages["job"])
    told = "For how long the oldest message that is due has waited."
    yield _single("oldest_due_notification_seconds", told, ages["notification"])
    told = "How long each stage took in the last 15 minutes."
    yield _gauge("stage_seconds", told, tx.all("stage_seconds", receivers=receivers))
    told = "How late pages left in the last 15 minutes, and how late those are that wait."
    rows = tx.all("page_lateness", receivers=receivers)
    yield _gauge("page_lateness_seconds", told, rows)


def _outcomes(tx: Transaction) -> Iterator[Metric]:
    """What became of deliveries, alerts, incidents and fixes."""
    told = "Deliveries of the last day that nobody could read."
    yield _gauge("deliveries_quarantined", told, tx.all("deliveries_quarantined"))
    told = "What became of the alerts of the last hour."
    yield _gauge("alerts", told, tx.all("alert_outcomes"))
    told = "Incidents that are not done."
    yield _gauge("incidents", told, tx.all("incidents_by_stage"))
    told = "Incidents opened in the last day."
    yield _gauge("incidents_opened", told, tx.all("incidents_by_rule"))
    told = "Incidents opened in the last day on whose answers the rule itself failed."
    yield _gauge("rules_failed", told, tx.all("rules_failed"))
    told = "What fixes of the last day came to."
    yield _gauge("fixes", told, tx.all("fixes_by_outcome"))
    told = "Keys that are not fixed automatically until a person resets their breaker."
    yield _single("breakers_open", told, tx.one("breakers_open", limit=BREAKER_LIMIT)["breakers"])


def _reviews(tx: Transaction) -> Iterator[Metric]:
    """What engineers say of it."""
    waiting, overdue = reviews_waiting(tx)
    yield _single("reviews_waiting", "Incidents that wait for an engineer's verdict.", waiting)
    told = "Those that have waited for longer than the settings say."
    yield _single("reviews_overdue", told, overdue)
    told = "What engineers said of incidents in the last 90 days."
    yield _gauge("review_verdicts", told, tx.all("verdicts"))


def _secrets(tx: Transaction) -> Iterator[Metric]:
    """How old our own secrets are."""
    told = "Days since the oldest live version of a secret was first seen."
    rows = [{"key": key, "days": days} for key, days in ages(tx).items()]
    yield _gauge("secret_age_days", told, rows)


def _receivers(tx: Transaction, receivers: tuple[str, ...]) -> Iterator[Metric]:
    """How messages fare."""
    told = "Messages that wait or were given up, and those sent in the last day."
    rows = tx.all("notifications_by_status", receivers=receivers)
    yield _gauge("notifications", told, rows)
    states = tx.all("receivers_by_state")
    for name, told in {
        "sent": "Messages that a receiver took.",
        "failed": "Attempts that a receiver did not take.",
    }.items():
        family = CounterMetricFamily(f"responder_receiver_{name}", told, labels=["receiver"])
        for row in states:
            family.add_metric([row["receiver"]], row[name])
        yield family
    for name, column, told in (
        ("failures", "failures", "Attempts in a row that a receiver did not take."),
        ("circuit_open", "open", "Whether a receiver is left alone for a while."),
    ):
        rows = [{"receiver": row["receiver"], name: row[column]} for row in states]
        yield _gauge(f"receiver_{name}", told, rows)


def _life(tx: Transaction, sources: tuple[str, ...]) -> Iterator[Metric]:
    """Who is there."""
    told = "When a source was last heard of; absent when never."
    rows = tx.all("sources_last_seen", sources=sources)
    yield _gauge("source_last_seen_timestamp_seconds", told, rows)
    alive = tx.one("workers_alive", dead_after=DEAD_AFTER)["alive"]
    yield _single("workers_alive", "Worker processes over all hosts.", alive)
    told = "Whether fixes are made automatically."
    yield _single("autofix_enabled", told, tx.one("autofix")["enabled"])
    told = "When the dead man was last told that all is well; absent when never."
    rows = [tx.one("dead_man_pinged")]
    yield _gauge("dead_man_pinged_timestamp_seconds", told, rows)


def _seals(tx: Transaction, seal: SealSettings | None) -> Iterator[Metric]:
    """Whether the audit is proven in time; nothing without [seal]."""
    if seal is None:
        return
    row = tx.one("unsealed")
    told = "Audit events that wait for their seal, at most 100000."
    yield _single("unsealed_events", told, row["events"])
    told = "For how long the oldest of them has waited."
    yield _single("unsealed_oldest_seconds", told, row["seconds"])
    rows = tx.all("seal_copies", places=tuple(name_of(place) for place in seal.copy_to))
    for name, told in (
        ("behind", "Seals that a copy outside lacks."),
        ("failures", "Attempts in a row that a copy outside could not be written."),
    ):
        shown = [{"place": row["place"], name: row[name]} for row in rows]
        yield _gauge(f"seal_copy_{name}", told, shown)


def _single(name: str, explanation: str, value: Any) -> Metric:
    """Without labels; nothing counts as 0."""
    return GaugeMetricFamily(f"responder_{name}", explanation, value=float(value or 0))


def _gauge(name: str, explanation: str, rows: Rows) -> Metric:
    """The last column is the value, the others are labels; a row without a value is left out."""
    labels = list(rows[0])[:-1] if rows else []
    family = GaugeMetricFamily(f"responder_{name}", explanation, labels=labels)
    for row in rows:
        *values, value = row.values()
        if value is not None:
            number = value.timestamp() if isinstance(value, datetime) else float(value)
            family.add_metric([str(each) for each in values], number)
    return family
