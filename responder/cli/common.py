"""What the commands share: the settings file, one way to fail, one way to print."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from responder.app import build
from responder.domain.secret import SecretMissing
from responder.domain.settings import Settings
from responder.pipeline.services import Services
from responder.runbook.loader import RunbookWrong
from responder.settings import SettingsWrong, load
from responder.store import StoreAway

F = TypeVar("F", bound=Callable[..., Any])

#: `--config FILE`, else RESPONDER_CONFIG, else responder.toml in the working directory.
config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="RESPONDER_CONFIG",
    default=Path("responder.toml"),
    show_default=True,
    help="The settings file.",
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


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], empty: str) -> None:
    """Aligned columns under a header; `empty` is said when there is nothing to show."""
    shown = [[str(row.get(column) or "-") for column in columns] for row in rows]
    if not shown:
        click.echo(empty)
        return
    table = [list(columns), *shown]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
