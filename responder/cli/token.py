"""`token`: keys, and tokens for people and programs."""

import getpass
import json
from collections.abc import Mapping
from datetime import UTC, datetime
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
    read_settings,
    said,
    store_of,
    write_key,
)
from responder.domain.actor import ROLES, Actor, ActorKind
from responder.domain.duration import parse_duration
from responder.domain.ids import new_id
from responder.domain.secret import SecretMissing
from responder.pipeline.services import iso
from responder.web.tokens import TokenKeys, new_keys


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
    write_key(out, content)
    key_id = json.loads(content)["keys"][0]["kid"]
    click.echo(f"key {key_id} is in {out}")


@token.command("issue")
@click.option("--name", required=True, callback=said(), help="Who it is for; the audit shows it.")
@click.option("--role", required=True, type=click.Choice(ROLES))
@click.option("--for", "lifetime", default="30d", show_default=True, help="How long it is valid.")
@click.option(
    "--as",
    "issuer",
    callback=said(),
    default=getpass.getuser,
    help="Who issues it.  [default: you]",
)
@config_option
def issue(name: str, role: str, lifetime: str, issuer: str, config: Path) -> None:
    """Print a token, and remember that there is one; its text is kept nowhere."""
    try:
        duration = parse_duration(lifetime)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    if not duration:
        raise click.BadParameter("must be longer than 0", param_hint="--for")
    settings = read_settings(config)
    token_id, now = new_id(), datetime.now(UTC)
    try:
        text = TokenKeys(settings.token_keys).issue(name, role, now, duration, token_id)
        expires_at = now + duration
    except SecretMissing as missing:
        raise Refusal(f"{missing}; make a key with: responder token keys --out FILE") from None
    except OverflowError:
        raise click.BadParameter("is too long", param_hint="--for") from None
    with store_of(settings) as store, store.transaction() as tx:
        told: dict[str, Any] = {"name": name, "role": role}
        tx.run("insert_token", id=token_id, issued_at=now, expires_at=expires_at, **told)
        person, subject = Actor(ActorKind.PERSON, issuer), f"token {token_id}"
        tx.record("token", person, subject, after="issued", expires_at=iso(expires_at), **told)
    click.echo(text)


@token.command("list")
@config_option
@json_option
def list_tokens(config: Path, as_json: bool) -> None:
    """The tokens that were issued or revoked, and until when they open."""
    with store_of(read_settings(config)) as store, store.transaction() as tx:
        rows, now = tx.all("tokens"), tx.now
    items = [_told(row, now) for row in rows]
    if as_json:
        print_json({"items": items, "next": None})
        return
    columns = ["id", "name", "role", "status", "expires_at", "revoked_by"]
    print_table(columns, items, "there are no tokens")


@token.command("revoke")
@click.argument("token_id", metavar="ID", type=click.UUID)
@as_option
@config_option
def revoke(token_id: UUID, name: str, config: Path) -> None:
    """A token opens nothing any more, on any host; also one that `list` does not show."""
    with store_of(read_settings(config)) as store, store.transaction() as tx:
        if tx.maybe("revoke_token", id=token_id, actor=name) is None:
            click.echo("it was revoked before")
            return
        person = Actor(ActorKind.PERSON, name)
        tx.record("token", person, f"token {token_id}", after="revoked")
    click.echo(f"revoked by {name}")


def _told(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    known = row["name"] != ""  # else it was issued without us, and only its end is known
    ended = "expired" if row["expires_at"] <= now else "valid"
    return {
        "id": str(row["id"]),
        "name": row["name"] or None,
        "role": row["role"] if known else None,
        "status": "revoked" if row["revoked_at"] else ended,
        "issued_at": iso(row["issued_at"]) if known else None,
        "expires_at": iso(row["expires_at"]) if known else None,
        "revoked_at": iso(row["revoked_at"]),
        "revoked_by": row["revoked_by"],
    }
