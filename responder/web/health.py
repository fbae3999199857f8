"""Is it alive, is it ready, and the numbers: the ledger's gap above all."""

from collections.abc import Iterable, Iterator

from flask import Blueprint, Response, current_app, jsonify
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from responder import __version__
from responder.pipeline.services import Services
from responder.store import Transaction
from responder.web.problems import problem
from responder.web.tokens import require

health = Blueprint("health", __name__)


@health.get("/healthz")
def healthz() -> Response:
    """This process answers."""
    return jsonify({"status": "ok", "version": __version__})


@health.get("/readyz")
def readyz() -> Response:
    """This process can keep a delivery; 503 when our database is away."""
    services: Services = current_app.extensions["responder"]
    with services.store.transaction() as tx:
        migrated = tx.one("migrated")["migrated"]
    return jsonify({"status": "ready"}) if migrated else problem(503, "unavailable", "not migrated")


@health.get("/metrics")
@require("viewer")
def metrics() -> Response:
    """Prometheus metrics, counted in our database at the moment of the scrape."""
    services: Services = current_app.extensions["responder"]
    registry = CollectorRegistry()
    registry.register(_Ledger(services))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Ledger:
    """Asks our database when it is scraped."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        with self._services.store.transaction() as tx:
            yield from _ledger(tx)
            yield _table(tx, "incidents_by_stage", "incidents", ("severity", "stage"))
            yield _table(tx, "fixes_by_outcome", "fixes", ("status", "verification"))
            seen = GaugeMetricFamily(
                "responder_source_last_seen_timestamp_seconds",
                "When a source was last heard of.",
                labels=["source"],
            )
            for row in tx.all("sources_last_seen"):
                seen.add_metric([row["source"]], row["last_seen"].timestamp())
            yield seen


_HELP = {
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
    row = tx.one("ledger")
    for name, explanation in _HELP.items():
        yield GaugeMetricFamily(
            f"responder_ledger_{name}", explanation, value=float(row[name] or 0)
        )


def _table(tx: Transaction, query: str, name: str, labels: tuple[str, ...]) -> Metric:
    family = GaugeMetricFamily(
        f"responder_{name}", f"{name.capitalize()} by {' and '.join(labels)}.", labels=labels
    )
    for row in tx.all(query):
        family.add_metric([row[label] for label in labels], float(row[name]))
    return family
