"""Is the audit what it was? All of it from the command line, a bounded part of it in place."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

from responder.domain.settings import SealSettings
from responder.pipeline.audit.copies import is_url, name_of
from responder.pipeline.audit.forks import read_forks
from responder.pipeline.audit.keys import PublicKeys, keys_that_verify
from responder.pipeline.audit.proving import (
    Chain,
    check_added,
    check_copy,
    check_dropped,
    check_portion,
    check_seals,
    check_unsealed,
    read_dropped,
)
from responder.pipeline.audit.report import Kind, Report
from responder.pipeline.audit.rows import check_incidents, check_rows, check_rule_sources
from responder.store import Transaction

#: Events that are looked at in place, at most: less than a second of work.
IN_PLACE = 5_000


def keys_of(settings: SealSettings | None) -> PublicKeys:
    """The keys of [seal]; none of them without it. SecretMissing."""
    return keys_that_verify(settings.key) if settings else PublicKeys(())


def files_of(settings: SealSettings | None) -> list[Path]:
    """The copies of [seal] that are files."""
    return [Path(each) for each in settings.copy_to if not is_url(each)] if settings else []


def verify_all(
    tx: Transaction,
    settings: SealSettings | None,
    since: datetime | None = None,
    copies: Sequence[Path] = (),
    progress: Callable[[str], None] = lambda said: None,
) -> Report:
    """Every seal, event and row, and the copies outside; tx: a snapshot. SecretMissing, OSError.

    since: only what was sealed or recorded from then on. copies: files beside those of [seal].
    """
    keys = keys_of(settings)
    told = f"from {since.isoformat()} on" if since else "all of it"
    report = Report(told)
    read_dropped(tx, report)
    begins = check_seals(tx, report, keys, since, progress)
    check_dropped(report)
    check_unsealed(tx, report)
    check_added(tx, report, since)
    check_rows(tx, report, since, progress)
    check_rule_sources(tx, report)
    for place in settings.copy_to if settings else ():
        if is_url(place):
            report.notes.append(f"{name_of(place)}: not compared; get its seals, and --copy FILE")
    ours, forks = files_of(settings), read_forks(tx, keys)
    for path in [*ours, *copies]:
        if path in ours and not path.exists():
            report.notes.append(f"{path}: not compared; it is not on this host")
            continue
        check_copy(tx, report, keys, path, begins, forks)
    return report


def verify_newest(tx: Transaction, settings: SealSettings | None) -> Report:
    """In place: the newest seals, of about IN_PLACE events, and what waits for one."""
    report = Report(f"the newest seals, of about {IN_PLACE} events")
    read_dropped(tx, report)
    number = tx.one("seal_ahead_of", events=IN_PLACE)["number"]
    rows = tx.all("seals_after", number=number, events=2 * IN_PLACE)
    if rows:
        chain = Chain(first=1 if number == 0 else None)
        check_portion(tx, report, keys_of(settings), chain, rows)
    check_unsealed(tx, report)
    return report


def verify_incident(tx: Transaction, settings: SealSettings | None, incident_id: UUID) -> Report:
    """In place: the events of one incident in their seals, and its rows."""
    report = Report(f"the events and rows of incident {incident_id}")
    read_dropped(tx, report)
    keys = keys_of(settings)
    covered: set[UUID] = set()
    for event in tx.all("events_to_prove", id=incident_id, limit=IN_PLACE):
        if event["waits"]:
            report.unsealed += 1
        if event["waits"] or event["id"] in covered:
            continue
        seal = tx.maybe("seal_of_event", **{name: event[name] for name in ("id", "at", "filed_at")})
        if seal is None:
            says = "it is in none of the seals made after it, and waits for none"
            about = {"at": event["at"], "what": event["what"], "actor": event["actor"]}
            report.found(Kind.ADDED, f"event {event['id']}", says, **about)
        else:
            covered.update(seal["ids"])
            check_portion(tx, report, keys, Chain(), [seal])
    check_incidents(tx, report, (incident_id,))
    return report
