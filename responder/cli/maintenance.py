"""`maintenance`: the windows, their beginning, their checklists, and their end."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from responder.cli.common import (
    Refusal,
    as_option,
    config_option,
    json_option,
    print_json,
    print_table,
    read_settings,
    said,
    seen,
    services_of,
    store_of,
)
from responder.domain.actor import Actor, ActorKind
from responder.domain.duration import parse_duration
from responder.domain.matcher import parse_matcher
from responder.pipeline.checklist import TickRefused, tick
from responder.pipeline.maintenance import (
    Window,
    WindowWrong,
    end_window,
    open_window,
    told_item,
)
from responder.pipeline.recurring import coming

_SHOWN = ("id", "name", "state", "starts_at", "ends_at", "reason")


@click.group()
def maintenance() -> None:
    """Maintenance windows, their beginning, their checklists, and their end."""


@maintenance.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@config_option
@json_option
def list_windows(limit: int, config: Path, as_json: bool) -> None:
    """The newest windows, and what comes after them."""
    settings = read_settings(config)
    with store_of(settings) as store, store.transaction() as tx:
        rows = tx.all("windows", before=None, before_id=None, limit=limit)
        ahead = coming(settings, tx.now)
    items = [{name: row[name] for name in _SHOWN} for row in rows]
    known = {(row["name"], row["starts_at"]) for row in rows}
    items += [
        {
            "id": None,
            "name": each.window.name,
            "state": "coming",
            "starts_at": each.starts_at,
            "ends_at": each.ends_at,
            "reason": each.window.reason,
        }
        for each in ahead
        if (each.window.name, each.starts_at) not in known
    ]
    items.sort(key=lambda item: item["starts_at"])
    if as_json:
        print_json({"items": items, "next": None})
    else:
        print_table(_SHOWN, items, "there are no windows")


@maintenance.command()
@click.argument("window_id", metavar="ID", type=click.UUID)
@config_option
@json_option
def show(window_id: UUID, config: Path, as_json: bool) -> None:
    """One window, with who ticked what and when."""
    with store_of(read_settings(config)) as store, store.transaction() as tx:
        row = tx.maybe("window", id=window_id)
        items = [told_item(each) for each in tx.all("window_items", window_id=window_id)]
    if row is None:
        raise Refusal("there is no such window")
    if as_json:
        print_json({**{name: row[name] for name in _SHOWN}, "checklist": items})
        return
    for line in ("  ".join(str(row[name]) for name in _SHOWN if row[name]), *map(_line, items)):
        click.echo(seen(line))


def _line(item: Mapping[str, Any]) -> str:
    mark = "x" if item["ticked_at"] else " "
    who = f"  ({item['ticked_by']}, {item['ticked_at']})" if item["ticked_at"] else ""
    answer = item["answer"] or {}
    wrong = answer.get("error") or answer.get("wrong")
    said = f"  ! {wrong}" if wrong and not item["ticked_at"] else ""
    return f"  [{mark}] {item['position']:>2} {item['phase']:<6} {item['item']}{who}{said}"


def _duration(_: click.Context, __: click.Parameter, text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _matchers(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    try:
        for text in texts:
            parse_matcher(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return texts


@maintenance.command("open")
@click.option("--for", "duration", required=True, callback=_duration, help="As 90m or 2h.")
@click.option(
    "--matches",
    "matchers",
    multiple=True,
    required=True,
    callback=_matchers,
    help="""As 'env="production"'; several must all hold; 'alertname=~".*"' is everything.""",
)
@click.option("--reason", required=True, callback=said(500), help="The audit shows it.")
@click.option("--page/--no-page", default=True, help="Off: pages wait for the end.")
@click.option("--diagnose/--no-diagnose", default=True, help="Off: nothing is asked until the end.")
@click.option("--fix/--no-fix", default=False, help="Off, unless you say so: no automatic fix.")
@as_option
@config_option
def open_now(duration: timedelta, name: str, config: Path, **asked: Any) -> None:
    """Begin a window now, for once; with everything off it is a silence."""
    window = Window(duration=duration, **asked)
    with services_of(config) as services:
        try:
            window_id = open_window(services, window, Actor(ActorKind.PERSON, name))
        except WindowWrong as wrong:
            raise Refusal(str(wrong)) from None
        with services.store.transaction() as tx:
            row = tx.one("window", id=window_id)
    click.echo(f"in force until {row['ends_at']}; sooner: responder maintenance end {window_id}")


@maintenance.command("tick")
@click.argument("window_id", metavar="ID", type=click.UUID)
@click.argument("position", type=click.IntRange(1, 100))
@click.option("--undo", is_flag=True, help="Take the tick back.")
@as_option
@config_option
def tick_item(window_id: UUID, position: int, undo: bool, name: str, config: Path) -> None:
    """Tick an item of a window's checklist."""
    with services_of(config) as services:
        try:
            person = Actor(ActorKind.PERSON, name)
            found = tick(services, window_id, position, person, not undo)
        except TickRefused as refused:
            raise Refusal(str(refused)) from None
    if not found:
        raise Refusal("there is no such item")
    click.echo("the tick is taken back" if undo else "ticked")


@maintenance.command("end")
@click.argument("window_id", metavar="ID", type=click.UUID)
@as_option
@config_option
def end(window_id: UUID, name: str, config: Path) -> None:
    """Its time is over now; what waited for its end is taken up."""
    with services_of(config) as services:
        if not end_window(services, window_id, Actor(ActorKind.PERSON, name)):
            raise Refusal("there is no such window")
    click.echo("its time is over")
