"""What was done by whom, and the proof in place that nobody changed it."""

from collections.abc import Iterable
from datetime import UTC
from uuid import UUID

from flask import Response, g, request
from marshmallow import fields

from responder.pipeline.audit.bundle import NoSuchIncident, bundle_text, make_bundle
from responder.pipeline.audit.keys import SigningKeys
from responder.pipeline.audit.report import Report
from responder.pipeline.audit.search import Search, find_events
from responder.pipeline.audit.verify import verify_incident, verify_newest
from responder.pipeline.services import record
from responder.store import Transaction
from responder.store.incidents import incident_from_row
from responder.web.api import lists
from responder.web.api.schemas import STORABLE
from responder.web.console.listing import asked_for
from responder.web.console.pages import Pages, services, show
from responder.web.console.sentences import told
from responder.web.problems import Problem

#: By what people search, beside the times.
_FILTERS = ("actor", "what", "subject", "incident", "rule", "target")
#: What an event can be about, for the list to choose from; `row` are the digests of rows.
_WHATS = (
    *("acknowledgement", "approval", "autofix", "breaker", "check", "decision", "delivery"),
    *("denied", "digest", "escalation", "export", "fix", "fork", "held", "maintenance", "note"),
    *("noted", "notification", "opened", "page", "person", "promotion", "receiver", "refused"),
    *("retention", "review", "row", "secret", "session", "severity", "stage", "status"),
    *("suppressed", "token", "verification", "waiting"),
)


class Asked(lists.Page):
    """Times are UTC, as a browser's field writes them; verify: also prove what is shown."""

    actor = fields.String(validate=STORABLE)
    what = fields.String(validate=STORABLE)
    subject = fields.String(validate=STORABLE)
    incident = fields.UUID()
    rule = fields.String(validate=STORABLE)
    target = fields.String(validate=STORABLE)
    since = fields.AwareDateTime(format="iso", default_timezone=UTC)
    until = fields.AwareDateTime(format="iso", default_timezone=UTC)
    verify = fields.Boolean(load_default=False)


def register(pages: Pages) -> None:
    """One page, and what can be taken away from it."""

    @pages.read("/audit")
    def audit() -> Response:
        asked = asked_for(Asked)
        search = Search(**{name: asked.get(name) for name in (*_FILTERS, "since", "until")})
        with services().store.transaction() as tx:
            rows = find_events(tx, search, **lists.before(asked))
            shown = rows[: asked["limit"]]
            incidents = tuple({row["incident_id"] for row in shown if row["incident_id"]})
            titles = {row["id"]: row["title"] for row in tx.all("titles", incidents=incidents)}
            return show(
                "audit",
                now=tx.now,
                events=[(row, told(row)) for row in shown],
                titles=titles,
                next=lists.after(rows, asked, search.orders_by),
                report=_proof(tx, asked.get("incident")) if asked["verify"] else None,
                sealed=services().settings.seal is not None,
                filtered=any(request.args.get(name) for name in (*_FILTERS, "since", "until")),
                whats=[("", "anything")] + [(each, each) for each in _WHATS],
                rules=_choices(services().catalogue.rules),
                targets=_choices(services().settings.targets),
            )

    @pages.change("/incidents/<uuid:incident_id>/bundle", role="viewer")
    def bundle(incident_id: UUID) -> Response:
        seal = services().settings.seal
        if seal is None:
            raise Problem(409, "not_possible", "Without [seal] there is nothing to prove it with.")
        keys = SigningKeys(seal.key)
        try:
            with services().store.snapshot() as tx:
                text = bundle_text(make_bundle(tx, keys, incident_id))
        except NoSuchIncident:
            raise Problem(404, "not_found", "There is no such incident.") from None
        with services().store.transaction() as tx:
            incident = incident_from_row(tx.one("incident", id=incident_id))
            record(tx, incident, "export", g.caller.actor, after="taken")
        response = Response(text, content_type="application/json")
        response.headers["Content-Disposition"] = f'attachment; filename="{incident_id}.json"'
        return response


def _proof(tx: Transaction, incident: UUID | None) -> Report:
    """Of the incident that is shown, else of the newest events, whatever is searched for."""
    settings = services().settings.seal
    if incident is not None:
        return verify_incident(tx, settings, incident)
    return verify_newest(tx, settings)


def _choices(names: Iterable[str]) -> list[tuple[str, str]]:
    return [("", "any"), *((name, name) for name in names)]
