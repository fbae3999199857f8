"""`token`: keys, and tokens for people and programs."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from responder.cli.common import Refusal, config_option, read_settings
from responder.domain.duration import parse_duration
from responder.domain.ids import new_id
from responder.domain.secret import SecretMissing
from responder.web.tokens import ROLES, KeyFileWrong, TokenKeys, new_keys


@click.group()
def token() -> None:
    """Keys and tokens for the API."""


@token.command("keys")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A new file, 0600.")
def keys(out: Path | None) -> None:
    """Make an Ed25519 key; put it where `token_keys` points to, before the older ones."""
    content = new_keys(new_id())
    if out is None:
        click.echo(content, nl=False)
        return
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refusal(f"{out} exists; a key is never overwritten, name a new file") from None
    except OSError as error:
        raise Refusal(f"{out} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    key_id = json.loads(content)["keys"][0]["kid"]
    click.echo(f"key {key_id} is in {out}")


@token.command("issue")
@click.option("--name", required=True, help="Who it is for; the audit shows it.")
@click.option("--role", required=True, type=click.Choice(ROLES))
@click.option("--for", "lifetime", default="30d", show_default=True, help="How long it is valid.")
@config_option
def issue(name: str, role: str, lifetime: str, config: Path) -> None:
    """Print a token."""
    try:
        duration = parse_duration(lifetime)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    if not duration:
        raise click.BadParameter("must be longer than 0", param_hint="--for")
    signing = TokenKeys(read_settings(config).token_keys)
    try:
        click.echo(signing.issue(name, role, datetime.now(UTC), duration, new_id()))
    except (SecretMissing, KeyFileWrong) as missing:
        raise Refusal(f"{missing}; make a key with: responder token keys --out FILE") from None
