"""`rules` and `explain`: what is known, and why an alert meets which rule."""

import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from difflib import unified_diff
from itertools import islice
from pathlib import Path
from typing import Any

import click

from responder.cli.common import (
    Refusal,
    config_option,
    json_option,
    print_json,
    print_table,
    read_settings,
    rule_of,
    seen,
    services_of,
)
from responder.cli.promote import agreement_lines, promote
from responder.domain.shipped import INSTALLED, shipped
from responder.pipeline.accept import UnknownSource, parse_only
from responder.pipeline.explain import describe_rule
from responder.pipeline.explain import explain as explain_notice
from responder.pipeline.promotion import agreement
from responder.runbook.elements import Homes, homeless, read_runbook
from responder.runbook.loader import LoadedRule, RunbookWrong
from responder.runbook.outside import Body, outside_mistakes
from responder.runbook.page import page
from responder.runbook.process import load_apart
from responder.sources import NotUnderstood, Unreadable
from responder.targets.catalogue import look_up
from responder.targets.errors import Unanswered


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
        rule = rule_of(services, name)
        with services.store.transaction() as tx:
            promotions, agreed = tx.all("promotions"), agreement(tx, rule)
        described = {
            **describe_rule(services, rule, promotions, whole=True),
            "agreement": agreed,
        }
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
    if described["automatic"]:
        click.echo()
        for line in agreement_lines(described["agreement"]):
            click.echo(line)


rules.add_command(promote)


@rules.command("lint")
@config_option
@click.option("--write", is_flag=True, help="Write the page of the runbook, docs/runbook.md, anew.")
@click.option("--target", help="Look also into the catalogue of this target, to which they reach.")
@json_option
def lint_rules(config: Path, write: bool, target: str | None, as_json: bool) -> None:
    """Which element of the runbook has no home, or another page than it should, and which option
    reaches outside of its transaction; needs no database of ours.

    Settings are looked for in the settings file; without one, in the example of the documentation.
    Tests are looked for beside the rules, but for the runbook that travels with the package.
    """
    root, settings = _runbook_of(config)
    try:
        loaded = load_apart(root)
        runbook = read_runbook(root)
    except RunbookWrong as wrong:
        raise Refusal("the runbook cannot be loaded:\n  " + "\n  ".join(wrong.mistakes)) from None
    found, elements = _reaching_outside(config, loaded, target), 0
    if runbook is not None:
        tests = None if root == INSTALLED else root / "tests"
        homes = Homes({rule.name: rule for rule in loaded}, settings, tests)
        found += [*homeless(runbook, homes), *_page_mistakes(root, page(runbook, loaded), write)]
        elements = sum(len(section.elements) for section in runbook.sections)
    if as_json:
        print_json({"rules": len(loaded), "elements": elements, "mistakes": found})
    for mistake in [] if as_json else found:
        click.echo(mistake)
    if found:
        raise Refusal(f"{len(found)} to mend")
    if not as_json:
        click.echo(f"{len(loaded)} rules and {elements} elements of the runbook, each at home")


def _reaching_outside(config: Path, loaded: Sequence[LoadedRule], name: str | None) -> list[str]:
    """What no rollback takes back, by the statements alone or by the target's catalogue too."""
    if name is None:
        return [mistake for rule in loaded for mistake in outside_mistakes(rule)]
    target = read_settings(config).targets.get(name)
    if target is None:
        raise Refusal(
            f"there is no target {name}; there are {', '.join(read_settings(config).targets)}"
        )

    def look(names: Collection[str], tables: Collection[str]) -> Sequence[Body]:
        return look_up(target, names, tables, datetime.now(UTC))

    try:
        rules = [rule for rule in loaded if rule.rule.target == target.kind]
        return [mistake for rule in rules for mistake in outside_mistakes(rule, look)]
    except Unanswered as unanswered:
        raise Refusal(f"target {name} cannot be asked: {unanswered}") from None


def _runbook_of(config: Path) -> tuple[Path, Mapping[str, Any] | None]:
    """The folder of the runbook, and the tables of the settings in which its settings stand."""
    shipped_one = shipped("rules").parent
    if config.exists():
        own = read_settings(config).runbook
        return Path(own) if own else shipped_one, tomllib.loads(config.read_text())
    example = shipped_one / "docs/examples/operations.toml"
    return shipped_one, tomllib.loads(example.read_text()) if example.exists() else None


def _page_mistakes(root: Path, text: str, write: bool) -> Iterator[str]:
    path = root / "docs/runbook.md"
    if write:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    elif path.parent.is_dir():
        stands = path.read_text() if path.exists() else ""
        if stands != text:
            yield "docs/runbook.md is not what runbook.toml and the rules say: rules lint --write"
            yield from _differences(stands, text)


def _differences(stands: str, text: str) -> Iterator[str]:
    """Line by line, so that an element which was deleted on either side is named."""
    if stands:
        lines = unified_diff(stands.splitlines(), text.splitlines(), n=0)
        for line in islice(lines, 2, None):  # behind the names of the files
            if line[0] in "+-" and line[1:]:
                yield f"  it {'lacks' if line[0] == '+' else 'says'}: {line[1:]}"


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
