"""`vault`: the keys with which raw deliveries and exact rows are encrypted."""

from pathlib import Path

import click

from responder.cli.common import write_key
from responder.store.vault import key_id, new_key, read_key


@click.group()
def vault() -> None:
    """The keys of what stands encrypted in our database."""


@vault.command("key")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A new file, 0600.")
def key(out: Path | None) -> None:
    """Make a key; put it where `vault.keys` points to, on all hosts before it is the first."""
    content = new_key()
    if out is None:
        click.echo(content, nl=False)
        return
    write_key(out, content)
    click.echo(f"key {key_id(read_key(content)).hex()} is in {out}")
