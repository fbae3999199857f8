"""`rules promote`: let a version of a rule act by itself, with what it would have done before."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from responder.cli.common import (
    Refusal,
    as_option,
    config_option,
    json_option,
    print_json,
    rule_of,
    said_or_nothing,
    seen,
    services_of,
)
from responder.domain.actor import Actor, ActorKind
from responder.domain.decision import Autonomy
from responder.domain.review import Verdict
from responder.pipeline.promotion import NotPromoted, agreement
from responder.pipeline.promotion import promote as promote_rule

_DID = {
    "same": "people ran what it proposed",
    "other": "people ran something else",
    "by_hand": "people ended it by hand",
    "went_away": "it went away by itself",
    "open": "still open",
}


@click.command()
@click.argument("rule_name", metavar="NAME")
@click.option(
    "--to",
    type=click.Choice([each.value for each in Autonomy]),
    default=Autonomy.ACT.value,
    show_default=True,
    help="observe and propose take it back.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--despite",
    callback=said_or_nothing(),
    default="",
    help="Why it may act though engineers judged this version harmful; the audit shows it.",
)
@as_option
@config_option
@json_option
def promote(
    rule_name: str, to: str, yes: bool, despite: str, name: str, config: Path, as_json: bool
) -> None:
    """Let this version of a rule act by itself, after a look at what it would have done.

    The promotion holds for exactly this module and its SQL; edited code proposes again.
    """
    with services_of(config) as services:
        rule = rule_of(services, rule_name)
        with services.store.transaction() as tx:
            told = agreement(tx, rule)
        if not as_json:
            for line in agreement_lines(told):
                click.echo(line)
        if not yes:
            if as_json:
                raise click.UsageError("--json does not ask; say --yes")
            click.confirm(f"\n{to} from now on, as {seen(name)}?", abort=True)
        try:
            actor = Actor(ActorKind.PERSON, name)
            done = promote_rule(services, rule, Autonomy(to), actor, despite)
        except NotPromoted as why:
            raise Refusal(str(why)) from None
    effective = done.after.capped(done.ceiling)
    if as_json:
        print_json(
            {
                "rule": rule_name,
                "checksum": rule.checksum,
                "before": done.before,
                "after": done.after,
                "ceiling": done.ceiling,
                "autonomy": effective,
                "agreement": told,
            }
        )
        return
    click.echo(f"{rule_name} ({rule.checksum[:12]}): {done.before} -> {done.after}")
    if effective != done.after:
        click.echo(
            f"but the settings let it {done.ceiling} at most; "
            f'write autonomy = "{done.after}" into [rules.{rule_name}] or above all tables'
        )


def agreement_lines(told: Mapping[str, Any]) -> Iterator[str]:
    """The report as people read it."""
    yield f"Since {told['since'][:10]}, this version ({told['checksum'][:12]}):"
    yield from _counted(told["this_version"])
    if told["other_versions"]["would_have_acted"] or told["other_versions"]["acted"]:
        yield "other versions:"
        yield from _counted(told["other_versions"])
    if told["against"]:
        yield "judged, of this version:"
    for each in told["against"]:
        said = f"{each['actor']}{': ' if each['note'] else ''}{each['note']}"
        yield f"  {each['at'][:16]}  {each['incident']}  {each['verdict']}, {seen(said)}"
    if told["differently"]:
        yield "where people did something else:"
    for each in told["differently"]:
        what = f"ran {each['did']}" if each["did"] else "ended it by hand"
        title = seen(each["title"])
        yield f"  {each['at'][:16]}  {each['incident']}  {title}: {each['proposed']}; {what}"


def _counted(counts: Mapping[str, int]) -> Iterator[str]:
    yield f"  it would have acted in {_number(counts['would_have_acted'])}"
    for name, words in _DID.items():
        if counts[name]:
            held = f" ({counts['same_held']} held)" if name == "same" else ""
            yield f"    {counts[name]:>4}  {words}{held}"
    if counts["acted"]:
        fate = f"{counts['acted_held']} held, {counts['acted_failed']} failed"
        yield f"  it acted by itself {counts['acted']} times: {fate}"
    yield from _verdicts(counts)


def _verdicts(counts: Mapping[str, int]) -> Iterator[str]:
    given = [f"{counts[each]} {each}" for each in Verdict if counts[each]]
    if given:
        yield f"  engineers judged it: {', '.join(given)}"


def _number(count: int) -> str:
    return "1 incident" if count == 1 else f"{count} incidents"
