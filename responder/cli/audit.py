"""`audit`: what was done, and the proof that nobody changed it since."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
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
    seen,
    store_of,
)
from responder.domain.actor import Actor, ActorKind
from responder.domain.duration import parse_duration
from responder.domain.secret import SecretMissing
from responder.domain.witnessed import read_exact
from responder.pipeline.audit.bundle import NoSuchIncident, bundle_text, make_bundle
from responder.pipeline.audit.forks import NoFork, state_fork
from responder.pipeline.audit.keys import PublicKeys, SigningKeys, keys_that_verify, public_keys
from responder.pipeline.audit.report import Report
from responder.pipeline.audit.search import Search, find_events
from responder.pipeline.audit.unbundle import NotABundle, check_bundle
from responder.pipeline.audit.verify import files_of, verify_all
from responder.settings import SettingsWrong, load

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


def _moment(_: click.Context, parameter: click.Parameter, text: str | None) -> datetime | None:
    """A time, or how long ago it was."""
    if text is None:
        return None
    try:
        return datetime.now(UTC) - parse_duration(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("write 30d, or a time such as 2026-01-31T12:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _place(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[datetime, UUID] | None:
    """Behind which event a page begins."""
    if text is None:
        return None
    moment, _, event_id = text.partition("/")
    try:
        return datetime.fromisoformat(moment), UUID(event_id)
    except ValueError:
        raise click.BadParameter("is no `next` of a page before") from None


@click.group()
def audit() -> None:
    """What was done by whom, and the proof of it."""


@audit.command("show")
@click.option("--incident", type=click.UUID, help="Of this incident.")
@click.option("--actor", help="By this person or program.")
@click.option("--rule", help="Of incidents that this rule answers.")
@click.option("--target", help="Of incidents on this target.")
@click.option("--what", help="Only this, such as fix, status, autofix, token.")
@click.option("--subject", help='About this, such as "autofix".')
@click.option("--since", callback=_moment, help="From this time on, or so long ago: 30d.")
@click.option("--until", callback=_moment, help="Before this time, or so long ago.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@click.option("--before", callback=_place, help="Go on from here: `next` of the page before.")
@config_option
@json_option
def show(
    config: Path, as_json: bool, limit: int, before: tuple[datetime, UUID] | None, **asked: Any
) -> None:
    """The newest events that meet all of these; with a rule or a target incident by incident."""
    search = Search(**asked)
    with store_of(read_settings(config)) as store, store.transaction() as tx:
        rows = find_events(tx, search, limit + 1, *(before or ()))
    shown = rows[:limit]
    last = shown[-1] if len(rows) > limit else None
    following = f"{last[search.orders_by].isoformat()}/{last['id']}" if last else None
    if as_json:
        print_json({"items": shown, "next": following})
        return
    columns = ["at", "actor", "what", "before", "after", "subject"]
    table = [{**row, "at": row["at"].isoformat(timespec="seconds")} for row in shown]
    print_table(columns, table, "there are no such events")
    if following:
        click.echo(f"there are more: --before {following}")


@audit.command("verify")
@click.argument("file", required=False, type=_FILE)
@click.option("--since", callback=_moment, help="Only what was sealed from then on: 30d.")
@click.option("--copy", "copies", multiple=True, type=_FILE, help="A copy of seals to compare.")
@click.option("--keys", type=_FILE, help="The public keys that FILE must be signed with.")
@config_option
@json_option
def verify(
    file: Path | None,
    since: datetime | None,
    copies: tuple[Path, ...],
    keys: Path | None,
    config: Path,
    as_json: bool,
) -> None:
    """Name what was altered, added, deleted or reordered since; 1 when there is something.

    With FILE, a bundle of `audit export`, our database is not needed.
    """
    try:
        if file is not None:
            report = _verify_file(file, keys, config)
        else:
            with store_of(settings := read_settings(config)) as store, store.snapshot() as tx:
                report = verify_all(tx, settings.seal, since, copies, _progress(as_json))
    except (SecretMissing, NotABundle) as refused:
        raise Refusal(str(refused)) from None
    except OSError as error:
        raise Refusal(f"{error.filename} cannot be read: {error.strerror}") from None
    if as_json:
        print_json(report.to_json())
    else:
        _print(report)
    if not report.ok:
        sys.exit(1)


def _verify_file(file: Path, keys: Path | None, config: Path) -> Report:
    try:
        bundle = read_exact(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise NotABundle(f"{file} is not a bundle of responder audit export: {error}") from None
    return check_bundle(bundle, _known_keys(keys, config))


def _known_keys(keys: Path | None, config: Path) -> PublicKeys | None:
    """The keys that were handed in, else those of the settings, where there are any."""
    if keys is not None:
        return public_keys(keys.read_text(encoding="utf-8"))
    try:
        settings = load(config)
        return keys_that_verify(settings.seal.key) if settings.seal else None
    except (SettingsWrong, SecretMissing):
        return None


def _progress(quiet: bool) -> Callable[[str], None]:
    """On a terminal, one line that changes."""
    if quiet or not sys.stderr.isatty():
        return lambda said: None
    return lambda said: click.echo(f"\r{said} ...", nl=False, err=True)


def _print(report: Report) -> None:
    for trouble in report.troubles:
        click.echo(seen(trouble.sentence))
    if report.trouble_count > len(report.troubles):
        click.echo(f"and {report.trouble_count - len(report.troubles)} more")
    for note in report.notes:
        click.echo(seen(f"note: {note}"))
    last = f", the last is {report.last_seal}" if report.last_seal else ""
    click.echo(f"looked at {report.looked_at}: {report.seals} seals{last}")
    click.echo(f"{report.events} events and {report.rows} rows")
    if report.unsealed or report.backlog:
        since = timedelta(seconds=round(report.unsealed_seconds))
        waiting = report.unsealed + report.backlog
        click.echo(f"not sealed yet: {waiting} events, the oldest for {since}")
    if report.unproven_rows:
        click.echo(f"not provable: {report.unproven_rows} rows are older than the seals")
    for name, last_there in report.copies.items():
        click.echo(f"copy {seen(name)}: up to seal {last_there or 'none'}")
    click.echo("nothing was changed" if report.ok else f"{report.trouble_count} things are wrong")


@audit.command("fork")
@click.option("--reason", required=True, callback=said(), help="What happened.")
@click.option("--copy", "copies", multiple=True, type=_FILE, help="A copy of seals, beside [seal].")
@as_option
@config_option
def fork(reason: str, copies: tuple[Path, ...], name: str, config: Path) -> None:
    """State that a failover of our database lost the seals that only the copies have.

    Look first at what they are, with `audit verify`; afterwards they are no alarm any more.
    """
    settings = read_settings(config)
    if settings.seal is None:
        raise Refusal("without [seal] there are no seals that could be lost")
    ours = [path for path in files_of(settings.seal) if path.exists()]
    actor = Actor(ActorKind.PERSON, name)
    try:
        keys = SigningKeys(settings.seal.key)
        with store_of(settings) as store, store.transaction() as tx:
            lost = state_fork(tx, keys, [*ours, *copies], actor, reason)
    except (SecretMissing, NoFork) as refused:
        raise Refusal(str(refused)) from None
    except OSError as error:
        raise Refusal(f"{error.filename} cannot be read: {error.strerror}") from None
    events = sum(seal.events for seal in lost)
    click.echo(f"{len(lost)} seals over {events} events are stated to be lost in a failover:")
    for seal in lost:
        click.echo(f"seal {seal.number} of {seal.at.isoformat(timespec='seconds')}")


@audit.command("export")
@click.argument("incident", metavar="ID", type=click.UUID)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A new file.")
@config_option
def export(incident: UUID, out: Path | None, config: Path) -> None:
    """All that was done about an incident, with its proofs: `audit verify FILE` checks it."""
    settings = read_settings(config)
    if settings.seal is None:
        raise Refusal("without [seal] there is nothing to prove it with; see docs/settings.md")
    try:
        keys = SigningKeys(settings.seal.key)
        with store_of(settings) as store, store.snapshot() as tx:
            text = bundle_text(make_bundle(tx, keys, incident))
        if out is None:
            click.echo(text, nl=False)
        else:
            with out.open("x", encoding="utf-8") as file:
                file.write(text)
            click.echo(f"incident {incident} is in {out}")
    except SecretMissing as missing:
        raise Refusal(str(missing)) from None
    except NoSuchIncident:
        raise Refusal(f"there is no incident {incident}") from None
    except OSError as error:
        raise Refusal(f"{out} cannot be written: {error.strerror}") from None


@audit.command("keys")
@config_option
def keys_command(config: Path) -> None:
    """The public keys of [seal], for whoever verifies a bundle elsewhere."""
    settings = read_settings(config)
    if settings.seal is None:
        raise Refusal("there is no [seal] in the settings")
    try:
        print_json(keys_that_verify(settings.seal.key).to_json())
    except SecretMissing as missing:
        raise Refusal(str(missing)) from None
