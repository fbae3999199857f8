"""An incident as a person reads it, and what they do about it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from flask import Response, g, request
from marshmallow import EXCLUDE, Schema, fields, validate

from responder.domain.actor import ActorKind
from responder.domain.review import Verdict
from responder.pipeline import breaker, people
from responder.pipeline.by_hand import Asked, Begun, NotBegun, ask
from responder.pipeline.document import document
from responder.pipeline.review import judge
from responder.pipeline.undo import AskedUndo, ask_undo
from responder.web.api.incidents import NoteRequest, ReviewRequest
from responder.web.console.doing import doing
from responder.web.console.offers import offers, undoable
from responder.web.console.pages import Pages, back_to, reason, services, show
from responder.web.console.sentences import told, who
from responder.web.problems import REASONS, Problem

#: So many of an incident's newest events stand on its page.
_MOST_EVENTS = 200
_THOSE_WHO_END = (ActorKind.PERSON, ActorKind.SENDER)
#: What begins the name of a field in which an option asks for something.
_ASKS = "ask."


class FixForm(Schema):
    """What is common to all forms of fixes; `key` makes a double click one fix."""

    class Meta:
        unknown = EXCLUDE

    key = fields.String(required=True, validate=validate.Regexp(r"^[0-9a-f]{32}$"))
    dry_run = fields.Boolean(load_default=False)


class OptionForm(FixForm):
    option = fields.String(required=True, validate=validate.Length(1, 200))
    seen = fields.UUID(load_default=None)


def register(pages: Pages) -> None:
    """The page, and its forms; whoever does something comes back to it."""

    @pages.read("/incidents/<uuid:incident_id>")
    def incident(incident_id: UUID) -> Response:
        return page(incident_id)

    @pages.change("/incidents/<uuid:incident_id>/acknowledge")
    def acknowledge(incident_id: UUID) -> Response:
        return _done(people.acknowledge(services(), incident_id, g.caller.actor), incident_id)

    @pages.change("/incidents/<uuid:incident_id>/resolve")
    def resolve(incident_id: UUID) -> Response:
        return _done(people.close(services(), incident_id, g.caller.actor), incident_id)

    @pages.change("/incidents/<uuid:incident_id>/notes")
    def write_note(incident_id: UUID) -> Response:
        text = NoteRequest(unknown=EXCLUDE).load(request.form)["text"]
        found = people.note(services(), incident_id, g.caller.actor, text)
        return _done(found, incident_id, "notes")

    @pages.change("/incidents/<uuid:incident_id>/review")
    def review(incident_id: UUID) -> Response:
        said = ReviewRequest(unknown=EXCLUDE).load(request.form)
        verdict = Verdict(said["verdict"])
        found = judge(services(), incident_id, g.caller.actor, verdict, said["note"])
        return _done(found, incident_id, "review")

    @pages.change("/incidents/<uuid:incident_id>/reset")
    def reset_breaker(incident_id: UUID) -> Response:
        try:
            found = breaker.reset(services().store, incident_id, g.caller.actor, reason())
        except breaker.NotOpen as error:
            raise Problem(409, "conflict", str(error)) from None
        return _done(found, incident_id)

    @pages.change("/incidents/<uuid:incident_id>/fixes")
    def ask_for_fix(incident_id: UUID) -> Response:
        said = OptionForm().load(request.form)
        answered = {
            name.removeprefix(_ASKS): text
            for name, text in request.form.items()
            if name.startswith(_ASKS)
        }
        asked = Asked(
            incident_id,
            said["option"],
            said["seen"],
            answered,
            said["dry_run"],
            _own_key(said["key"], said["option"], said["dry_run"], sorted(answered.items())),
        )
        return _begun(incident_id, lambda: ask(services(), asked, g.caller.actor, g.caller.role))

    @pages.change("/incidents/<uuid:incident_id>/fixes/<uuid:fix_id>/undo")
    def undo(incident_id: UUID, fix_id: UUID) -> Response:
        said = FixForm().load(request.form)
        key = _own_key(said["key"], fix_id, said["dry_run"])
        asked = AskedUndo(fix_id, said["dry_run"], key)
        begin = lambda: ask_undo(services(), asked, g.caller.actor, g.caller.role)  # noqa: E731
        return _begun(incident_id, begin)


def page(incident_id: UUID, refusal: NotBegun | None = None) -> Response:
    """The page; refusal: why what was just asked for was not begun."""
    with services().store.transaction() as tx:
        found = document(services(), tx, incident_id)
        if found is None:
            raise Problem(404, "not_found", "There is no such incident.")
        row = tx.one("incident", id=incident_id)
        events = tx.all("incident_events", id=incident_id)
        fixes = tx.all("incident_fixes", id=incident_id)
        texts = {str(note["id"]): note["body"] for note in tx.all("incident_notes", id=incident_id)}
        now = tx.now
    decision = found["decision"] or {}
    return show(
        "incident",
        REASONS[refusal.objection] if refusal else 200,
        now=now,
        section="now",
        document=found,
        incident=found["incident"],
        doing=doing(row, decision.get("action"), decision.get("option")),
        in_hand=row["walking"],
        offers=offers(found, fixes, g.caller.role),
        undoable=undoable(fixes, g.caller.role, now - services().settings.vault.undo_for),
        ender=_ender(events),
        story=[told(_with_fix(event, fixes), texts) for event in reversed(events[-_MOST_EVENTS:])],
        left_out=max(0, len(events) - _MOST_EVENTS),
        key=_page_key(events),
        refusal=refusal,
    )


def _ender(events: Sequence[Mapping[str, Any]]) -> str:
    """The person or sender that resolved it last, if one did."""
    ends = [each for each in events if each["what"] == "status" and each["after"] == "resolved"]
    return who(ends[-1]) if ends and ends[-1]["actor_kind"] in _THOSE_WHO_END else ""


def _with_fix(event: Mapping[str, Any], fixes: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Only the first event of a fix says what it is."""
    fix = next((each for each in fixes if str(each["id"]) == event["details"].get("fix")), None)
    about = fix and {name: fix[name] for name in ("option", "dry_run", "undoes")}
    return {**event, "details": {**(about or {}), **event["details"]}}


def _done(found: bool, incident_id: UUID, anchor: str | None = None) -> Response:
    if not found:
        raise Problem(404, "not_found", "There is no such incident.")
    return back_to("incident", incident_id=incident_id, anchor=anchor)


def _begun(incident_id: UUID, begin: Callable[[], Begun]) -> Response:
    """Back to the page, on which it is followed; or the page with what speaks against it."""
    try:
        begun = begin()
    except NotBegun as refusal:
        return page(incident_id, refusal)
    anchor = f"fix-{begun.fix}" if begun.fix else "options"
    return back_to("incident", incident_id=incident_id, anchor=anchor)


def _page_key(events: Sequence[Mapping[str, Any]]) -> str:
    """The same for this person as long as nothing happens: a page that rests is not sent again."""
    latest = events[-1]["id"] if events else ""
    return hashlib.sha256(f"{g.session.csrf} {latest}".encode()).hexdigest()[:32]


def _own_key(page: str, *asked: object) -> str:
    """The Idempotency-Key of what is asked for on a page: once, however often it is pressed."""
    return f"{page}-{hashlib.sha256(repr(asked).encode()).hexdigest()[:32]}"
