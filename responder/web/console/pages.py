"""How a page of the console is declared, and guarded by its role.

A view returns what `show` renders, or, after it changed something, `back_to` a page.
"""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import (
    Blueprint,
    Response,
    current_app,
    g,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from marshmallow import EXCLUDE, Schema, ValidationError

from responder.domain.actor import may
from responder.domain.denial import Denial
from responder.pipeline import switch
from responder.pipeline.services import Services
from responder.web.api.schemas import why
from responder.web.callers import Denied
from responder.web.console.words import FILTERS, here
from responder.web.sessions import current

View = TypeVar("View", bound=Callable[..., Any])

#: The pages of the side line: view, name, and the key that goes there after `g`.
NAV = (
    ("now", "Now", "n"),
    ("audit", "Audit", "a"),
    ("rules", "Rules", "r"),
    ("senders", "Senders and receivers", "s"),
    ("maintenance", "Maintenance", "m"),
    ("numbers", "Numbers", "u"),
)
#: The fields in which people write sentences.
_WRITTEN = ("text", "note", "reason", "despite", "matchers", "before", "after")
#: The page's own files and this process, nothing else.
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


class Pages(Blueprint):
    """The console's pages, under /console."""

    def __init__(self) -> None:
        super().__init__("console", __name__, url_prefix="/console")
        for name, said in FILTERS.items():
            self.add_app_template_filter(said, name)
        self.before_request(_refuse_foreign)
        self.after_request(harden)

    def read(self, path: str, role: str | None = "viewer") -> Callable[[View], View]:
        """A page that is looked at; role None: by everybody."""
        return self._page("GET", path, role)

    def change(self, path: str, role: str | None = "operator") -> Callable[[View], View]:
        """A form that does something."""
        return self._page("POST", path, role)

    def _page(self, method: str, path: str, role: str | None) -> Callable[[View], View]:
        def decorate(view: View) -> View:
            self.route(path, methods=[method], endpoint=view.__name__)(_guarded(view, role))
            return view

        return decorate


def services() -> Services:
    """The services of this process."""
    found: Services = current_app.extensions["responder"]
    return found


def show(
    template: str,
    status: int = 200,
    now: datetime | None = None,
    section: str | None = None,
    **more: Any,
) -> Response:
    """A page; a browser that has it already is told so.

    now: our database's clock, by which times are told in words; section: the page of NAV that this
    one is a part of.
    """
    session = g.get("session")
    g.now = now or datetime.now(UTC)
    caller = session and session.caller
    response = make_response(
        render_template(
            f"console/{template}.html",
            nav=NAV,
            caller=caller,
            csrf=session and session.csrf,
            may=lambda role: caller is not None and may(caller.role, role),
            here=here,
            section=f"console.{section}" if section else request.endpoint,
            **more,
        ),
        status,
    )
    if status == HTTPStatus.OK:
        response.add_etag()
        response.make_conditional(request)
    return response


def reason() -> str:
    """Why somebody does what they do, as they wrote it in the form. ValidationError."""
    said: str = ReasonForm(unknown=EXCLUDE).load(request.form)["reason"]
    if said == switch.RESERVED:
        raise ValidationError({"reason": ["say why in other words"]})
    return said


class ReasonForm(Schema):
    reason = why()


def back_to(view: str, **parts: Any) -> Response:
    """After a change, a page that can be loaded again without doing it again."""
    anchor = parts.pop("anchor", None)
    return go_to(url_for(f"console.{view}", _anchor=anchor, **parts))


def go_to(path: str) -> Response:
    """A page of the console, by its path."""
    response = make_response(redirect(path, HTTPStatus.SEE_OTHER))
    response.autocorrect_location_header = False
    return response


def own_path(wanted: str | None) -> str:
    """A path of the console that somebody wanted; its first page for everything else."""
    first = url_for("console.now")
    path = wanted or first
    plain = path.isascii() and path.isprintable() and "\\" not in path
    # A browser walks up from there, also by dots that are written as %2e.
    climbs = ".." in path.partition("?")[0].lower().replace("%2e", ".")
    return path if plain and not climbs and path.startswith(first) else first


def _guarded(view: View, role: str | None) -> Callable[..., Any]:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if role is not None:
            session = g.session
            inside = session is not None and not session.to_recheck
            if not inside and request.method == "GET":
                return go_to(url_for("console.login", next=request.full_path.rstrip("?")))
            if not inside:
                raise Denied(
                    Denial.NOT_LOGGED_IN, "You are not logged in any more, so nothing was done."
                )
            g.caller = session.caller
            if not may(session.caller.role, role):
                raise Denied(Denial.ROLE, f"This needs the role {role}.")
        return view(*args, **kwargs)

    return guarded


def _refuse_foreign() -> None:
    """Who is asking; and no other site's page may make a browser do something here."""
    changes = request.method not in ("GET", "HEAD", "OPTIONS")
    foreign = changes and _is_foreign()
    if changes and not foreign:
        g.written = [text for name, text in request.form.items() if name in _WRITTEN and text]
    g.session = current(services())
    if not changes:
        return
    who = g.session.caller.name if g.session else ""
    if foreign:
        raise Denied(Denial.FOREIGN, "This was sent from a page of another site.", who)
    csrf = request.form.get("csrf", "")
    if g.session is not None and not hmac.compare_digest(csrf.encode(), g.session.csrf.encode()):
        told = "The page was from an earlier login, so nothing was done."
        raise Denied(Denial.FOREIGN, told, who)


def _is_foreign() -> bool:
    fetched = request.headers.get("Sec-Fetch-Site")
    if fetched:
        return fetched not in ("same-origin", "none")
    ours = {_origin(services().settings.public_url), _origin(request.host_url)}
    return request.headers.get("Origin") not in {None, *ours}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def harden(response: Response) -> Response:
    """What each page carries."""
    response.headers["Content-Security-Policy"] = _POLICY
    return response
