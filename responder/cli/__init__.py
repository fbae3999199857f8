"""The command line: one file a group; exit status 0 fine, 1 the check says no, 2 wrong usage."""

from importlib import import_module

import click

from responder import __version__

#: Where each command stands. Its module is read when it is asked for: reading all takes longer than
#: most commands do, and `work` needs nothing of the web.
_COMMANDS = {
    "audit": "audit",
    "check": "setup",
    "deliveries": "deliveries",
    "demo": "demo",
    "digest": "digest",
    "doctor": "doctor",
    "explain": "rules",
    "fixes": "fixes",
    "hold": "hold",
    "incidents": "incidents",
    "maintenance": "maintenance",
    "migrate": "processes",
    "notifications": "notifications",
    "retention": "retention",
    "roles": "roles",
    "rules": "rules",
    "secrets": "secrets",
    "serve": "processes",
    "token": "token",
    "up": "demo",
    "vault": "vault",
    "work": "processes",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command = getattr(import_module(f"responder.cli.{_COMMANDS[name]}"), name)
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="responder")
def main() -> None:
    """Answers alerts: diagnoses, fixes what is safe, tells people, and proves what it did."""
