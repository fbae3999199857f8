"""Flask: webhooks, the API, health and metrics; the only place that knows HTTP codes."""

from flask import Flask

from responder.pipeline.services import Services
from responder.web.api import api
from responder.web.health import health
from responder.web.problems import install
from responder.web.tokens import TokenKeys
from responder.web.webhooks import webhooks


def create_app(services: Services) -> Flask:
    """The WSGI application; open `services.store` before the first request."""
    app = Flask("responder.web")
    #: One more, so that a body without a length is seen to be too long, not cut.
    app.config["MAX_CONTENT_LENGTH"] = services.settings.max_body + 1
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["responder"] = services
    app.extensions["responder.token_keys"] = TokenKeys(services.settings.token_keys)
    install(app)
    for blueprint in (webhooks, api, health):
        app.register_blueprint(blueprint)
    return app
