"""What gunicorn loads: the application of the settings that RESPONDER_CONFIG names."""

import os
from pathlib import Path

from flask import Flask

from responder.app import build
from responder.settings import load
from responder.web import create_app

#: The variable that carries the path of responder.toml to the processes of gunicorn.
CONFIG = "RESPONDER_CONFIG"


def create() -> Flask:
    """The application, not yet connected."""
    settings = load(Path(os.environ.get(CONFIG, "responder.toml")))
    return create_app(build(settings))
