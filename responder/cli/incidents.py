"""`incidents`: look at them, and say that somebody has one."""

import getpass
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from responder.cli.common import (
    Refusal,
    config_option,
    json_option,
    print_json,
    print_table,
    services_of,
)
from responder.domain.actor import Actor, ActorKind
from responder.pipeline.document import document, summary
from responder.pipeline.people import acknowledge
from responder.pipeline.services import iso
from responder.store.incidents import incident_from_row


@click.group()
def incidents() -> None:
    """The incidents and their trails."""


@incidents.command("list")
@click.option("--status", type=click.Choice(["open", "acknowledged", "resolved"]))
@click.option("--severity", type=click.Choice(["P0", "P1", "P2", "P3"]))
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@config_option
@json_option
def list_incidents(
    status: str | None, severity: str | None, limit: int, config: Path, as_json: bool
) -> None:
    """The newest incidents."""
    nothing = {"rule": None, "q": None, "before": None, "before_id": None}
    with services_of(config) as services, services.store.transaction() as tx:
        rows = tx.all("incidents", status=status, severity=severity, limit=limit, **nothing)
    items = [summary(incident_from_row(row)) for row in rows]
    if as_json:
        print_json({"items": items, "next": None})
        return
    columns = ["id", "severity", "status", "stage", "rule", "target", "title"]
    print_table(columns, items, "there are no incidents")


@incidents.command("show")
@click.argument("incident", type=click.UUID)
@config_option
@json_option
def show_incident(incident: UUID, config: Path, as_json: bool) -> None:
    """One incident: cause, evidence, offers, and its trail."""
    with services_of(config) as services, services.store.transaction() as tx:
        found = document(services, tx, incident)
        events = tx.all("incident_events", id=incident)
    if found is None:
        raise Refusal("there is no such incident")
    if as_json:
        print_json(found)
        return
    _print_document(found)
    click.echo("\nTrail")
    for event in events:
        change = " -> ".join(part for part in (event["before"], event["after"]) if part)
        why = event["details"].get("reason") or event["details"].get("why") or ""
        click.echo(f"  {iso(event['at'])}  {event['what']:<13} {change} {why}".rstrip())


@incidents.command("ack")
@click.argument("incident", type=click.UUID)
@click.option("--as", "name", default=getpass.getuser, help="Who has it.  [default: you]")
@config_option
def ack_incident(incident: UUID, name: str, config: Path) -> None:
    """Say that somebody has it; pagers that were woken for it are told."""
    with services_of(config) as services:
        if not acknowledge(services, incident, Actor(ActorKind.PERSON, name)):
            raise Refusal("there is no such incident")
    click.echo(f"acknowledged by {name}")


def _print_document(found: dict[str, Any]) -> None:
    incident = found["incident"]
    click.echo(f"[{incident['severity']}] {incident['title']}")
    where = incident["target"] or "no target"
    click.echo(f"  {incident['status']}, {incident['stage']}; {incident['rule']} on {where}")
    for finding in found["findings"]:
        click.echo(f"\nCause     {finding['name']}: {finding['summary']}")
    if found["decision"]:
        decision = found["decision"]
        click.echo(f"\nDecision  {decision['action']} ({decision['reason']})")
        click.echo(f"          {decision['sentence']}")
    for fix in found["fixes"]:
        changed = ", ".join(f"{count} in {table}" for table, count in fix["counts"].items())
        click.echo(
            f"\nFix       {fix['option']}: {fix['status']} {fix['reason']} {changed}".rstrip()
        )
        click.echo(f"          verification: {fix['verification'] or '-'}")
    for answer in found["diagnosis"]:
        said = answer["error"]["message"] if answer["error"] else f"{answer['row_count']} rows"
        click.echo(f"\nAsked     {answer['question']}  {answer['status']}, {said}")
    for option in found["options"]:
        note = option["why_not"] or "allowed"
        click.echo(f"\nOption    {option['name']}: {option['title']} ({note})")
