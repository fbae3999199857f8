"""Who sends alerts and what became of their deliveries; what was not understood is redriven."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from flask import Response, g
from marshmallow import fields, validate

from responder.domain.actor import may
from responder.domain.alert import DeliveryOutcome
from responder.domain.settings import Source
from responder.pipeline.raw import read_body
from responder.pipeline.redrive import NotRedriven, redrive_delivery
from responder.pipeline.secrets import versions
from responder.store import Transaction
from responder.store.vault import Locked
from responder.web.api import lists
from responder.web.api.schemas import STORABLE
from responder.web.console.listing import asked_for
from responder.web.console.pages import Pages, back_to, services, show
from responder.web.console.receivers import receivers_told
from responder.web.problems import Problem


class Deliveries(lists.Page):
    source = fields.String(load_default=None, validate=STORABLE)
    outcome = fields.String(
        load_default=None, validate=validate.OneOf([DeliveryOutcome.QUARANTINED])
    )


def register(pages: Pages) -> None:
    """Both sides of the wire on one page, then each delivery."""

    @pages.read("/senders")
    def senders() -> Response:
        with services().store.transaction() as tx:
            sources, receivers = _sources_told(tx), receivers_told(tx)
            pinged_at = tx.one("dead_man_pinged")["pinged_at"]
            secrets = versions(tx) if may(g.caller.role, "admin") else []
            now = tx.now
        return show(
            "senders",
            now=now,
            sources=sources,
            receivers=receivers,
            dead_man=services().settings.dead_man,
            pinged_at=pinged_at,
            secrets=secrets,
            last_resort=services().settings.last_resort,
        )

    @pages.read("/deliveries")
    def deliveries() -> Response:
        asked = asked_for(Deliveries)
        with services().store.transaction() as tx:
            rows, now = _deliveries(tx, asked), tx.now
        return show(
            "deliveries",
            now=now,
            section="senders",
            rows=rows[: asked["limit"]],
            next=lists.after(rows, asked, "received_at"),
            asked=asked,
            sources=[(name, name) for name in sorted(services().settings.sources)],
        )

    @pages.read("/deliveries/<uuid:delivery_id>")
    def delivery(delivery_id: UUID) -> Response:
        return _delivery_page(delivery_id)

    @pages.read("/deliveries/<uuid:delivery_id>/body", role="admin")
    def delivery_body(delivery_id: UUID) -> Response:
        try:
            body = read_body(services(), delivery_id, g.caller.actor)
        except Locked as locked:
            raise Problem(409, "not_possible", f"It cannot be opened: {locked}.") from None
        if body is None:
            raise Problem(404, "not_found", "There is no such delivery, or its body is deleted.")
        text = body.decode(errors="backslashreplace")
        return show("body", section="senders", delivery_id=delivery_id, body=text)

    @pages.change("/deliveries/<uuid:delivery_id>/redrive")
    def redrive(delivery_id: UUID) -> Response:
        try:
            accepted = redrive_delivery(services(), delivery_id, g.caller.actor)
        except NotRedriven as why:
            return _delivery_page(delivery_id, 409, f"It was not redriven: {why}.")
        return back_to("delivery", delivery_id=accepted.delivery)


def _delivery_page(delivery_id: UUID, status: int = 200, wrong: str = "") -> Response:
    with services().store.transaction() as tx:
        row, left = (tx.maybe(each, id=delivery_id) for each in ("delivery", "delivery_left"))
        alerts, now = tx.all("delivery_alerts", id=delivery_id), tx.now
    if row is None:
        raise Problem(404, "not_found", "There is no such delivery, or it is older than we keep.")
    return show(
        "delivery", status, now, "senders", delivery=row, left=left, alerts=alerts, wrong=wrong
    )


def _deliveries(tx: Transaction, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """By the index that answers what was asked."""
    told = {"source": asked["source"], **lists.before(asked)}
    if asked["outcome"]:
        return tx.all("quarantined_deliveries", **told)
    if asked["source"]:
        return tx.all("deliveries_of_source", **told)
    return tx.all("deliveries", outcome=None, **told)


def _sources_told(tx: Transaction) -> list[dict[str, Any]]:
    """Each source with what it did lately; the last are names that are not configured."""
    sources = services().settings.sources
    lately: dict[str, dict[str, int]] = defaultdict(dict)
    for row in tx.all("source_outcomes"):
        lately[row["source"]][row["outcome"]] = row["deliveries"]
    seen = tx.all("sources_last_seen", sources=tuple({*sources, *lately} - {"unknown"}))
    last_seen = {row["source"]: row["last_seen"] for row in seen}
    known = [
        {
            "name": name,
            "type": source.type,
            "doors": list(_doors(source)),
            "wait": source.wait,
            "per_minute": source.per_minute,
            "last_seen": last_seen[name],
            "lately": lately[name],
        }
        for name, source in sorted(sources.items())
    ]
    strangers = [
        {"name": name, "type": "", "last_seen": last_seen.get(name), "lately": told}
        for name, told in sorted(lately.items())
        if name not in sources
    ]
    return known + strangers


def _doors(source: Source) -> Iterator[str]:
    """How it proves who it is; never with what."""
    if source.bearer:
        yield "bearer token"
    if source.basic_password:
        yield f"password of {source.basic_user}"
    if source.secret:
        header = source.signature_header
        timed = f", with {source.timestamp_header}" if source.timestamp_header else ""
        yield f"signature in {header}{timed}" if header else "signature"
