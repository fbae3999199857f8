"""Is it alive, is it ready, and what do its numbers say?"""

from flask import Blueprint, Response, current_app, jsonify

from responder import __version__
from responder.pipeline.services import Services
from responder.web.metrics import scrape
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
    """Prometheus metrics."""
    return scrape(current_app.extensions["responder"])
