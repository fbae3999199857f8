"""Who is told, how each of them fares, and messages that nobody took."""

from collections import defaultdict
from typing import Any

from flask import Response, g, request
from marshmallow import Schema, fields

from responder.outbound import Undelivered
from responder.pipeline.redrive import redrive_notifications, try_receiver
from responder.store import Transaction
from responder.web.api import lists
from responder.web.console.listing import asked_for
from responder.web.console.pages import Pages, back_to, services, show
from responder.web.problems import Problem

#: Of what waits and of what was sent, so many messages are listed.
_LATEST = 10


class Redrive(Schema):
    """One message, or all that were given up."""

    message = fields.UUID(load_default=None)


def register(pages: Pages) -> None:
    """The list stands beside the senders'."""

    @pages.read("/receivers/<name>")
    def receiver(name: str) -> Response:
        return _receiver_page(name)

    @pages.change("/receivers/<name>/test")
    def test_receiver(name: str) -> Response:
        _known(name)
        try:
            try_receiver(services(), name, g.caller.actor)
        except Undelivered as why:
            return _receiver_page(name, 502, f"It did not take the test message: {why}.")
        return back_to("receiver", name=name, tested="yes")

    @pages.change("/receivers/<name>/redrive")
    def redrive_messages(name: str) -> Response:
        _known(name)
        said = {each: value for each, value in request.form.items() if each in Redrive().fields}
        asked = Redrive().load(said)
        count = redrive_notifications(services(), g.caller.actor, asked["message"], name)
        if not count:
            return _receiver_page(name, 409, "No such message was given up; it may be due again.")
        return back_to("receiver", name=name)


def receivers_told(tx: Transaction) -> list[dict[str, Any]]:
    """Each receiver with how it fares."""
    receivers = services().settings.receivers
    states = {row["receiver"]: row for row in tx.all("receivers_by_state")}
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for row in tx.all("notifications_by_status", receivers=tuple(receivers)):
        counts[row["receiver"]][row["status"]] = row["notifications"]
    return [
        {
            "name": name,
            "type": receiver.type,
            "fallback": receiver.fallback,
            "per_minute": receiver.per_minute,
            "escalates": receiver.escalates,
            "state": states.get(name, {}),
            "waiting": counts[name].get("due", 0) + counts[name].get("sending", 0),
            "sent": counts[name].get("sent", 0),
            "dead": counts[name].get("dead", 0),
        }
        for name, receiver in sorted(receivers.items())
    ]


def _receiver_page(name: str, status: int = 200, wrong: str = "") -> Response:
    _known(name)
    asked = asked_for(lists.Page)
    with services().store.transaction() as tx:
        (told,) = [each for each in receivers_told(tx) if each["name"] == name]
        dead = tx.all("dead_messages", receiver=name, **lists.before(asked))
        waiting = tx.all("waiting_messages", receiver=name, limit=_LATEST)
        sent, now = tx.all("sent_messages", receiver=name, limit=_LATEST), tx.now
    return show(
        "receiver",
        status,
        now,
        "senders",
        receiver=told,
        dead=dead[: asked["limit"]],
        next=lists.after(dead, asked, "created_at"),
        waiting=waiting,
        sent=sent,
        wrong=wrong,
        tested="tested" in request.args,
    )


def _known(name: str) -> None:
    if name not in services().settings.receivers:
        raise Problem(404, "not_found", "No receiver of this name is configured.")
