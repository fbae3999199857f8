"""`notifications`: what was told to whom, what was given up, and whether a receiver works."""

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
from responder.domain.notification import NotificationStatus
from responder.outbound import Undelivered
from responder.pipeline.redrive import redrive_notifications, try_receiver


@click.group()
def notifications() -> None:
    """The messages to people and programs, and those that were given up."""


@notifications.command("list")
@click.option("--status", type=click.Choice([status.value for status in NotificationStatus]))
@click.option("--receiver")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@config_option
@json_option
def list_notifications(
    status: str | None, receiver: str | None, limit: int, config: Path, as_json: bool
) -> None:
    """The newest messages; `--status dead` are those that were given up."""
    with services_of(config) as services, services.store.transaction() as tx:
        rows = tx.all("notifications", status=status, receiver=receiver, limit=limit)
    if as_json:
        print_json({"items": rows, "next": None})
        return
    columns = ["id", "receiver", "happening", "status", "attempts", "due_at", "error"]
    shown = [{**row, "due_at": row["due_at"].isoformat(timespec="seconds")} for row in rows]
    print_table(columns, shown, "there are no such messages")


@notifications.command("redrive")
@click.argument("notification", type=click.UUID, required=False)
@click.option("--all", "every", is_flag=True, help="All that were given up.")
@click.option("--receiver", help="All of this receiver that were given up.")
@as_option
@config_option
def redrive(
    notification: UUID | None, every: bool, receiver: str | None, name: str, config: Path
) -> None:
    """Try messages again that were given up: one by its ID, or all."""
    if sum([notification is not None, every, receiver is not None]) != 1:
        raise click.UsageError("say what: an ID, --receiver NAME or --all")
    actor = Actor(ActorKind.PERSON, name)
    with services_of(config) as services:
        count = redrive_notifications(services, actor, notification, receiver)
    if notification is not None and not count:
        raise Refusal("there is no message of this id that was given up")
    click.echo(f"{count} {'message is' if count == 1 else 'messages are'} due again")


@notifications.command("test")
@click.argument("receiver")
@as_option
@config_option
def test(receiver: str, name: str, config: Path) -> None:
    """Send RECEIVER a message that says it is a test, and its end; 1 when it does not arrive."""
    with services_of(config) as services:
        if receiver not in services.receivers:
            known = ", ".join(services.receivers) or "none"
            raise Refusal(f"there is no receiver {receiver}; there are {known}")
        try:
            try_receiver(services, receiver, Actor(ActorKind.PERSON, name))
        except Undelivered as error:
            raise Refusal(f"{receiver}: {error}") from None
    click.echo(f"{receiver} took a test message and its end")
