"""`digest`: what the next morning's message would say now."""

from pathlib import Path

import click

from responder.cli.common import config_option, json_option, print_json, seen, services_of
from responder.domain.notification import Happening, Message
from responder.pipeline.digest import next_digest
from responder.receivers.brief import brief
from responder.receivers.brief.plain import plain

_LONGEST = 100_000


@click.command()
@config_option
@json_option
def digest(config: Path, as_json: bool) -> None:
    """What the next morning digest would say now, when it leaves, and to whom."""
    with services_of(config) as services, services.store.transaction() as tx:
        told = next_digest(services, tx)
    if as_json:
        print_json(told)
        return
    text = plain(brief(Message("", Happening.DIGEST, "", {"digest": told})), False, _LONGEST)
    for line in text.splitlines()[1:]:  # without the headline
        click.echo(seen(line))
    when = told["next_at"] or "not planned yet: a worker plans it"
    receivers = ", ".join(told["receivers"]) or "nobody"
    empty = "" if told["parts"] else "; as it stands it would not be sent"
    click.echo(f"\nnext: {when}, to {receivers}{empty}")
