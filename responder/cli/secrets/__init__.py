"""`secrets`: which versions of our own secrets are live, a new one, and the end of an old one."""

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from responder.cli.common import (
    Refusal,
    as_option,
    config_option,
    json_option,
    print_json,
    print_table,
    read_settings,
    store_of,
)
from responder.cli.secrets.made import maker, other_side
from responder.domain.actor import Actor, ActorKind
from responder.domain.secret import (
    Secret,
    SecretMissing,
    version_of,
    versions_in,
    with_version,
    without_version,
)
from responder.domain.settings import Settings
from responder.pipeline.secrets import FOUND, InUse, State, readable, see, versions
from responder.pipeline.secrets import retire as retire_version
from responder.settings import secrets_of


@click.group()
def secrets() -> None:
    """Our own secrets: their versions, ages and last use; never what they are."""


@secrets.command("list")
@config_option
@json_option
def list_secrets(config: Path, as_json: bool) -> None:
    """Each version that the settings name, and those that they named once."""
    settings = read_settings(config)
    here = {
        (key, version_of(key, value)): None
        for key, secret in secrets_of(settings)
        for value in readable(secret)
    }
    with store_of(settings) as store, store.transaction() as tx:
        items = versions(tx)
    known = {(item["key"], item["version"]) for item in items}
    items += [_unseen(key, version) for key, version in here if (key, version) not in known]
    items.sort(key=lambda item: item["key"])
    if as_json:
        print_json({"items": items, "next": None})
        return
    columns = ["key", "version", "state", "age_days", "first_seen", "last_used"]
    print_table(columns, map(_to_the_minute, items), "there are no secrets")


@secrets.command("rotate")
@click.argument("key")
@as_option
@config_option
def rotate(key: str, name: str, config: Path) -> None:
    """Write a newer version of a secret into its file, beside the old one: both are live.

    What others make (a pager's key, a role's URL) is read from standard input, or asked for.
    """
    settings = read_settings(config)
    secret = _secret(settings, key)
    path = _file(secret, key)
    live = _versions(secret, key)
    make = maker(settings, key)
    new = make() if make else _told(key)
    _check(key, new, live)
    with store_of(settings) as store, store.transaction() as tx:
        tx.run("lock_secrets")
        for version in live:
            see(tx, FOUND, key, version)
        text = _with(path, new)
        newest = version_of(key, versions_in(text)[0])
        see(tx, Actor(ActorKind.PERSON, name), key, newest)
        _rewrite(path, text)
    click.echo(f"{key} has the new version {newest}, before the older ones in {path}")
    click.echo(f"Hosts that have a copy of this file need the new one. {other_side(settings, key)}")
    for version in live:
        click.echo(f"when nobody uses the old one: responder secrets retire {key} {version}")


@secrets.command("retire")
@click.argument("key")
@click.argument("version")
@as_option
@config_option
def retire(key: str, version: str, name: str, config: Path) -> None:
    """Take an old version out of its file; refused when it was used in the last 24 hours."""
    settings = read_settings(config)
    secret = _secret(settings, key)
    live = _versions(secret, key)
    if version not in live:
        raise Refusal(f"{key} has no live version {version}; it has {', '.join(live)}")
    if len(live) == 1:
        first = f"first: responder secrets rotate {key}"
        raise Refusal(f"{version} is the only version of {key}; {first}")
    reference, value = live[version]
    kind, _, place = reference.partition(":")
    alone = kind == "env" or len(Secret((reference,)).values()) == 1
    with store_of(settings) as store, store.transaction() as tx:
        tx.run("lock_secrets")
        try:
            retire_version(tx, Actor(ActorKind.PERSON, name), key, version)
        except InUse as why:
            raise Refusal(f"{key} {version}: {why}") from None
        if not alone:
            path = Path(place).resolve()
            _rewrite(path, without_version(path.read_text(encoding="utf-8"), value))
    click.echo(f"{key} {version} is retired by {name}")
    if alone:
        click.echo(f'now take "{reference}" out of {key} in {config}, and restart each process')
    else:
        click.echo(f"it is out of {place}; hosts that have a copy of this file need the new one")


def _secret(settings: Settings, key: str) -> Secret:
    known = dict(secrets_of(settings))
    if key not in known:
        raise Refusal(f"no secret is configured as {key}; there are {', '.join(known)}")
    return known[key]


def _file(secret: Secret, key: str) -> Path:
    """The file of the newest version."""
    kind, _, place = secret.references[0].partition(":")
    if kind == "env":
        written = ", ".join(f'"{each}"' for each in secret.references)
        raise Refusal(
            f"{key} stands in the environment, which only you can change. Set the new value as"
            f" another variable, say {place}_NEW, write\n"
            f'  {key.rpartition(".")[2]} = ["env:{place}_NEW", {written}]\n'
            "into responder.toml and restart each process: then both are live. Retire the old one"
            " when nobody uses it, and see responder secrets list for that."
        )
    return Path(place).resolve()


def _versions(secret: Secret, key: str) -> dict[str, tuple[str, str]]:
    """Reference and value of each live version."""
    try:
        return {version_of(key, value): (place, value) for place, value in secret.versions()}
    except SecretMissing as missing:
        raise Refusal(f"{key}: {missing}") from None


def _told(key: str) -> str:
    """What somebody else has made; never an argument, which every user of the host can read."""
    if sys.stdin.isatty():
        return str(click.prompt(f"the new value of {key}", hide_input=True))
    return sys.stdin.readline().rstrip("\r\n")


def _check(key: str, new: str, live: dict[str, tuple[str, str]]) -> None:
    if not new.strip():
        raise Refusal("nothing was said; write the new value to standard input, in one line")
    if any(new == value for _, value in live.values()):
        raise Refusal(f"this is a live version of {key} already")


def _with(path: Path, new: str) -> str:
    try:
        return with_version(path.read_text(encoding="utf-8"), new)
    except ValueError as why:
        raise Refusal(
            f"{path} can have no second version: {why}. Put the new one into a file of its own, and"
            " write both into responder.toml, the newest first"
        ) from None


def _rewrite(path: Path, text: str) -> None:
    """All or nothing, with the same owner and rights."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        was = path.stat()
        beside.touch(mode=0o600, exist_ok=False)
        beside.write_text(text, encoding="utf-8")
        with suppress(PermissionError):  # then it is ours already, or cannot be
            os.chown(beside, was.st_uid, was.st_gid)
        beside.chmod(stat.S_IMODE(was.st_mode))
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise Refusal(
            f"{path} cannot be written: {error.strerror}. Nothing was changed; a file may hold"
            " several versions, one a line, the newest first: write it by hand where it comes from"
        ) from None


def _unseen(key: str, version: str) -> dict[str, Any]:
    """What the settings name and no running process has told of."""
    nothing = {"first_seen": None, "last_used": None, "age_days": None}
    return {"key": key, "version": version, **nothing, "state": State.LIVE}


def _to_the_minute(item: dict[str, Any]) -> dict[str, Any]:
    times = {name: item[name] for name in ("first_seen", "last_used")}
    return {**item, **{name: at and f"{at:%Y-%m-%d %H:%M}" for name, at in times.items()}}
