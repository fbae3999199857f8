"""What the commands share: the settings file, one way to fail, one way to print."""

import getpass
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from responder import __version__
from responder.app import build
from responder.domain.secret import SecretMissing
from responder.domain.settings import Settings
from responder.pipeline.services import Services
from responder.runbook.loader import LoadedRule, RunbookWrong
from responder.settings import SettingsWrong, load
from responder.store import Store, StoreAway
from responder.store.migrations import DatabaseAway, MigrationRefused, pending, why_away

F = TypeVar("F", bound=Callable[..., Any])


def said(longest: int = 200, optional: bool = False) -> Callable[..., Any]:
    """The callback of what a person says: a text that our database can keep."""

    def check(_: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
        if text is None and optional:
            return None
        if not text or not text.strip() or len(text) > longest:
            raise click.BadParameter(f"say something, in at most {longest} characters")
        if "\0" in text or text.encode(errors="replace").decode() != text:
            raise click.BadParameter("is no UTF-8 text")
        return text

    return check


def said_or_nothing(
    longest: int = 200,
) -> Callable[[click.Context, click.Parameter, str], str]:
    """The same of what need not be said."""
    check = said(longest)
    return lambda context, parameter, text: check(context, parameter, text) if text else text


#: `--config FILE`, else RESPONDER_CONFIG, else responder.toml in the working directory.
config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="RESPONDER_CONFIG",
    default=Path("responder.toml"),
    show_default=True,
    help="The settings file.",
)
#: Whose name the audit shows.
as_option = click.option(
    "--as", "name", callback=said(), default=getpass.getuser, help="Who does it.  [default: you]"
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Refusal(click.ClickException):
    """The answer is no; exit status 1, with what to do about it."""

    exit_code = 1


def read_settings(config: Path) -> Settings:
    """The settings, or a refusal with every mistake."""
    try:
        return load(config)
    except SettingsWrong as wrong:
        raise Refusal(str(wrong)) from None


@contextmanager
def services_of(config: Path) -> Iterator[Services]:
    """Services with an open store, for a command that asks our database something."""
    settings = read_settings(config)
    try:
        services = build(settings, pool_size=2)
        services.store.open()
        try:
            yield services
        finally:
            services.store.close()
    except RunbookWrong as wrong:
        raise Refusal("the runbook cannot be loaded:\n  " + "\n  ".join(wrong.mistakes)) from None
    except SecretMissing as missing:
        raise Refusal(str(missing)) from None
    except StoreAway as away:
        raise Refusal(f"{away}; is it running, and is it migrated (responder migrate)?") from None


@contextmanager
def store_of(settings: Settings) -> Iterator[Store]:
    """Our database alone, for a command that needs neither rules nor targets."""
    try:
        url = settings.database.value()
        missing = pending(url)
    except (SecretMissing, MigrationRefused) as refused:
        raise Refusal(str(refused)) from None
    except DatabaseAway as away:
        raise Refusal(f"our database cannot be reached: {why_away(away)}") from None
    if missing:
        raise Refusal(f"our database lacks {', '.join(missing)}; run: responder migrate")
    store = Store(url, 2, __version__)
    store.open()
    try:
        yield store
    except StoreAway as away:
        raise Refusal(f"{away}; is it running?") from None
    finally:
        store.close()


def write_key(out: Path, content: str) -> None:
    """A new file that only we can read."""
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refusal(f"{out} exists; a key is never overwritten, name a new file") from None
    except OSError as error:
        raise Refusal(f"{out} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)


def rule_of(services: Services, name: str) -> LoadedRule:
    """The loaded rule of this name."""
    rule = services.catalogue.rules.get(name)
    if rule is None:
        raise Refusal(f"there is no rule {name}; there are {', '.join(services.catalogue.rules)}")
    return rule


def seen(text: str) -> str:
    """What somebody outside may have said, for a terminal: one line, nothing that it would obey."""
    return "".join(each if each.isprintable() else " " for each in text)


def print_json(value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    shown = (
        each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text
    )
    click.echo("".join(shown))


def print_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], empty: str) -> None:
    """Aligned columns under a header; `empty` is said when there is nothing to show."""
    shown = [[seen(str(row.get(column) or "-")) for column in columns] for row in rows]
    if not shown:
        click.echo(empty)
        return
    table = [list(columns), *shown]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
