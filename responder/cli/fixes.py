"""`fixes`: what was done, how it is taken back, the switch, and the breaker of a key."""

import time
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
    said,
    seen,
    services_of,
    store_of,
)
from responder.domain.actor import ROLES, Actor, ActorKind
from responder.domain.fix import FixStatus
from responder.pipeline import breaker, switch
from responder.pipeline.by_hand import NotBegun
from responder.pipeline.document import told_fix
from responder.pipeline.services import Services
from responder.pipeline.undo import AskedUndo, ask_undo
from responder.receivers.brief.changes import changes

#: So long, in seconds, it is waited for the worker that carries out an undo.
PATIENCE = 60.0
_POLL = 0.25

#: Why, for the audit and for the next one who looks.
reason_option = click.option(
    "--reason", required=True, callback=said(500), help="Why; the audit shows it."
)


@click.group()
def fixes() -> None:
    """What was done on targets, and the switch of automatic fixes."""


@fixes.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@config_option
@json_option
def list_fixes(limit: int, config: Path, as_json: bool) -> None:
    """The newest fixes, and whether they are made automatically now."""
    with store_of(read_settings(config)) as store:
        standing = switch.standing(store)
        with store.transaction() as tx:
            rows = tx.all("newest_fixes", limit=limit)
    items = [{**told_fix(row), "incident": str(row["incident_id"])} for row in rows]
    if as_json:
        print_json({"items": items, "next": None})
        return
    columns = ["id", "severity", "option", "by", "status", "verification", "incident", "reason"]
    shown = [
        {
            **item,
            "by": item["actor"]["name"],
            "option": f"undo of {item['option']}" if item["undoes"] else item["option"],
        }
        for item in items
    ]
    print_table(columns, shown, "there are no fixes")
    told = "on" if standing["enabled"] else f"off: {standing['reason']}"
    click.echo(f"\nautomatic fixes are {told} ({standing['actor']})")


@fixes.command("stop")
@reason_option
@as_option
@config_option
def stop_fixes(reason: str, name: str, config: Path) -> None:
    """No automatic fix from now on; waits for those that are decided already."""
    with store_of(read_settings(config)) as store:
        left = _turned(switch.stop, store, name, reason)
    if left:
        ids = ", ".join(map(str, left))
        raise Refusal(f"automatic fixes are off; decided before, and not yet known: {ids}")
    click.echo("automatic fixes are off")


@fixes.command("start")
@reason_option
@as_option
@config_option
def start_fixes(reason: str, name: str, config: Path) -> None:
    """Automatic fixes again, by the server that our database is on now."""
    with store_of(read_settings(config)) as store:
        _turned(switch.start, store, name, reason)
    click.echo("automatic fixes are on")


@fixes.command("reset")
@click.argument("incident", type=click.UUID)
@reason_option
@as_option
@config_option
def reset_breaker(incident: UUID, reason: str, name: str, config: Path) -> None:
    """Close the breaker of an incident's key, after a look: it is decided anew."""
    with store_of(read_settings(config)) as store:
        try:
            found = breaker.reset(store, incident, Actor(ActorKind.PERSON, name), reason)
        except breaker.NotOpen as error:
            raise Refusal(str(error)) from None
    if not found:
        raise Refusal("there is no such incident")
    click.echo("the breaker is closed; the incident is decided anew")


@fixes.command("undo")
@click.argument("fix", type=click.UUID)
@click.option("--dry-run", is_flag=True, help="See what it would restore, and leave all as it is.")
@as_option
@config_option
@json_option
def undo_fix(fix: UUID, dry_run: bool, name: str, config: Path, as_json: bool) -> None:
    """Take back what a fix changed; a worker does it, and this waits for it.

    Rows that changed since the fix are left, and named. 1 when nothing was taken back.
    """
    with services_of(config) as services:
        asked, actor = AskedUndo(fix, dry_run), Actor(ActorKind.PERSON, name)
        try:
            undo = ask_undo(services, asked, actor, ROLES[-1]).fix
        except NotBegun as why:
            raise Refusal(str(why)) from None
        assert undo is not None
        told = _waited_for(services, undo)
    if as_json:
        print_json(told)
    elif told["ended_at"] is not None:
        _print_undo(told)
    if told["status"] != FixStatus.COMMITTED and told["reason"] != "dry run":
        raise Refusal(told["reason"] or f"no worker has done it yet; see: {undo}")


def _waited_for(services: Services, fix_id: UUID) -> dict[str, Any]:
    """What became of a fix, or how far it is when that takes too long."""
    until = time.monotonic() + PATIENCE
    while True:
        with services.store.transaction() as tx:
            told = told_fix(tx.one("fix", id=fix_id))
        if told["ended_at"] is not None or time.monotonic() >= until:
            return told
        time.sleep(_POLL)


def _print_undo(told: Mapping[str, Any]) -> None:
    would = "would be " if told["dry_run"] else ""
    click.echo(f"{told['status']}: {len(told['after'])} rows {would}as they were before the fix")
    for line in changes(told).splitlines():
        click.echo(f"  {seen(line)}")
    if told["left"]:
        click.echo(seen(f"left, changed since the fix or gone: {', '.join(told['left'])}"))


def _turned(turn: Any, store: Any, name: str, reason: str) -> Any:
    try:
        return turn(store, Actor(ActorKind.PERSON, name), reason)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--reason") from None
