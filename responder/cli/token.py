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
from responder.web.api import SCOPES
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
@click.option(
    "--scope",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What it is for, several times if need be.  [default: everything]",
)
@click.option("--for", "lifetime", default="30d", show_default=True, help="How long it is valid.")
@click.option(
    "--as",
    "issuer",
    callback=said(),
    default=getpass.getuser,
    help="Who issues it.  [default: you]",
)
@config_option
def issue(
    name: str, role: str, scope: tuple[str, ...], lifetime: str, issuer: str, config: Path
) -> None:
    """Print a token, and remember that there is one; its text is kept nowhere."""
    try:
        duration = parse_duration(lifetime)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    if not duration:
        raise click.BadParameter("must be longer than 0", param_hint="--for")
    settings = read_settings(config)
    if name.partition(":")[0] in settings.issuers:
        raise click.BadParameter("is how an issuer's people are called", param_hint="--name")
    token_id, now = new_id(), datetime.now(UTC)
    try:
        text = TokenKeys(settings.token_keys).issue(name, role, now, duration, token_id, scope)
        expires_at = now + duration
    except SecretMissing as missing:
        raise Refusal(f"{missing}; make a key with: responder token keys --out FILE") from None
    except OverflowError:
        raise click.BadParameter("is too long", param_hint="--for") from None
    with store_of(settings) as store, store.transaction() as tx:
        told: dict[str, Any] = {"name": name, "role": role, "scope": list(scope) or None}
        row = {**told, "scope": scope or None}
        tx.run("insert_token", id=token_id, issued_at=now, expires_at=expires_at, **row)
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
    columns = ["id", "name", "role", "scope", "status", "expires_at", "last_used_at", "revoked_by"]
    print_table(columns, items, "there are no tokens")


@token.command("revoke")
@click.argument("token_id", metavar="[ID]", type=click.UUID, required=False)
@click.option("--person", callback=said(optional=True), help="All that this person has, instead.")
@as_option
@config_option
def revoke(token_id: UUID | None, person: str | None, name: str, config: Path) -> None:
    """A token opens nothing any more, on any host; also one that `list` does not show.

    Sessions of the console that were begun with it end, too. --person, as the audit writes it:
    all tokens and sessions of theirs until now, whoever issued them.
    """
    if (token_id is None) == (person is None):
        raise click.UsageError("name a token's ID, or --person")
    actor = Actor(ActorKind.PERSON, name)
    with store_of(read_settings(config)) as store, store.transaction() as tx:
        if person is not None:
            counts = tx.one("revoke_person", person=person, actor=name)
            tx.record("person", actor, f"person {person}", after="revoked", **counts)
            told = f"{counts['tokens']} tokens and {counts['sessions']} sessions that we know of"
            click.echo(f"revoked by {name}: {told}, and all else from before now")
        elif tx.maybe("revoke_token", id=token_id, actor=name) is None:
            click.echo("it was revoked before")
        else:
            tx.record("token", actor, f"token {token_id}", after="revoked")
            click.echo(f"revoked by {name}")


def _told(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    known = row["name"] != ""  # else it was issued without us, and only its end is known
    ended = "expired" if row["expires_at"] <= now else "valid"
    return {
        "id": str(row["id"]),
        "name": row["name"] or None,
        "role": row["role"] if known else None,
        "scope": " ".join(row["scope"]) if row["scope"] else None,
        "status": "revoked" if row["revoked_at"] else ended,
        "issued_at": iso(row["issued_at"]) if known else None,
        "expires_at": iso(row["expires_at"]) if known else None,
        "last_used_at": iso(row["last_used_at"]),
        "revoked_at": iso(row["revoked_at"]),
        "revoked_by": row["revoked_by"],
    }
