"""Takes a fix back on its target: only rows that are still as it left them, and exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from responder.domain.shipped import shipped
from responder.domain.statements import Statement, parse_statements
from responder.targets.writing import (
    AlreadyGone,
    Made,
    RolledBack,
    Session,
    array,
    as_jsonb,
    begin,
    changed_since,
    check,
    counters,
    identity_of,
    rows,
)

_FILE = shipped("sql") / "targets" / "undo.sql"
_SQL = parse_statements(_FILE.read_text(encoding="utf-8"), _FILE.name)
#: So many rows are named in a sentence; the fix's `left` has all of them.
_NAMED = 20


@dataclass(frozen=True)
class Undo:
    """What takes a fix back; before, after: its images as JSON arrays, whose rows have an id.

    volatile: the columns that need not be as they were.
    """

    key: str
    statement: Statement
    before: str
    after: str
    parameters: Mapping[str, Any]
    tables: Sequence[str]
    max_rows: int
    volatile: Sequence[str] = ()
    claims: Mapping[str, str] = field(default_factory=dict)

    def carry_out(self, connection: Session) -> Made:
        """Restore what is still as the fix left it; the rest is left, and named."""
        identity = begin(connection, self.key, self.claims)
        bound = {
            **self.parameters,
            "before": as_jsonb(self.before),
            "after": as_jsonb(self.after),
        }
        counted = counters(connection)
        restored = rows(connection, self.statement, bound, self.max_rows + 1)
        counts = changed_since(connection, counted)
        left = self._lacking(connection, self.before, array(restored))
        if not restored:
            raise AlreadyGone("all rows changed since the fix, or are gone", left)
        check(counts, self.tables, self.max_rows, len(restored))
        unlike = self._lacking(connection, array(restored), self.before)
        if unlike:
            raise RolledBack(f"{_named(unlike)} would not be as before the fix, byte for byte")
        return Made(
            **identity_of(identity),
            counts=counts,
            before=self._of(connection, array(restored)),
            after=array(restored),
            left=left,
        )

    def _lacking(self, connection: Session, rows: str, among: str) -> list[str]:
        """The ids of the rows that are not among others, the volatile columns left out."""
        bound = {"rows": as_jsonb(rows), "among": as_jsonb(among), "volatile": list(self.volatile)}
        return [row["id"] for row in connection.execute(_SQL["lacking"].sql, bound)]

    def _of(self, connection: Session, restored: str) -> str:
        """The rows that are restored, as the fix had left them."""
        bound = {"after": as_jsonb(self.after), "restored": as_jsonb(restored)}
        return array([row["row"] for row in connection.execute(_SQL["left_by_fix"].sql, bound)])


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return f"{'row' if len(ids) == 1 else 'rows'} {', '.join(ids[:_NAMED])}{more}"
