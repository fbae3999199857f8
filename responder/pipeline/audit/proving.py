"""Seals against the events that they cover, and against their copies outside.

All that can be wrong is named: the first thing first, in the order of the seals.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from responder.domain.merkle import root_of, split
from responder.domain.seal import Seal
from responder.pipeline.audit.copies import read_copy
from responder.pipeline.audit.keys import PublicKeys
from responder.pipeline.audit.report import Dropped, Kind, Report, month_of
from responder.pipeline.audit.sealing import GONE, seal_from_row
from responder.store import Transaction

#: Events of one look, and things of one kind that are worth naming.
_PORTION = 20_000
_LINES = 1_000
_WORTH_NAMING = 100
#: Our database drops nothing younger (responder.drop_partition): whoever says so is not retention.
_YOUNGEST = timedelta(days=30)


@dataclass
class Chain:
    """How far the seals were followed; first: the number that must come first, if it is known."""

    last: Seal | None = None
    first: int | None = None

    def check(self, report: Report, keys: PublicKeys, seal: Seal, leaves: Sequence[bytes]) -> None:
        """One more seal: it follows the one before, is signed by us, and is about these leaves."""
        named = f"seal {seal.number}"
        expected = self.last.number + 1 if self.last else self.first or seal.number
        if seal.number > expected:
            few = seal.number - expected == 1
            lost = f"seal {expected}" if few else f"seals {expected} to {seal.number - 1}"
            report.found(Kind.MISSING, lost, f"{named} comes behind a gap")
        elif self.last is not None and seal.previous != self.last.digest:
            report.found(Kind.ALTERED, named, f"it does not follow seal {self.last.number}")
        if not keys.knows(seal.kid):
            report.found(Kind.ALTERED, named, f"it is signed with {seal.kid!r}, no key of ours")
        elif not keys.verifies(seal.kid, seal.signature, seal.text):
            report.found(Kind.ALTERED, named, "its signature is not of what it says")
        if len(leaves) != seal.events or not leaves or root_of(leaves) != seal.root:
            report.found(Kind.ALTERED, named, "its leaves do not have its root")
        if self.last and _server(seal) != _server(self.last):
            said = f"from {named} on our database was on another server or timeline"
            report.notes.append(said)
        self.last = seal
        report.seals += 1
        report.last_seal = seal.number


def check_seals(
    tx: Transaction,
    report: Report,
    keys: PublicKeys,
    since: datetime | None,
    progress: Callable[[str], None],
) -> int:
    """All seals since then and their events; the number of the last seal before them."""
    before = tx.maybe("seal_before", since=since) if since else None
    chain = Chain(seal_from_row(before) if before else None, first=1)
    begins = number = chain.last.number if chain.last else 0
    while rows := tx.all("seals_after", number=number, events=_PORTION):
        check_portion(tx, report, keys, chain, rows)
        number = rows[-1]["number"]
        progress(f"{report.seals} seals, {report.events} events")
    return begins


def check_portion(
    tx: Transaction,
    report: Report,
    keys: PublicKeys,
    chain: Chain,
    rows: Sequence[Mapping[str, Any]],
) -> None:
    """These seals and their events."""
    covered: list[Covered] = []
    for row in rows:
        chain.check(report, keys, seal_from_row(row), split(bytes(row["leaves"])))
        listed = list(_covered(row))
        if not len(listed) == len(row["ids"]) == len(row["filed"]) == row["events"]:
            says = f"it lists {len(listed)} events, not its {row['events']}"
            report.found(Kind.ALTERED, f"seal {row['number']}", says)
        covered += listed
    there = _leaves_there(tx, covered)
    by_leaf = {leaf: event.id for event, leaf in zip(covered, there, strict=True) if leaf}
    for event, leaf in zip(covered, there, strict=True):
        _check_event(tx, report, event, leaf, by_leaf)


@dataclass(frozen=True)
class Covered:
    """An event as its seal has it."""

    seal: int
    filed_at: datetime
    id: UUID
    leaf: bytes


def _covered(row: Mapping[str, Any]) -> Iterator[Covered]:
    """Its events; of lists that were edited only what is an event."""
    for filed_at, event_id, leaf in zip(
        row["filed"], row["ids"], split(bytes(row["leaves"])), strict=False
    ):
        if isinstance(filed_at, datetime) and isinstance(event_id, UUID):
            yield Covered(row["number"], filed_at, event_id, leaf)


def _leaves_there(tx: Transaction, covered: Sequence[Covered]) -> list[bytes | None]:
    """What the events that are there come to."""
    if not covered:
        return []
    filed = tuple(each.filed_at for each in covered)
    asked = {"filed": filed, "ids": tuple(each.id for each in covered)}
    rows = tx.all("leaves", **asked, filed_from=min(filed), filed_to=max(filed))
    return [bytes(row["leaf"]) if row["there"] else None for row in rows]


def _check_event(
    tx: Transaction,
    report: Report,
    event: Covered,
    leaf: bytes | None,
    by_leaf: Mapping[bytes, UUID],
) -> None:
    report.events += 1
    if leaf == event.leaf:
        return
    where, subject = {"seal": event.seal}, f"event {event.id}"
    if event.leaf == GONE:
        report.found(Kind.MISSING, subject, "it was deleted before it was sealed", **where)
    elif leaf is None:
        dropped = report.was_dropped(event.filed_at)
        if dropped is None:
            says = f"it was filed at {event.filed_at.isoformat()} and is gone"
            report.found(Kind.MISSING, subject, says, **where)
        else:
            counts = report.dropped_events
            counts[dropped.partition] = counts.get(dropped.partition, 0) + 1
    else:
        known = tx.one("event_named", filed_at=event.filed_at, id=event.id)
        moved = by_leaf.get(event.leaf, event.id) != event.id
        kind = Kind.REORDERED if moved else Kind.ALTERED
        says = "another event stands in its place" if moved else "it is not what was sealed"
        report.found(kind, subject, says, **where, **known)


def read_dropped(tx: Transaction, report: Report) -> None:
    """Months that retention dropped, by its own records; one without a month counts for none."""
    for row in tx.all("dropped_partitions"):
        try:
            told = row["details"]
            if "month" in told:  # the rows of its incidents
                gone, known = Dropped(row["subject"], *month_of(told["month"])), report.dropped_rows
            elif "events" in told:
                begins, ends = map(datetime.fromisoformat, (told["begins"], told["ends"]))
                gone = Dropped(row["subject"], begins, ends, int(told["events"]))
                known = report.dropped
            else:
                continue
            if gone.ends <= min(row["at"], tx.now) - _YOUNGEST:
                known.append(gone)
        except (ValueError, KeyError, TypeError, OverflowError):
            continue


def check_dropped(report: Report) -> None:
    """Retention dropped as many events as it said."""
    for each in report.dropped:
        gone = report.dropped_events.get(each.partition, 0)
        if gone > each.events:
            says = f"{gone} sealed events of it are gone, and retention dropped {each.events}"
            report.found(Kind.MISSING, each.partition, says)
        elif each.events:
            report.notes.append(f"{each.partition}: {each.events} events dropped by retention")


def check_unsealed(tx: Transaction, report: Report) -> None:
    """What waits for a seal is there, and is said."""
    waiting = tx.one("unsealed")
    report.unsealed, report.unsealed_seconds = waiting["events"], waiting["seconds"]
    for row in tx.all("lost_unsealed", limit=_WORTH_NAMING):
        report.found(Kind.MISSING, f"event {row['id']}", "it was deleted before it was sealed")


def check_added(tx: Transaction, report: Report, since: datetime | None) -> None:
    """No event is there that is in no seal and waits for none; none is in two."""
    counts = tx.one("count_events")
    report.unsealed, report.backlog = counts["unsealed"], counts["backlog"]
    dropped = sum(report.dropped_events.values())
    known = report.events - dropped + counts["unsealed"] + counts["backlog"]
    # Not by counting alone: an event that is in two seals would make up for one that is in none.
    for row in tx.all("added_events", since=since, limit=_WORTH_NAMING):
        says = "it is in no seal and waits for none"
        about = {name: row[name] for name in ("at", "what", "actor")}
        report.found(Kind.ADDED, f"event {row['id']}", says, **about, about=row["subject"])
    if since is not None or counts["events"] == known:
        return
    for row in tx.all("sealed_twice", limit=_WORTH_NAMING):
        says = f"it is in the seals {row['first']} and {row['last']}"
        report.found(Kind.ADDED, f"event {row['id']}", says)


def check_copy(
    tx: Transaction,
    report: Report,
    keys: PublicKeys,
    path: Path,
    begins: int,
    forks: Mapping[bytes, str],
) -> None:
    """The seals of a file outside are ours, and ours has no fewer. OSError.

    forks: what is stated of seals that a failover lost, by their digest.
    """
    name, stated, strange = str(path), Counter[str](), 0
    report.copies[name] = None
    for seal, ours in compared(tx, path):
        if isinstance(seal, str):
            strange += 1
        elif seal.digest in forks and (ours is None or ours.digest != seal.digest):
            stated[forks[seal.digest]] += 1
        else:
            _compare(report, keys, name, seal, ours, begins)
    if strange:
        report.notes.append(f"{name}: {strange} lines are no seals")
    report.notes += [f"{name}: {count} seals of it {said}" for said, count in stated.items()]
    written = tx.maybe("copied_to", place=name)
    if written and written["number"] > (report.copies[name] or 0):
        last = f"up to seal {written['number']} all were copied to it or its like on other hosts"
        report.notes.append(f"{name}: {last}, and it ends before that")


def compared(tx: Transaction, path: Path) -> Iterator[tuple[Seal | str, Seal | None]]:
    """What a copy has, line by line, beside the seal of that number that our database has."""
    lines = read_copy(path)
    while portion := list(islice(lines, _LINES)):
        numbers = tuple(seal.number for seal in portion if isinstance(seal, Seal))
        rows = tx.all("seals_numbered", numbers=numbers)
        ours = {row["number"]: seal_from_row(row) for row in rows}
        for line in portion:
            yield line, ours.get(line.number) if isinstance(line, Seal) else None


def _compare(
    report: Report, keys: PublicKeys, name: str, seal: Seal, ours: Seal | None, begins: int
) -> None:
    subject = f"seal {seal.number}"
    if not keys.verifies(seal.kid, seal.signature, seal.text):
        report.found(Kind.ALTERED, f"{subject} of the copy {name}", "it is not signed by us")
        return
    report.copies[name] = max(report.copies[name] or 0, seal.number)
    if ours is None:
        if seal.number > begins:
            says = f"the copy {name} has it, with {seal.events} events of {seal.at.isoformat()}"
            report.found(Kind.MISSING, subject, says)
    elif ours.digest != seal.digest:
        why = "" if _server(ours) == _server(seal) else ", made before our database failed over"
        report.found(Kind.ALTERED, subject, f"the copy {name} has another one{why}")


def _server(seal: Seal) -> tuple[str, int]:
    return seal.system_identifier, seal.timeline
