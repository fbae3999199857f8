"""`deliveries`: what senders handed in, and what was quarantined of it."""

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
    services_of,
)
from responder.domain.actor import Actor, ActorKind
from responder.domain.alert import DeliveryOutcome
from responder.pipeline.raw import read_body
from responder.pipeline.redrive import NotRedriven, redrive_delivery
from responder.pipeline.services import Services
from responder.store.vault import Locked


@click.group()
def deliveries() -> None:
    """What senders handed in, and what was quarantined of it."""


@deliveries.command("list")
@click.option("--outcome", type=click.Choice([outcome.value for outcome in DeliveryOutcome]))
@click.option("--source")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@config_option
@json_option
def list_deliveries(
    outcome: str | None, source: str | None, limit: int, config: Path, as_json: bool
) -> None:
    """The newest deliveries; `--outcome quarantined` are those that were not understood."""
    start = {"before": None, "before_id": None}
    with services_of(config) as services, services.store.transaction() as tx:
        rows = tx.all("deliveries", outcome=outcome, source=source, limit=limit, **start)
    if as_json:
        print_json({"items": rows, "next": None})
        return
    shown = [
        {**row, "received_at": row["received_at"].isoformat(timespec="seconds")} for row in rows
    ]
    columns = ["id", "received_at", "source", "outcome", "alert_count", "note"]
    print_table(columns, shown, "there are no such deliveries")


@deliveries.command("show")
@click.argument("delivery", type=click.UUID)
@click.option("--body", is_flag=True, help="The body alone, as it came.")
@as_option
@config_option
def show_delivery(delivery: UUID, body: bool, name: str, config: Path) -> None:
    """One delivery: what became of each alert, or its raw body; the audit says who read that."""
    with services_of(config) as services:
        if body:
            click.echo(_body(services, delivery, name).decode(errors="backslashreplace"))
            return
        with services.store.transaction() as tx:
            row = tx.maybe("delivery", id=delivery)
            alerts = tx.all("delivery_alerts", id=delivery)
    if row is None:
        raise Refusal("there is no such delivery")
    print_json({**row, "alerts": alerts})


def _body(services: Services, delivery: UUID, name: str) -> bytes:
    try:
        found = read_body(services, delivery, Actor(ActorKind.PERSON, name))
    except Locked as locked:
        raise Refusal(str(locked)) from None
    if found is None:
        raise Refusal("there is no such delivery, or its body is deleted")
    return found


@deliveries.command("redrive")
@click.argument("delivery", type=click.UUID)
@as_option
@config_option
def redrive(delivery: UUID, name: str, config: Path) -> None:
    """Read a quarantined delivery again, after its settings or its parser were mended."""
    with services_of(config) as services:
        try:
            accepted = redrive_delivery(services, delivery, Actor(ActorKind.PERSON, name))
        except NotRedriven as error:
            raise Refusal(str(error)) from None
    click.echo(f"{accepted.alerts} alerts are understood now: delivery {accepted.delivery}")
