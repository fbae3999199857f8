"""Maintenance windows: announced, coming, ticked off, ended."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Response, g, jsonify
from marshmallow import Schema, ValidationError, fields, validate

from responder.domain.duration import parse_duration
from responder.domain.maintenance import Phase, WindowState
from responder.domain.matcher import parse_matcher
from responder.domain.settings import Expect, Item
from responder.pipeline.checklist import CheckWrong, TickRefused, question_for, tick
from responder.pipeline.maintenance import (
    Window,
    WindowWrong,
    end_window,
    in_force,
    open_window,
    told_item,
)
from responder.pipeline.recurring import coming
from responder.pipeline.services import Services
from responder.store import Transaction
from responder.web.api import lists
from responder.web.api.endpoints import Endpoints, services
from responder.web.api.schemas import (
    STORABLE,
    Answer,
    Flag,
    anything_by_name,
    listed,
    many,
    moment,
    string,
    strings,
    why,
)
from responder.web.problems import Problem

endpoints = Endpoints("maintenance", "Times in which pages, questions or fixes are kept back.")
_MOST_ITEMS = 50
_DURATION = validate.Regexp(r"^([0-9]{1,9}(s|m|h|d|w))+$", error="write it like 90m or 2h")
_LONGEST_WATCH = timedelta(days=1)


def _switch(default: bool, told: str) -> Flag:
    return Flag(load_default=default, metadata={"description": told})


def _matcher(text: str) -> None:
    try:
        parse_matcher(text)
    except ValueError as error:
        raise ValidationError(str(error)) from None


_LINE = r"^\s*[^\s\u0000][^\u0000]*$"


class ItemRequest(Schema):
    """One line of a checklist."""

    item = fields.String(required=True, validate=[validate.Length(1, 500), validate.Regexp(_LINE)])
    check = fields.String(
        load_default="",
        validate=[validate.Length(0, 200), STORABLE],
        metadata={"description": "`<rule>.<diagnostic>`: its answer ticks the item."},
    )
    target = fields.String(
        load_default="",
        validate=[validate.Length(0, 200), STORABLE],
        metadata={"description": "Who is asked; the only one of the rule's kind, else."},
    )
    expect = fields.String(load_default="answer", validate=validate.OneOf([*Expect]))


class _Line(fields.Field[Any]):
    """As in the settings: an item is an object, or its text alone."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        return ItemRequest().load({"item": value} if isinstance(value, str) else value)


_SHAPES = [
    {"type": "string", "minLength": 1, "maxLength": 500, "pattern": _LINE},
    {"$ref": f"#/components/schemas/{ItemRequest.__name__}"},
]


def _list(told: str) -> fields.List[Any]:
    return fields.List(
        _Line(metadata={"oneOf": _SHAPES}),
        load_default=list,
        validate=validate.Length(0, _MOST_ITEMS),
        metadata={"description": told},
    )


class WindowRequest(Schema):
    """Either `ends_at` or `duration`; at most 30 days; a switch is off, or `before` has items."""

    reason = why()
    matchers = fields.List(
        fields.String(validate=[validate.Length(1, 500), _matcher]),
        required=True,
        validate=validate.Length(0, 50),
        metadata={"description": 'Of labels, as `env="production"`; all must hold; []: all.'},
    )
    starts_at = fields.AwareDateTime(format="iso", metadata={"description": "Now, else."})
    ends_at = fields.AwareDateTime(format="iso")
    duration = fields.String(validate=_DURATION, metadata={"description": "As `90m` or `2h`."})
    page = _switch(True, "false: pages wait for the end.")
    diagnose = _switch(True, "false: nothing is asked; at the end it is looked at.")
    fix = _switch(False, "false: no automatic fix; people may fix in any case.")
    before = _list("It is in force once these are ticked.")
    after = _list("It is finished once these are ticked.")
    watch = fields.String(
        load_default="1h",
        validate=_DURATION,
        metadata={"description": "How long it is watched afterwards; a day at most."},
    )


class TickRequest(Schema):
    """false takes a tick back, while the list is open."""

    done = Flag(required=True)


class ChecklistItem(Answer):
    position = fields.Integer(required=True)
    phase = string(of=Phase)
    item = string()
    check = string(told="The diagnostic that answers it by itself, or empty.")
    target = string()
    expect = string(of=Expect)
    answer = anything_by_name(null=True)
    ticked_at = moment(null=True)
    ticked_by = string(null=True)
    ticked_kind = string(null=True, told="`person`, or `system` for a diagnostic.")


class MaintenanceWindow(Answer):
    id = fields.UUID(required=True)
    name = string(null=True, told="Of the recurring window that it is an occurrence of.")
    state = string(of=WindowState)
    starts_at = moment()
    ends_at = moment()
    matchers = strings()
    page = fields.Boolean(required=True)
    diagnose = fields.Boolean(required=True)
    fix = fields.Boolean(required=True)
    in_force = fields.Boolean(required=True)
    actor = string()
    reason = string()
    created_at = moment()
    ended_by = string(null=True, told="Who ended it before its time.")
    ready_at = moment(null=True)
    done_at = moment(null=True)
    watched_until = moment()
    checklist = many(ChecklistItem)


class ComingWindow(Answer):
    """An occurrence of a recurring window; a week ahead it becomes a window with an id."""

    name = string()
    reason = string()
    starts_at = moment()
    ends_at = moment()
    matchers = strings()
    page = fields.Boolean(required=True)
    diagnose = fields.Boolean(required=True)
    fix = fields.Boolean(required=True)


@endpoints.get(
    "/maintenance", role="viewer", query=lists.Page, answers={200: listed(MaintenanceWindow)}
)
def windows(asked: dict[str, Any]) -> Response:
    """The windows that were announced, the newest first; recurring ones a week ahead."""
    with services().store.transaction() as tx:
        rows = tx.all("windows", **lists.before(asked))
        items = _told(tx, rows)
    return lists.listed(items, rows, asked, "created_at")


@endpoints.get("/maintenance/coming", role="viewer", answers={200: listed(ComingWindow)})
def coming_windows() -> Response:
    """The occurrences of recurring windows in the next hundred days, the next one first."""
    with services().store.transaction() as tx:
        now = tx.now
    return lists.whole(
        [
            {
                "name": each.window.name,
                "reason": each.window.reason,
                "starts_at": each.starts_at.isoformat(),
                "ends_at": each.ends_at.isoformat(),
                "matchers": [str(matcher) for matcher in each.window.matches],
                "page": each.window.page,
                "diagnose": each.window.diagnose,
                "fix": each.window.fix,
            }
            for each in coming(services().settings, now)
        ]
    )


@endpoints.post(
    "/maintenance",
    role="operator",
    body=WindowRequest,
    answers={201: MaintenanceWindow},
    problems=["not_possible"],
)
def announce_window(said: dict[str, Any]) -> Response:
    """Keep pages, questions or automatic fixes back for a while."""
    try:
        window_id = open_window(services(), window_of(services(), said), g.caller.actor)
    except WindowWrong as wrong:
        mistakes = {name: [mistake] for name, mistake in wrong.mistakes.items()}
        raise Problem(409, "not_possible", "see errors", errors=mistakes) from None
    response = window(window_id)
    response.status_code = 201
    return response


@endpoints.get(
    "/maintenance/<uuid:window_id>",
    role="viewer",
    answers={200: MaintenanceWindow},
    problems=["not_found"],
)
def window(window_id: UUID) -> Response:
    """One window, with its checklist."""
    with services().store.transaction() as tx:
        row = tx.maybe("window", id=window_id)
        if row is None:
            raise Problem(404, "not_found", "there is no such window")
        (told,) = _told(tx, [row])
    return jsonify(told)


@endpoints.put(
    "/maintenance/<uuid:window_id>/checklist/<int:position>",
    role="operator",
    body=TickRequest,
    answers={200: MaintenanceWindow},
    problems=["not_found", "not_possible"],
)
def tick_item(said: dict[str, Any], window_id: UUID, position: int) -> Response:
    """Tick an item, under your name; the window afterwards."""
    try:
        found = tick(services(), window_id, position, g.caller.actor, said["done"])
    except TickRefused as refused:
        raise Problem(409, "not_possible", str(refused)) from None
    if not found:
        raise Problem(404, "not_found", "there is no such item")
    return window(window_id)


@endpoints.delete(
    "/maintenance/<uuid:window_id>",
    role="operator",
    answers={200: MaintenanceWindow},
    problems=["not_found"],
)
def end(window_id: UUID) -> Response:
    """Its time is over now; what waited for its end is taken up. Its checklist may stay open."""
    end_window(services(), window_id, g.caller.actor)
    return window(window_id)


def _told(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Windows as they are answered, each with its items."""
    items = tx.all("items_of_windows", windows=tuple(row["id"] for row in rows))
    return [
        {
            **lists.plain({name: row[name] for name in _SHOWN}),
            "in_force": in_force(row, tx.now),
            "watched_until": (row["ends_at"] + row["watch"]).isoformat(),
            "checklist": [told_item(each) for each in items if each["window_id"] == row["id"]],
        }
        for row in rows
    ]


_SHOWN = [
    name
    for name in MaintenanceWindow().fields
    if name not in ("in_force", "watched_until", "checklist")
]


def window_of(services: Services, said: Mapping[str, Any]) -> Window:
    """What a person asks for, as `WindowRequest` read it. WindowWrong: what a schema cannot say."""
    duration = _duration("duration", said["duration"]) if "duration" in said else None
    watch = _duration("watch", said["watch"])
    if watch > _LONGEST_WATCH:
        raise WindowWrong(watch="is longer than a day")
    items = {name: _items(services, name, said[name]) for name in ("before", "after")}
    return Window(**{**said, **items, "duration": duration, "watch": watch})


def _duration(name: str, text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise WindowWrong(**{name: str(error)}) from None


def _items(services: Services, name: str, said: Iterable[Mapping[str, Any]]) -> list[Item]:
    """The lines of a list, each with a question that can be asked."""
    items = [Item(**{**each, "expect": Expect(each["expect"])}) for each in said]
    for place, each in enumerate(items):
        try:
            if each.check:
                question_for(services.catalogue, services.settings, each)
        except CheckWrong as wrong:
            raise WindowWrong(**{name: f"{place}: {wrong}"}) from None
    return items
