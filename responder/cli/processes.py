"""`serve`, `work` and `migrate`: what runs in production."""

import os
import sys
from pathlib import Path
from tempfile import mkdtemp

import click

from responder.app import build, load_catalogue
from responder.cli.common import Refusal, config_option, read_settings
from responder.cli.roles import too_much
from responder.domain.secret import SecretMissing
from responder.domain.settings import Settings
from responder.log import configure
from responder.runbook.catalogue import Catalogue
from responder.runbook.loader import RunbookWrong
from responder.store.migrations import DatabaseAway, MigrationRefused, pending, why_away
from responder.store.migrations import migrate as apply_migrations
from responder.store.vault import read_keys
from responder.worker import run


@click.command()
@config_option
@click.option("--bind", default="127.0.0.1:8000", envvar="RESPONDER_BIND", show_default=True)
@click.option(
    "--workers",
    default=2,
    type=click.IntRange(1),
    show_default=True,
    help="Web processes; as many as cores.",
)
@click.option(
    "--metrics",
    metavar="HOST:PORT",
    callback=lambda _, __, address: _checked(address),
    help="Serve /metrics there too, without a token: for a private network.",
)
def serve(config: Path, bind: str, workers: int, metrics: str | None) -> None:
    """Receive webhooks and serve the API, with gunicorn."""
    if metrics and _port(metrics) == _port(bind):
        raise click.UsageError("--metrics needs another port than --bind")
    _ready(read_settings(config))
    os.environ["RESPONDER_CONFIG"] = str(config.resolve())
    os.environ["RESPONDER_WEB_WORKERS"] = str(workers)
    os.environ["RESPONDER_METRICS_PORT"] = _port(metrics) if metrics else ""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = mkdtemp(prefix="responder-metrics-")
    arguments = ["-m", "gunicorn", "-c", "python:responder.web.gunicorn_conf", "--bind", bind]
    more = ["--bind", metrics] if metrics else []
    os.execv(sys.executable, [sys.executable, *arguments, *more])


def _checked(address: str | None) -> str | None:
    """HOST:PORT with both written, so that nobody opens a door to everybody by leaving one out."""
    host, _, port = (address or "").rpartition(":")
    if address is not None and not (host and port.isdecimal() and 0 < int(port) < 65536):
        raise click.BadParameter("write it as HOST:PORT, such as 10.0.0.5:9100")
    return address


def _port(address: str) -> str:
    return address.rpartition(":")[2]


@click.command()
@config_option
@click.option(
    "--slots",
    default=8,
    type=click.IntRange(2),
    show_default=True,
    help="Jobs at once; a quarter for P0/P1.",
)
def work(config: Path, slots: int) -> None:
    """Diagnose, fix, verify and notify, until SIGTERM."""
    settings = read_settings(config)
    catalogue = _ready(settings)
    configure()
    run(build(settings, pool_size=slots * 2 + 4, catalogue=catalogue), slots)


@click.command()
@config_option
@click.option("--check", is_flag=True, help="Apply nothing; exit with 1 when something is missing.")
@click.option("--grant-to", metavar="ROLE", help="As which the responder runs: docs/audit.md.")
def migrate(config: Path, check: bool, grant_to: str | None) -> None:
    """Bring our database to the schema of this version."""
    settings = read_settings(config)
    try:
        url = settings.database.value()
        names = pending(url) if check else apply_migrations(url, grant_to=grant_to)
    except (MigrationRefused, SecretMissing) as refused:
        raise Refusal(str(refused)) from None
    except DatabaseAway as away:
        raise Refusal(f"our database cannot be reached: {why_away(away)}") from None
    for name in names:
        click.echo(f"{'missing' if check else 'applied'} {name}")
    if not names:
        click.echo("the schema is up to date")
    if check and names:
        raise Refusal("run: responder migrate")


def _can_encrypt(settings: Settings) -> None:
    """What is encrypted must be readable from the first delivery on."""
    try:
        list(read_keys(settings.vault.keys))
    except (SecretMissing, ValueError) as wrong:
        place = settings.vault.keys.references[0].removeprefix("file:")
        raise Refusal(
            f"vault.keys: {wrong}\n  raw deliveries and the rows that an undo needs are encrypted"
            f" with it; a new installation makes it with: responder vault key --out {place}"
        ) from None


def _ready(settings: Settings) -> Catalogue:
    """The rules, loaded; refuse to start on what would fail later, with all mistakes of rules.

    A role that can do more than it needs is refused, too; a target that does not answer is not.
    """
    try:
        catalogue = load_catalogue(settings)
        database = settings.database.value()
        missing = pending(database)
    except RunbookWrong as wrong:
        raise Refusal("the runbook cannot be loaded:\n  " + "\n  ".join(wrong.mistakes)) from None
    except (SecretMissing, MigrationRefused) as refused:
        raise Refusal(str(refused)) from None
    except DatabaseAway as away:
        raise Refusal(f"our database cannot be reached: {why_away(away)}") from None
    if missing:
        raise Refusal(f"our database lacks {', '.join(missing)}; run: responder migrate")
    _can_encrypt(settings)
    excess = list(too_much(settings, catalogue, database))
    if excess:
        raise Refusal("roles of targets can do too much:\n  " + "\n  ".join(excess))
    return catalogue
