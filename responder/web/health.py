"""Is it alive, is it ready, and what do its numbers say?"""

from flask import Blueprint, Response, current_app, jsonify

from responder import __version__
from responder.pipeline.services import Services
from responder.web.guard import require
from responder.web.metrics import scrape
from responder.web.problems import problem

health = Blueprint("health", __name__)
#: The scope of a token that is for the metrics.
METRICS = "metrics"


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
@require("viewer", METRICS)
def metrics() -> Response:
    """Prometheus metrics."""
    return scrape(current_app.extensions["responder"])
