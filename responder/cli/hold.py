"""`hold`: incidents that must not be deleted, however old they are."""

from collections.abc import Callable
from pathlib import Path
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
from responder.pipeline import hold as pipeline
from responder.store import Store

_why_option = click.option("--reason", required=True, callback=said(500), help="Why; it is kept.")


@click.group()
def hold() -> None:
    """Incidents that must not be deleted, however old they are: legal hold."""


@hold.command("set")
@click.argument("incident", type=click.UUID)
@_why_option
@as_option
@config_option
def set_hold(incident: UUID, reason: str, name: str, config: Path) -> None:
    """Hold an incident, and with it its month; it is in the audit under your name."""
    _change(pipeline.hold, incident, reason, name, config)
    click.echo(f"held by {name}")


@hold.command("release")
@click.argument("incident", type=click.UUID)
@_why_option
@as_option
@config_option
def release_hold(incident: UUID, reason: str, name: str, config: Path) -> None:
    """Let it go when its time comes."""
    _change(pipeline.release, incident, reason, name, config)
    click.echo(f"released by {name}")


@hold.command("list")
@config_option
@json_option
def list_holds(config: Path, as_json: bool) -> None:
    """What is held, since when, by whom and why."""
    with store_of(read_settings(config)) as store, store.transaction() as tx:
        rows = tx.all("holds")
    if as_json:
        print_json({"items": rows, "next": None})
        return
    columns = ["incident_id", "at", "actor", "reason", "title"]
    shown = [{**row, "at": row["at"].isoformat(timespec="seconds")} for row in rows]
    print_table(columns, shown, "nothing is held")


def _change(
    change: Callable[[Store, UUID, Actor, str], bool],
    incident: UUID,
    reason: str,
    name: str,
    config: Path,
) -> None:
    with store_of(read_settings(config)) as store:
        if not change(store, incident, Actor(ActorKind.PERSON, name), reason):
            raise Refusal("there is no such incident")
