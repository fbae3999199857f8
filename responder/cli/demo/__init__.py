"""`demo`: the whole way of an alert, for real, on this machine; `up`: with your settings."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import click

from responder.cli.common import Refusal, config_option, read_settings
from responder.cli.demo.api import Api
from responder.cli.demo.chapters import STORIES, tell
from responder.cli.demo.children import ChildFailed, supervise
from responder.cli.demo.databases import make_database
from responder.cli.demo.described import described
from responder.cli.demo.screen import Screen
from responder.cli.demo.story import Story
from responder.cli.demo.world import World, open_world, start_responder
from responder.domain.secret import SecretMissing
from responder.domain.settings import Settings
from responder.embedded import LocalPostgres, PostgresNotFound, PostgresNotStarted
from responder.settings import unreadable_secrets
from responder.store.migrations import DatabaseAway, MigrationRefused, migrate

#: What makes the secrets that nobody else gives us.
_MADE_BY = {"token_keys is made": "token keys", "vault.keys is made": "vault key"}


@click.command()
@click.option("--once", is_flag=True, help="End after the story; 1 if any of it did not happen.")
@click.option("--story", "name", type=click.Choice(list(STORIES)), help="Only this one, not all.")
@click.option("--json", "as_json", is_flag=True, help="No story: one line of JSON, then stay up.")
def demo(once: bool, name: str | None, as_json: bool) -> None:
    """Show an alert come in, a fault repaired and a pager told, all for real."""
    if once and as_json:
        raise click.UsageError("--once ends after the story and --json tells none; give one")
    if name and as_json:
        raise click.UsageError("--story tells one and --json tells none; give one")
    missed: list[str] = []
    with _ended_by_signals() as ending, _refused(), open_world(_progress) as world:
        if as_json:
            click.echo(json.dumps(described(world)))
        else:
            missed = _tell(world, once, name or "")
        if not once:
            ending.is_fine = True
            supervise(world.children, _progress)
    if missed:
        raise Refusal(f"{len(missed)} of the story did not happen:\n  " + "\n  ".join(missed))


@click.command()
@config_option
@click.option("--bind", default="127.0.0.1:8000", envvar="RESPONDER_BIND", show_default=True)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep our database in this folder; else it is gone at the end.",
)
def up(config: Path, bind: str, data: Path | None) -> None:
    """Run all of it on this machine with your settings.

    Our database is DATABASE_URL, or a PostgreSQL of its own when that is not set.
    """
    if not config.exists():
        raise Refusal(
            f"there is no {config}; copy docs/examples/responder.toml and change it,"
            " or name yours with --config"
        )
    settings = read_settings(config)
    with _ended_by_signals() as ending, _refused(), ExitStack() as stack:
        _provide_database(stack, settings, data)
        unreadable = unreadable_secrets(settings)
        if unreadable:
            made = [f"{key} by: responder {made} --out FILE" for key, made in _MADE_BY.items()]
            raise Refusal("\n  ".join(["secrets are missing:", *unreadable, *made]))
        migrate(settings.database.value())
        logs = Path(stack.enter_context(TemporaryDirectory(prefix="responder-up-")))
        children = start_responder(stack, logs, config, bind)
        _progress(f"up at http://{bind}; logs in {logs}; Ctrl-C stops it")
        issue = f"responder token issue --config {config} --name NAME --role operator"
        _progress(f"console at http://{bind}/console/, with a token: {issue}")
        ending.is_fine = True
        supervise(children, _progress)


def _tell(world: World, once: bool, name: str) -> list[str]:
    """The story, and what to do next; what did not happen."""
    screen, api, began = Screen(), Api(world), time.monotonic()
    story = Story(world, api, screen)
    tell(story, name)
    api.close()
    seconds = time.monotonic() - began
    if story.missed:
        screen.title(f"{len(story.missed)} of it did not happen", f"{seconds:.0f} s")
        for what in story.missed:
            screen.bad(what)
    else:
        screen.title("All of it happened", f"{seconds:.0f} s")
    if once:
        screen.line("next", "without --once everything stays up, for you to try out")
    else:
        _say_what_next(world, screen)
    return story.missed


def _say_what_next(world: World, screen: Screen) -> None:
    token = f'"Authorization: Bearer $(cat {world.folder}/admin_token)"'
    screen.line("next", "it stays up, and the shop goes on working; Ctrl-C ends it")
    screen.line("the console", f"{world.url}/console/ opens with this token, as an admin:")
    screen.raw(world.tokens["admin"])
    screen.line("incidents", "")
    screen.raw(f"curl -s -H {token} {world.url}/v1/incidents")
    screen.line("an alert", "from you: post it as Alertmanager does")
    screen.raw(f'curl -s -H "Authorization: Bearer $(cat {world.folder}/bearer)" \\')
    screen.raw(f"  -d @tests/payloads/alertmanager/v4_firing.json {world.webhook_url}")
    screen.line("the pager", f"{world.pager.url}/received")
    screen.line("the shop", "")
    screen.raw(f"psql '{world.shops['shop'].url}'")
    screen.line("the API", f"{world.url}/docs")
    screen.line("logs", ", ".join(str(child.log) for child in world.children))
    screen.line("settings", str(world.folder / "responder.toml"))


def _provide_database(stack: ExitStack, settings: Settings, data: Path | None) -> None:
    """A PostgreSQL of our own when the settings ask for DATABASE_URL and nobody has set it."""
    if settings.database.references != ("env:DATABASE_URL",) or os.environ.get("DATABASE_URL"):
        return
    server = stack.enter_context(LocalPostgres(folder=data, port=0))
    os.environ["DATABASE_URL"] = make_database(server, "responder")


def _progress(text: str) -> None:
    click.echo(text, err=True)


class _Signalled(BaseException):
    """Somebody wants us to end; never caught on the way out."""

    def __init__(self, number: int) -> None:
        self.number = number


class _Ending:
    """Whether a signal is the expected end, or cuts something short."""

    is_fine = False


@contextmanager
def _ended_by_signals() -> Iterator[_Ending]:
    """SIGINT and SIGTERM unwind everything in order, once; later ones do not disturb that."""
    ending = _Ending()
    signals = (signal.SIGINT, signal.SIGTERM)

    def end(number: int, _: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise _Signalled(number)

    before = {each: signal.signal(each, end) for each in signals}
    try:
        yield ending
    except _Signalled as signalled:
        if not ending.is_fine:
            sys.exit(128 + signalled.number)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _refused() -> Iterator[None]:
    """What somebody at the terminal can mend, as one message."""
    mistakes = (ChildFailed, PostgresNotFound, PostgresNotStarted, MigrationRefused, SecretMissing)
    try:
        yield
    except mistakes as error:
        raise Refusal(str(error)) from None
    except DatabaseAway as error:
        said = str(error).strip().partition("\n")[0]
        raise Refusal(f"our database cannot be reached: {said}") from None
