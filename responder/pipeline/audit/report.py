"""What a look at the audit found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

#: More are counted, not named.
NAMED = 100


class Kind(StrEnum):
    """In which way something is not what it was."""

    ALTERED = "altered"
    MISSING = "missing"
    ADDED = "added"
    REORDERED = "reordered"


@dataclass(frozen=True)
class Trouble:
    """subject: the event, row or seal; what: as people read it, when it is known."""

    kind: Kind
    subject: str
    says: str
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        known = ", ".join(f"{name} {value}" for name, value in self.about.items() if value)
        return f"{self.kind}: {self.subject}: {self.says}" + (f" ({known})" if known else "")


@dataclass(frozen=True)
class Dropped:
    """What retention dropped, by its own record: a month, or the rows of a month's incidents."""

    partition: str
    begins: datetime
    ends: datetime
    events: int = 0


@dataclass
class Report:
    """looked_at: what was asked for. unproven_rows, backlog: from before there were seals."""

    looked_at: str
    seals: int = 0
    events: int = 0
    rows: int = 0
    unproven_rows: int = 0
    unsealed: int = 0
    unsealed_seconds: float = 0.0
    backlog: int = 0
    last_seal: int | None = None
    copies: dict[str, int | None] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)
    dropped_rows: list[Dropped] = field(default_factory=list)
    dropped_events: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    trouble_count: int = 0

    @property
    def ok(self) -> bool:
        return not self.trouble_count

    def found(self, kind: Kind, subject: str, says: str, **about: Any) -> None:
        self.trouble_count += 1
        if len(self.troubles) < NAMED:
            self.troubles.append(Trouble(kind, subject, says, about))

    def was_dropped(self, filed_at: datetime) -> Dropped | None:
        """The month that retention dropped and in which this lay."""
        return next((each for each in self.dropped if each.begins <= filed_at < each.ends), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "looked_at": self.looked_at,
            "seals": self.seals,
            "last_seal": self.last_seal,
            "events": self.events,
            "rows": self.rows,
            "unsealed": {"events": self.unsealed, "seconds": round(self.unsealed_seconds, 1)},
            "unproven": {"events": self.backlog, "rows": self.unproven_rows},
            "dropped": [
                {"partition": each.partition, "events": each.events} for each in self.dropped
            ],
            "copies": self.copies,
            "notes": self.notes,
            "trouble_count": self.trouble_count,
            "troubles": [
                {
                    "kind": each.kind,
                    "subject": each.subject,
                    "says": each.says,
                    "about": {name: str(value) for name, value in each.about.items() if value},
                }
                for each in self.troubles
            ],
        }


def month_of(month: str) -> tuple[datetime, datetime]:
    """From when to when a month such as 2026-11 lasts. ValueError."""
    begins = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    return begins, begins.replace(
        year=begins.year + begins.month // 12, month=begins.month % 12 + 1
    )
