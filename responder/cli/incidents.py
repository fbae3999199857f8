"""`incidents`: look at them, and say that somebody has one."""

from collections.abc import Iterable, Mapping
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
    said,
    said_or_nothing,
    seen,
    services_of,
)
from responder.domain.actor import Actor, ActorKind
from responder.domain.review import Standing, Verdict
from responder.pipeline.document import document, summary
from responder.pipeline.people import LONGEST_NOTE, acknowledge, note
from responder.pipeline.review import judge, told_review
from responder.pipeline.services import iso
from responder.receivers.brief import breaker_of, escalated_of
from responder.receivers.brief.approval import approvals_of
from responder.receivers.brief.changes import changes, has_rows
from responder.store.incidents import incident_from_row


@click.group()
def incidents() -> None:
    """The incidents and their trails."""


@incidents.command("list")
@click.option("--status", type=click.Choice(["open", "acknowledged", "resolved"]))
@click.option("--severity", type=click.Choice(["P0", "P1", "P2", "P3"]))
@click.option(
    "--review",
    type=click.Choice([each.value for each in Standing]),
    help="Those that wait for a verdict, or have waited too long.",
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@config_option
@json_option
def list_incidents(
    status: str | None,
    severity: str | None,
    review: str | None,
    limit: int,
    config: Path,
    as_json: bool,
) -> None:
    """The newest incidents."""
    asked = {"status": status, "severity": severity, "limit": limit}
    asked |= {"rule": None, "q": None, "before": None, "before_id": None}
    with services_of(config) as services, services.store.transaction() as tx:
        rows = (
            tx.all("incidents_to_review", review=review, **asked)
            if review
            else tx.all("incidents", **asked)
        )
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
        details = event["details"]
        what = "undo" if "undoes" in details else event["what"]
        by = f"by {event['actor']}" if event["actor_kind"] == ActorKind.PERSON else ""
        why = details.get("reason") or details.get("why") or ""
        told = " ".join(filter(None, (f"{iso(event['at'])}  {what:<13}", change, by, why)))
        click.echo(f"  {seen(told)}".rstrip())


@incidents.command("ack")
@click.argument("incident", type=click.UUID)
@as_option
@config_option
def ack_incident(incident: UUID, name: str, config: Path) -> None:
    """Say that somebody has it; pagers that were woken for it are told."""
    with services_of(config) as services:
        if not acknowledge(services, incident, Actor(ActorKind.PERSON, name)):
            raise Refusal("there is no such incident")
    click.echo(f"acknowledged by {name}")


@incidents.command("note")
@click.argument("incident", type=click.UUID)
@click.argument("text", callback=said(LONGEST_NOTE))
@as_option
@config_option
def note_incident(incident: UUID, text: str, name: str, config: Path) -> None:
    """Write what the others should know."""
    with services_of(config) as services:
        if not note(services, incident, Actor(ActorKind.PERSON, name), text):
            raise Refusal("there is no such incident")
    click.echo(f"noted by {name}")


@incidents.command("review")
@click.argument("incident", type=click.UUID)
@click.option("--verdict", required=True, type=click.Choice([each.value for each in Verdict]))
@click.option(
    "--note", "text", callback=said_or_nothing(LONGEST_NOTE), default="", help="Why you say so."
)
@as_option
@config_option
def review_incident(incident: UUID, verdict: str, text: str, name: str, config: Path) -> None:
    """Judge what the responder did; you may change your mind.

    harmful takes back the promotion of each version of the rule that fixed something by itself.
    """
    with services_of(config) as services:
        if not judge(services, incident, Actor(ActorKind.PERSON, name), Verdict(verdict), text):
            raise Refusal("there is no such incident")
        with services.store.transaction() as tx:
            told = told_review(tx, incident)
    for line in _told_verdict(told).splitlines():
        click.echo(seen(line))


def _print_document(found: dict[str, Any]) -> None:
    incident = found["incident"]
    where = incident["target"] or "no target"
    click.echo(seen(f"[{incident['severity']}] {incident['title']}"))
    click.echo(f"{incident['status']}, {incident['stage']}; {incident['rule']} on {where}")
    _print_part("Cause", (f"{each['name']}: {each['summary']}" for each in found["findings"]))
    if found["decision"]:
        decision = found["decision"]
        told = (f"{decision['action']} ({decision['reason']})", decision["sentence"])
        _print_part("Decision", told)
    _print_part("Breaker", filter(None, [breaker_of(found)]))
    _print_part("Waits for a second person", approvals_of(found))
    _print_part("Escalation", filter(None, [escalated_of(found)]))
    _print_part("Fix", map(_told_fix, found["fixes"]))
    _print_part("Notes", (f"{each['actor']}: {each['text']}" for each in found["notes"]))
    _print_part("Review", filter(None, [_told_verdict(found["review"])]))
    _print_part("Asked", map(_told_answer, found["diagnosis"]))
    _print_part("Options", map(_told_option, found["options"]))


def _print_part(title: str, lines: Iterable[str]) -> None:
    for number, line in enumerate(lines):
        if number == 0:
            click.echo(f"\n{title}")
        for part in line.splitlines():
            click.echo(f"  {seen(part)}")


def _told_verdict(review: Mapping[str, Any] | None) -> str:
    """A review in one or two sentences; empty when nobody is asked and nobody has said anything."""
    said = []
    if review and review["verdict"]:
        own = ", who ran a fix of it" if review["own"] else ""
        why = f": {review['note']}" if review["note"] else ""
        said.append(f"{review['verdict']}, says {review['actor']}{own}{why}")
    if review and review["took_back"]:
        said.append("The promotion was taken back: this version of the rule only proposes now.")
    if review and review["waiting"]:
        said.append(f"waits for a verdict until {review['due_at'][:16]} ({review['picked']})")
    return "\n".join(said)


def _told_fix(fix: dict[str, Any]) -> str:
    changed = ", ".join(f"{count} rows of {table}" for table, count in fix["counts"].items())
    name = f"undo of {fix['option']}" if fix["undoes"] else fix["option"]
    told = f"{name}: {fix['status']} {fix['reason'] or changed}".rstrip()
    if fix["dry_run"] and changed:
        told = f"{name}: a dry run; it would change {changed}"
    elif not fix["undoes"]:
        told += f"; verification: {fix['verification'] or 'none'}"
    left = [f"left, changed since or gone: {', '.join(fix['left'])}"] if fix["left"] else []
    rows = changes(fix).splitlines() if has_rows(fix) else []
    return "\n".join([f"{told}; {fix['id']}", *(f"  {each}" for each in (*left, *rows))])


def _told_answer(answer: dict[str, Any]) -> str:
    said = answer["error"]["message"] if answer["error"] else f"{answer['row_count']} rows"
    return f"{answer['question']} {answer['status']}, {said}"


def _told_option(option: dict[str, Any]) -> str:
    return f"{option['name']}: {option['title']} ({option['why_not'] or 'allowed'})"
