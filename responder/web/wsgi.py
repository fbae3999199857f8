"""What gunicorn loads: the application of the settings that RESPONDER_CONFIG names."""

import os
from pathlib import Path

from flask import Flask

from responder.app import build
from responder.settings import load
from responder.web import create_app
from responder.web.counters import begin
from responder.web.metrics import give_a_listener

#: Variables that `responder serve` sets for the processes of gunicorn: the path of responder.toml,
#: and the port on which there are the metrics alone.
CONFIG = "RESPONDER_CONFIG"
METRICS_PORT = "RESPONDER_METRICS_PORT"


def create() -> Flask:
    """The application, not yet connected."""
    settings = load(Path(os.environ.get(CONFIG, "responder.toml")))
    app = create_app(build(settings))
    begin(settings.sources)
    if port := os.environ.get(METRICS_PORT):
        give_a_listener(app, port)
    return app
