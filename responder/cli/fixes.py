"""`fixes`: what was done, the switch of automatic fixes, and the breaker of a key."""

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
    store_of,
)
from responder.domain.actor import Actor, ActorKind
from responder.pipeline import breaker, switch
from responder.pipeline.document import told_fix

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
    shown = [{**item, "by": item["actor"]["name"]} for item in items]
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


def _turned(turn: Any, store: Any, name: str, reason: str) -> Any:
    try:
        return turn(store, Actor(ActorKind.PERSON, name), reason)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--reason") from None
