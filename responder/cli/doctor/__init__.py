"""`doctor`: how is the responder that is running, and what helps?"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from responder import __version__
from responder.cli.common import config_option, json_option, print_json
from responder.cli.doctor.around import dead_man, door, issuers, keys, targets, written
from responder.cli.doctor.ours import ours
from responder.cli.doctor.sign import Sign, Status, bad
from responder.domain.secret import SecretMissing
from responder.domain.settings import Settings
from responder.settings import SettingsWrong, load
from responder.store import Store, StoreAway
from responder.store.migrations import DatabaseAway, MigrationRefused, pending, why_away

_COLOURS = {Status.OK: "green", Status.WARN: "yellow", Status.BAD: "red"}


@click.command()
@config_option
@json_option
def doctor(config: Path, as_json: bool) -> None:
    """Look at everything that must work at night, and say what helps; 1 when something is bad."""
    signs = list(_signs(config))
    counts = Counter(sign.status for sign in signs)
    if as_json:
        print_json({"ok": not counts[Status.BAD], "signs": [asdict(sign) for sign in signs]})
    else:
        _print(signs)
        told = (f"{counts[status]} {status}" for status in reversed(Status) if counts[status])
        click.echo("\n" + ", ".join(told))
    if counts[Status.BAD]:
        sys.exit(1)


def _signs(config: Path) -> Iterator[Sign]:
    try:
        settings = load(config)
    except SettingsWrong as wrong:
        for mistake in wrong.mistakes:
            yield bad("settings", mistake, "nothing more can be looked at before it is mended")
        return
    yield from written(settings, config)
    yield from keys(settings)
    yield from issuers(settings)
    yield from dead_man(settings)
    yield from door(settings)
    trouble = _database_trouble(settings)
    if trouble is not None:
        yield trouble
        yield from targets(settings, None)
        return
    database = settings.database.value()
    yield from _ask_ours(database, settings)
    yield from targets(settings, database)


def _database_trouble(settings: Settings) -> Sign | None:
    """Why our database cannot be asked."""
    try:
        missing = pending(settings.database.value())
    except SecretMissing as secret:
        return bad("database", f"cannot be asked: {secret}", "provide its URL")
    except MigrationRefused as refused:
        return bad("database", str(refused), "run the code that it belongs to")
    except DatabaseAway as away:
        said = f"cannot be reached: {why_away(away)}; senders get 503"
        return bad("database", said, "bring it up; what was accepted is in it")
    if missing:
        return bad("database", f"lacks {', '.join(missing)}", "run: responder migrate")
    return None


def _ask_ours(database: str, settings: Settings) -> Iterator[Sign]:
    store = Store(database, 2, __version__)
    store.open()
    try:
        yield from ours(store, settings)
    except StoreAway as away:
        yield bad("database", f"went away while it was asked: {away}", "run this again")
    finally:
        store.close()


def _print(signs: Sequence[Sign]) -> None:
    """Aligned; colours on a terminal alone."""
    width = max(len(sign.what) for sign in signs)
    for sign in signs:
        status = click.style(f"{sign.status:<4}", fg=_COLOURS[sign.status], bold=sign.do != "")
        do = click.style(f"  -> {sign.do}", bold=True) if sign.do else ""
        click.echo(f"{status}  {sign.what:<{width}}  {sign.says}{do}")
