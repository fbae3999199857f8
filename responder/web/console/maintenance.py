"""When pages, questions or fixes are kept back: the calendar, the lists, a window for once."""

import calendar
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from flask import Response, g, request
from marshmallow import Schema, ValidationError, fields, validate

from responder.domain.maintenance import OVER, state_at
from responder.pipeline.checklist import OPEN_IN, TickRefused, tick
from responder.pipeline.maintenance import WindowWrong, end_window, in_force, open_window, told_item
from responder.pipeline.recurring import HORIZON, coming
from responder.store import Transaction
from responder.web.api import lists
from responder.web.api.maintenance import WindowRequest, window_of
from responder.web.console.listing import asked_for
from responder.web.console.pages import Pages, back_to, services, show
from responder.web.console.sentences import told
from responder.web.problems import Problem

_DAY = timedelta(days=1)
#: Of a window's history.
_MOST_EVENTS = 200
#: A form says these line by line.
_LINES = ("matchers", "before", "after")
_SWITCHES = ("page", "diagnose", "fix")
_TEXTS = ("reason", "duration", "watch")
_ABOUT_AN_HOUR = {
    "matchers": 'env="production"',
    "duration": "1h",
    "watch": "1h",
    "page": "on",
    "diagnose": "on",
}


class Month(Schema):
    month = fields.String(
        load_default=None, validate=validate.Regexp(r"^20[0-9]{2}-(0[1-9]|1[0-2])$")
    )


class History(lists.Page):
    limit = fields.Integer(load_default=20, validate=validate.Range(1, 200))


class Tick(Schema):
    done = fields.Boolean(required=True)


def register(pages: Pages) -> None:
    """A month, what is in force, a form, and a page for each window."""

    @pages.read("/maintenance")
    def maintenance() -> Response:
        return _calendar_page(_ABOUT_AN_HOUR)

    @pages.change("/maintenance")
    def announce() -> Response:
        said = request.form.to_dict()
        try:
            asked = window_of(services(), WindowRequest().load(_as_request(said)))
            window_id = open_window(services(), asked, g.caller.actor)
        except ValidationError as wrong:
            return _calendar_page(said, 400, _mistakes(wrong.messages))
        except WindowWrong as wrong:
            return _calendar_page(said, 409, dict(wrong.mistakes))
        return back_to("maintenance_window", window_id=window_id)

    @pages.read("/maintenance/<uuid:window_id>")
    def maintenance_window(window_id: UUID) -> Response:
        return _window_page(window_id)

    @pages.change("/maintenance/<uuid:window_id>/end")
    def end_maintenance(window_id: UUID) -> Response:
        if not end_window(services(), window_id, g.caller.actor):
            raise Problem(404, "not_found", "There is no such maintenance window.")
        return back_to("maintenance_window", window_id=window_id)

    @pages.change("/maintenance/<uuid:window_id>/items/<int:position>")
    def tick_item(window_id: UUID, position: int) -> Response:
        done = Tick().load({"done": request.form.get("done")})["done"]
        try:
            found = tick(services(), window_id, position, g.caller.actor, done)
        except TickRefused as why:
            return _window_page(window_id, 409, f"It was not changed: {why}.")
        if not found:
            raise Problem(404, "not_found", "There is no such item.")
        return back_to("maintenance_window", window_id=window_id, anchor=f"item-{position}")


def _calendar_page(
    said: Mapping[str, str], status: int = 200, wrong: Mapping[str, str] | None = None
) -> Response:
    asked = {**asked_for(Month), **asked_for(History)}
    with services().store.transaction() as tx:
        first = date.fromisoformat(f"{asked['month'] or tx.now.strftime('%Y-%m')}-01")
        weeks = calendar.Calendar().monthdatescalendar(first.year, first.month)
        windows = _of_month(tx, weeks)
        rows = tx.all("windows", **lists.before(asked))
        return show(
            "maintenance",
            status,
            tx.now,
            first=first,
            before=(first - _DAY).strftime("%Y-%m"),
            after=(first + 31 * _DAY).strftime("%Y-%m"),
            weeks=[[(day, _on(windows, day)) for day in week] for week in weeks],
            today=tx.now.date(),
            horizon=(tx.now + HORIZON).date(),
            standing=tx.all("standing_windows"),
            switches={row["id"]: row for row in tx.all("windows_in_force")},
            rows=rows[: asked["limit"]],
            next=lists.after(rows, asked, "created_at"),
            said=said,
            wrong=wrong or {},
        )


def _window_page(window_id: UUID, status: int = 200, wrong: str = "") -> Response:
    with services().store.transaction() as tx:
        row = tx.maybe("window", id=window_id)
        if row is None:
            raise Problem(404, "not_found", "There is no such maintenance window.")
        items = [told_item(each) for each in tx.all("window_items", window_id=window_id)]
        state = state_at(row, tx.now)
        rows = tx.all("events_of_subject", subject=f"maintenance {window_id}", limit=_MOST_EVENTS)
        return show(
            "window",
            status,
            tx.now,
            "maintenance",
            window={**row, "state": state},
            items=items,
            open_phases=[phase for phase, states in OPEN_IN.items() if state in states],
            holds=in_force(row, tx.now),
            over=state in OVER or row["ends_at"] <= tx.now,
            begun=row["starts_at"] <= tx.now,
            events=[told(_named(each, row)) for each in rows],
            wrong=wrong,
        )


def _named(event: Mapping[str, Any], window: Mapping[str, Any]) -> dict[str, Any]:
    """Events of a window know its id; people know it by its name."""
    name = window["name"] or window["reason"]
    return {**event, "details": {**event["details"], "name": name}}


def _of_month(tx: Transaction, weeks: Sequence[Sequence[date]]) -> list[Mapping[str, Any]]:
    """Windows that are rows, and occurrences that will be."""
    since, until = _midnight(weeks[0][0]), _midnight(weeks[-1][-1] + _DAY)
    rows: list[Mapping[str, Any]] = list(tx.all("windows_between", since=since, until=until))
    known = {(row["name"], row["starts_at"]) for row in rows}
    ahead = [
        {
            "id": None,
            "name": each.window.name,
            "reason": each.window.reason,
            "state": "",
            "starts_at": each.starts_at,
            "ends_at": each.ends_at,
        }
        for each in coming(services().settings, tx.now)
        if each.starts_at < until
        and each.ends_at > since
        and (each.window.name, each.starts_at) not in known
    ]
    return sorted([*rows, *ahead], key=lambda each: each["starts_at"])


def _on(windows: Sequence[Mapping[str, Any]], day: date) -> list[Mapping[str, Any]]:
    begins, ends = _midnight(day), _midnight(day + _DAY)
    return [each for each in windows if each["starts_at"] < ends and each["ends_at"] > begins]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _as_request(said: Mapping[str, str]) -> dict[str, Any]:
    """A form as the API takes it; what is empty is not said, a time is UTC."""
    asked: dict[str, Any] = {name: said[name] for name in _TEXTS if said.get(name, "").strip()}
    for name in ("starts_at", "ends_at"):
        if said.get(name):
            asked[name] = f"{said[name]}Z"
    for name in _LINES:
        asked[name] = [line.strip() for line in said.get(name, "").splitlines() if line.strip()]
    return asked | {name: said.get(name) == "on" for name in _SWITCHES}


def _mistakes(messages: Any) -> dict[str, str]:
    """The first thing that is wrong with each field."""
    return {name: _first(told) for name, told in messages.items()}


def _first(told: Any) -> str:
    while not isinstance(told, str):
        told = next(iter(told.values() if isinstance(told, Mapping) else told))
    return told
