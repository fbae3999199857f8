"""The command line: one file a group; exit status 0 fine, 1 the check says no, 2 wrong usage."""

import click

from responder import __version__
from responder.cli.audit import audit
from responder.cli.deliveries import deliveries
from responder.cli.demo import demo, up
from responder.cli.digest import digest
from responder.cli.doctor import doctor
from responder.cli.fixes import fixes
from responder.cli.hold import hold
from responder.cli.incidents import incidents
from responder.cli.maintenance import maintenance
from responder.cli.notifications import notifications
from responder.cli.processes import migrate, serve, work
from responder.cli.retention import retention
from responder.cli.roles import roles
from responder.cli.rules import explain, rules
from responder.cli.secrets import secrets
from responder.cli.setup import check
from responder.cli.token import token
from responder.cli.vault import vault


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="responder")
def main() -> None:
    """Answers alerts: diagnoses, fixes what is safe, tells people, and proves what it did."""


for command in (
    demo,
    up,
    serve,
    work,
    migrate,
    check,
    doctor,
    roles,
    rules,
    explain,
    incidents,
    notifications,
    deliveries,
    fixes,
    maintenance,
    digest,
    retention,
    hold,
    audit,
    token,
    vault,
    secrets,
):
    main.add_command(command)
