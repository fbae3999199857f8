"""`rules` and `explain`: what is known, and why an alert meets which rule."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from responder.cli.common import (
    Refusal,
    config_option,
    json_option,
    print_json,
    print_table,
    seen,
    services_of,
)
from responder.pipeline.accept import UnknownSource, parse_only
from responder.pipeline.explain import describe_rule
from responder.pipeline.explain import explain as explain_notice
from responder.sources import NotUnderstood, Unreadable


@click.group()
def rules() -> None:
    """The rules of the runbook."""


@rules.command("list")
@config_option
@json_option
def list_rules(config: Path, as_json: bool) -> None:
    """All rules in the order in which they are tried."""
    with services_of(config) as services:
        with services.store.transaction() as tx:
            promotions = tx.all("promotions")
        rows = [
            describe_rule(services, rule, promotions) for rule in services.catalogue.rules.values()
        ]
    if as_json:
        print_json({"items": rows, "next": None})
        return
    shown = [{**row, "answers": " ".join(row["answers"])} for row in rows]
    print_table(["severity", "name", "autonomy", "answers", "summary"], shown, "there are no rules")


@rules.command("show")
@click.argument("name")
@config_option
@json_option
def show_rule(name: str, config: Path, as_json: bool) -> None:
    """One rule: its text, questions, options and statements."""
    with services_of(config) as services:
        rule = services.catalogue.rules.get(name)
        if rule is None:
            known = ", ".join(services.catalogue.rules)
            raise Refusal(f"there is no rule {name}; there are {known}")
        with services.store.transaction() as tx:
            promotions = tx.all("promotions")
        described = describe_rule(services, rule, promotions, whole=True)
    if as_json:
        print_json(described)
        return
    click.echo(f"{described['name']} ({described['severity']}, {described['autonomy']})\n")
    click.echo(described["text"])
    if described["schedule"]:
        click.echo(f"\nAsked by itself at {described['schedule']} (UTC)")
    click.echo("\nAsks")
    for diagnostic in described["diagnostics"]:
        click.echo(f"  {diagnostic['name']}: {diagnostic['question']}")
    click.echo("\nOffers")
    for option in described["options"]:
        how = "by itself" if option["automatic"] else "for a person"
        click.echo(f"  {option['name']} ({how}): {option['title']}")


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--source", required=True, help="The configured source that would send it.")
@config_option
@json_option
def explain(file: Any, source: str, config: Path, as_json: bool) -> None:
    """Which rule would answer the payload in FILE, and why not another one; touches nothing."""
    with services_of(config) as services:
        try:
            notices = parse_only(services, source, file.read(), datetime.now(UTC))
        except UnknownSource:
            known = ", ".join(services.settings.sources)
            raise Refusal(f"there is no source {source}; there are {known}") from None
        except (Unreadable, NotUnderstood) as error:
            raise Refusal(str(error)) from None
        explained = [explain_notice(services.catalogue, notice) for notice in notices]
    if as_json:
        print_json({"alerts": explained})
        return
    for each in explained:
        _print_explained(each)


def _print_explained(each: dict[str, Any]) -> None:
    if "malformed" in each:
        click.echo(seen(f"no alert: {each['malformed']}"))
        return
    click.echo(seen(f"{each['alert']} ({each['status']}) is {each['severity']}"))
    word = each["severity_word"]
    declared = (
        "nothing" if word is None else f"{word} -> {each['declared_severity'] or 'unreadable'}"
    )
    click.echo(seen(f"  declared  {declared}"))
    click.echo(f"  rule      {each['rule'] or 'none'}")
    click.echo(f"  target    {each['target'] or 'none'}")
    click.echo(seen(f"  key       {each['key']}"))
    if each["trouble"]:
        click.echo(seen(f"  trouble   {each['trouble']} {each['detail']}".rstrip()))
    for trial in each["rules"]:
        verdict = "answers" if trial["failed"] is None else f"not: {trial['failed']}"
        click.echo(seen(f"    {trial['severity']} {trial['rule']}: {verdict}"))
