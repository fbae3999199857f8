"""The first page: what is open, what the responder is doing, and the switch that stops it."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from flask import Response, g, request
from marshmallow import EXCLUDE, fields, validate

from responder.domain.incident import IncidentStatus
from responder.domain.review import Standing
from responder.domain.severity import Severity
from responder.pipeline import switch
from responder.pipeline.services import Services
from responder.store import Transaction
from responder.web.api import lists
from responder.web.api.schemas import STORABLE
from responder.web.console.doing import doing
from responder.web.console.pages import Pages, back_to, reason, services, show

#: A source that says nothing for so long is worth a look.
SILENT = timedelta(days=1)
#: For so long an incident is called new.
NEW = timedelta(minutes=10)
#: A form waits no longer for fixes that were decided before; the page shows them.
_PATIENCE = 2.0
#: Beside the statuses: what is not resolved, what waits for a review, and everything.
_STANDING, _REVIEW, _ALL = "", "review", "all"
_STATUSES = (_STANDING, *(str(each) for each in IncidentStatus), _REVIEW, _ALL)
#: So many of those that wait for a review are named.
_NAMED = 5


class Filters(lists.Page):
    """What stands in the address; empty fields of a form mean nothing."""

    class Meta:
        unknown = EXCLUDE

    status = fields.String(load_default=_STANDING, validate=validate.OneOf(_STATUSES))
    severity = fields.String(validate=validate.OneOf([str(each) for each in Severity]))
    q = fields.String(validate=STORABLE)


def register(pages: Pages) -> None:
    """What a person sees first."""

    @pages.read("/")
    def now() -> Response:
        asked = Filters().load({name: said for name, said in request.args.items() if said})
        with services().store.transaction() as tx:
            rows, following = _incidents(tx, asked)
            said = {
                row["id"]: row
                for row in tx.all("said_of_incidents", ids=tuple(row["id"] for row in rows))
            }
            return show(
                "now",
                now=tx.now,
                asked=asked,
                incidents=[_told({**row, **said[row["id"]]}, tx) for row in rows],
                next=following,
                counts={row["severity"]: row["incidents"] for row in tx.all("standing_counts")},
                autofix=tx.one("autofix"),
                failover=switch.RESERVED,
                recorded=tx.all("recorded_fixes"),
                approvals=tx.all("approvals_to_give"),
                dead=tx.all("dead_notifications"),
                silent=_silent(services(), tx),
                reviews=tx.one("reviews_waiting"),
                to_review=_to_review(tx, lists.Page().load({"limit": _NAMED})),
            )

    @pages.change("/autofix/off")
    def stop_fixes() -> Response:
        switch.stop(services().store, g.caller.actor, reason(), _PATIENCE)
        return back_to("now", anchor="autofix")

    @pages.change("/autofix/on", role="admin")
    def start_fixes() -> Response:
        switch.start(services().store, g.caller.actor, reason())
        return back_to("now", anchor="autofix")


def _incidents(
    tx: Transaction, asked: Mapping[str, Any]
) -> tuple[Sequence[Mapping[str, Any]], str | None]:
    """The rows of this page, and the cursor of the next one."""
    status = asked["status"]
    filters = {name: asked.get(name) for name in ("severity", "q")}
    place = lists.before(asked)
    if status == _REVIEW:
        rows = _to_review(tx, asked, **filters)
    elif status in (_ALL, IncidentStatus.RESOLVED):
        only = None if status == _ALL else status
        rows = tx.all("incidents", status=only, rule=None, **filters, **place)
    else:
        del place["before"]
        rows = tx.all("standing_incidents", status=status or None, **filters, **place)
    return rows[: asked["limit"]], lists.after(rows, asked, "opened_at")


def _to_review(
    tx: Transaction, asked: Mapping[str, Any], severity: str | None = None, q: str | None = None
) -> list[Any]:
    """Incidents that wait for a verdict."""
    filters = {"status": None, "severity": severity, "rule": None, "q": q}
    return tx.all("incidents_to_review", review=Standing.WAITING, **filters, **lists.before(asked))


def _told(row: Mapping[str, Any], tx: Transaction) -> dict[str, Any]:
    """An incident with what the responder does about it, in words."""
    fresh = row["status"] != IncidentStatus.RESOLVED and row["opened_at"] > tx.now - NEW
    return {**row, "doing": doing(row, row["action"], row["option"]), "fresh": fresh}


def _silent(services: Services, tx: Transaction) -> list[Mapping[str, Any]]:
    """Sources that were not heard of for a long time, or never."""
    rows = tx.all("sources_last_seen", sources=tuple(services.settings.sources))
    return [row for row in rows if row["last_seen"] is None or row["last_seen"] < tx.now - SILENT]
