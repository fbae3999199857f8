"""`maintenance`: the windows, their checklists, and their end."""

from collections.abc import Mapping
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
    seen,
    services_of,
    store_of,
)
from responder.domain.actor import Actor, ActorKind
from responder.pipeline.checklist import TickRefused, tick
from responder.pipeline.maintenance import end_window, told_item
from responder.pipeline.recurring import coming

_SHOWN = ("id", "name", "state", "starts_at", "ends_at", "reason")


@click.group()
def maintenance() -> None:
    """Maintenance windows, their checklists, and their end."""


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
