"""One-off maintenance windows."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response, g, jsonify
from marshmallow import Schema, fields, validate

from responder.domain.duration import parse_duration
from responder.domain.matcher import parse_matcher
from responder.pipeline.maintenance import Window, WindowWrong, end_window, in_force, open_window
from responder.web.api import lists
from responder.web.api.endpoints import Endpoints, services
from responder.web.api.schemas import Answer, Flag, listed, moment, string, strings, why
from responder.web.problems import Problem

endpoints = Endpoints("maintenance", "Times in which pages, questions or fixes are kept back.")


def _switch(default: bool, told: str) -> Flag:
    return Flag(load_default=default, metadata={"description": told})


class WindowRequest(Schema):
    """Either `ends_at` or `duration`; at most 30 days; at least one switch is off."""

    reason = why()
    matchers = fields.List(
        fields.String(validate=[validate.Length(1, 500)]),
        required=True,
        validate=validate.Length(0, 50),
        metadata={"description": 'Of labels, as `env="production"`; all must hold; []: all.'},
    )
    starts_at = fields.AwareDateTime(format="iso", metadata={"description": "Now, else."})
    ends_at = fields.AwareDateTime(format="iso")
    duration = fields.String(
        validate=validate.Regexp(r"^([0-9]{1,9}(s|m|h|d|w))+$", error="write it like 90m or 2h"),
        metadata={"description": "As `90m` or `2h`."},
    )
    page = _switch(True, "false: pages wait for the end.")
    diagnose = _switch(True, "false: nothing is asked; at the end it is looked at.")
    fix = _switch(False, "false: no automatic fix; people may fix in any case.")


class MaintenanceWindow(Answer):
    id = fields.UUID(required=True)
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


@endpoints.get(
    "/maintenance", role="viewer", query=lists.Page, answers={200: listed(MaintenanceWindow)}
)
def windows(asked: dict[str, Any]) -> Response:
    """The windows that were announced, the newest first."""
    with services().store.transaction() as tx:
        rows, now = tx.all("windows", **lists.before(asked)), tx.now
    items = [{**lists.plain(row), "in_force": in_force(row, now)} for row in rows]
    return lists.listed(items, rows, asked, "created_at")


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
        window_id = open_window(services(), _window(said), g.caller.actor)
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
    """One window."""
    with services().store.transaction() as tx:
        row, now = tx.maybe("window", id=window_id), tx.now
    if row is None:
        raise Problem(404, "not_found", "there is no such window")
    return jsonify({**lists.plain(row), "in_force": in_force(row, now)})


@endpoints.delete(
    "/maintenance/<uuid:window_id>",
    role="operator",
    answers={200: MaintenanceWindow},
    problems=["not_found"],
)
def end(window_id: UUID) -> Response:
    """It is over now; what waited for its end is taken up."""
    end_window(services(), window_id, g.caller.actor)
    return window(window_id)


def _window(said: Mapping[str, Any]) -> Window:
    """What a schema cannot say. WindowWrong."""
    try:
        duration = parse_duration(said["duration"]) if "duration" in said else None
    except ValueError as error:
        raise WindowWrong(duration=str(error)) from None
    for text in said["matchers"]:
        try:
            parse_matcher(text)
        except ValueError as error:
            raise WindowWrong(matchers=str(error)) from None
    return Window(**{**said, "duration": duration})
