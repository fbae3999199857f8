"""`check`: is everything that was configured as it must be?"""

from collections.abc import Iterator
from pathlib import Path

import click

from responder.app import load_catalogue
from responder.cli.common import (
    Refusal,
    config_option,
    json_option,
    print_json,
    read_settings,
    seen,
)
from responder.cli.redacted import redact_mistakes
from responder.cli.roles import excesses, lacks, rights_of
from responder.domain.secret import SecretMissing
from responder.domain.settings import Settings
from responder.pipeline.checklist import CheckWrong, question_for
from responder.runbook.catalogue import Catalogue
from responder.runbook.loader import RunbookWrong
from responder.settings import unreadable_secrets
from responder.store.migrations import (
    DatabaseAway,
    MigrationRefused,
    pending,
    same_server,
    why_away,
)


@click.command()
@config_option
@json_option
def check(config: Path, as_json: bool) -> None:
    """Name every mistake in settings, secrets, runbook and database; 1 when there is one."""
    settings = read_settings(config)
    mistakes = [
        *unreadable_secrets(settings),
        *runbook_mistakes(settings),
        *_database_mistakes(settings),
    ]
    roles, silent = _role_mistakes(settings)
    mistakes += roles
    if as_json:
        print_json({"ok": not mistakes, "mistakes": mistakes, "not_asked": silent})
    for said in [] if as_json else silent:
        click.echo(said)
    if mistakes:
        raise Refusal(f"{len(mistakes)} to mend:\n  " + "\n  ".join(mistakes))
    if not as_json:
        click.echo(_summary(settings))


def runbook_mistakes(settings: Settings) -> Iterator[str]:
    try:
        catalogue = load_catalogue(settings)
    except RunbookWrong as wrong:
        yield from wrong.mistakes
        return
    for name in settings.rules.keys() - catalogue.rules.keys():
        known = ", ".join(sorted(catalogue.rules))
        yield f"rules.{name}: there is no such rule; there are {known}"
    for contact in settings.contacts.values():
        for name in sorted({*contact.rules} - catalogue.rules.keys()):
            yield f"contacts.{contact.name}.rules: there is no rule {name!r}"
    kinds = {target.kind for target in settings.targets.values()}
    for rule in catalogue.rules.values():
        if rule.rule.target not in kinds:
            yield f"targets: rule {rule.name} needs a target of kind {rule.rule.target}"
    yield from redact_mistakes(settings, catalogue)
    yield from _check_mistakes(settings, catalogue)


def _check_mistakes(settings: Settings, catalogue: Catalogue) -> Iterator[str]:
    """Items of checklists whose question cannot be asked."""
    for place, window in enumerate(settings.windows):
        for phase, items in (("before", window.before), ("after", window.after)):
            for line, item in enumerate(items):
                try:
                    if item.check:
                        question_for(catalogue, settings, item)
                except CheckWrong as wrong:
                    yield f"windows[{place}].{phase}[{line}]: {wrong}"


def _database_mistakes(settings: Settings) -> Iterator[str]:
    try:
        url = settings.database.value()
        missing = pending(url)
        if missing:
            yield f"database: lacks {', '.join(missing)}; run: responder migrate"
        for name, target in settings.targets.items():
            if same_server(url, target.reading):
                yield (
                    f"targets.{name}: it is the server of our own database;"
                    " ours must stand when it falls"
                )
    except SecretMissing:
        return  # named among the secrets already
    except MigrationRefused as refused:
        yield f"database: {refused}"
    except DatabaseAway as away:
        yield f"database: it cannot be reached: {why_away(away)}"


def _role_mistakes(settings: Settings) -> tuple[list[str], list[str]]:
    """What the roles of targets can do too much or too little; and which targets did not say."""
    try:
        catalogue = load_catalogue(settings)
    except RunbookWrong:
        return [], []  # named already
    asked = list(rights_of(settings, catalogue))
    mistakes = [said for each in asked for said in (*excesses(each), *lacks(each))]
    silent = [
        f"targets.{each.target}: the {each.kind} role could not be looked at:"
        f" {each.error.kind}: {seen(each.error.message)}"
        for each in asked
        if each.error is not None
    ]
    return mistakes, silent


def _summary(settings: Settings) -> str:
    catalogue = load_catalogue(settings)
    counts = {
        "rules": len(catalogue.rules),
        "sources": len(settings.sources),
        "targets": len(settings.targets),
        "receivers": len(settings.receivers),
    }
    return "all is well: " + ", ".join(f"{count} {name}" for name, count in counts.items())
