"""Flask: webhooks, the API, health and metrics; the only place that knows HTTP codes."""

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from responder.pipeline.services import Services
from responder.web.api import SUBJECTS
from responder.web.console import console
from responder.web.door import Door
from responder.web.guard import watch_denials
from responder.web.headers import harden
from responder.web.health import health
from responder.web.issuers import Issuers
from responder.web.lines import name_subjects
from responder.web.openapi import describe, pages
from responder.web.problems import install
from responder.web.reading import mark_turns
from responder.web.shedding import Shedding
from responder.web.waiting import Waiting
from responder.web.webhooks import webhooks


def create_app(services: Services) -> Flask:
    """The WSGI application; open `services.store` before the first request."""
    app = Flask("responder.web")
    #: One more, so that a body without a length is seen to be too long, not cut.
    app.config["MAX_CONTENT_LENGTH"] = services.settings.max_body + 1
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["responder"] = services
    app.extensions["responder.waiting"] = Waiting()
    app.extensions["responder.issuers"] = Issuers(services.settings, services.log)
    install(app)
    mark_turns(app)
    harden(app, services.settings.public_url)
    watch_denials(app)
    name_subjects(app)
    for blueprint in (webhooks, health, pages, console()):
        app.register_blueprint(blueprint)
    describe(app, SUBJECTS)
    door = Door(app, app.wsgi_app)
    app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
        Shedding(app, services, door), x_for=services.settings.proxies, x_proto=0, x_host=0
    )
    return app
