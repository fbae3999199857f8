"""The rows that prove what was done, against the events that recorded them."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from responder.domain.witnessed import ROWS
from responder.pipeline.audit.report import Kind, Report
from responder.runbook.loader import checksum_of
from responder.store import Transaction

#: Incidents of one look.
_PORTION = 500
_COLUMNS = {
    table: {str(version): list(columns) for version, columns in versions.items()}
    for table, versions in ROWS.items()
}
#: Only the row of a fix goes on after it was written.
_CHANGING = "fix"
_WORTH_NAMING = 100


def check_rows(
    tx: Transaction, report: Report, since: datetime | None, progress: Callable[[str], None]
) -> None:
    """All rows, incident by incident."""
    after = UUID(int=0)
    while incidents := tx.all("incidents_after", after=after, since=since, limit=_PORTION):
        after = incidents[-1]["id"]
        check_incidents(tx, report, tuple(row["id"] for row in incidents))
        progress(f"{report.rows} rows")
    for row in tx.all(
        "rows_of_lost_incidents",
        since=since,
        limit=_WORTH_NAMING,
        begins=tuple(each.begins for each in report.dropped_rows),
        ends=tuple(each.ends for each in report.dropped_rows),
    ):
        says = f"it was recorded at {row['at'].isoformat()} and is gone, with its incident"
        report.found(Kind.MISSING, row["subject"], says, incident=row["incident_id"])


def check_rule_sources(tx: Transaction, report: Report) -> None:
    """The code that was kept is that of the checksums by which decisions and fixes name it."""
    for row in tx.all("rule_sources"):
        if checksum_of(bytes(row["module"]), bytes(row["sql"])) != row["checksum"]:
            says = f"its source does not have the checksum {row['checksum']}"
            report.found(Kind.ALTERED, f"rule {row['rule']}", says)


def check_incidents(tx: Transaction, report: Report, incidents: tuple[UUID, ...]) -> None:
    """The rows of these incidents."""
    begun_at = tx.one("witnessed_since")["begun_at"]
    for row in witnessed_rows(tx, incidents):
        report.rows += row["name"] is not None
        for kind, says in _troubles(report, row, begun_at):
            report.found(kind, row["subject"], says, incident=row["incident_id"])


def witnessed_rows(
    tx: Transaction, incidents: tuple[UUID, ...], whole: bool = False
) -> list[dict[str, Any]]:
    """Each row beside its last event; whole: with what it holds."""
    return tx.all("witnessed_rows", incidents=incidents, columns=_COLUMNS, whole=whole)


def _troubles(
    report: Report, row: Mapping[str, Any], begun_at: datetime
) -> Iterator[tuple[Kind, str]]:
    if row["name"] is None:
        yield Kind.MISSING, f"it was recorded at {row['at'].isoformat()} and is gone"
    elif row["witnessed"] is None:
        # By its events, which are sealed: the row of an incident may say anything.
        if row["begun_at"] is not None and row["begun_at"] < begun_at:
            report.unproven_rows += 1
        else:
            yield Kind.ADDED, "no event records it"
    elif row["digest"] != row["witnessed"]:
        yield Kind.ALTERED, f"it is not what was recorded at {row['at'].isoformat()}"
    elif row["changes"] > 1 and row["name"] != _CHANGING:
        yield Kind.ALTERED, f"changed at {row['at'].isoformat()} by the role {row['actor']}"
    elif not row["told"]:
        says = f"not by the responder, but by the role {row['actor']} at {row['at'].isoformat()}"
        yield Kind.ALTERED if row["changes"] > 1 else Kind.ADDED, says
