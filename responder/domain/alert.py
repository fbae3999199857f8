"""An alert: one notice that a named, labelled condition is firing or resolved."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from responder.domain.severity import Severity


class AlertStatus(StrEnum):
    FIRING = "firing"
    RESOLVED = "resolved"


class AlertOutcome(StrEnum):
    """What became of an accepted alert; every one gets exactly one of these."""

    OPENED = "opened"
    JOINED = "joined"
    CLEARED = "cleared"
    STALE = "stale"
    SUPPRESSED = "suppressed"
    QUARANTINED = "quarantined"


class DeliveryOutcome(StrEnum):
    """What became of an HTTP request; `refused` ones leave a count and an audit event only."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"
    REFUSED = "refused"


@dataclass(frozen=True)
class Alert:
    """A notice in our own words; every source fills name, title, labels and service.

    starts_at: None until it is accepted when the sender does not say; then when we received it.
    """

    source: str
    fingerprint: str
    status: AlertStatus
    name: str
    title: str
    service: str
    labels: Mapping[str, str]
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    severity_word: str | None = None
    severity: Severity | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def severity_unreadable(self) -> bool:
        """The sender declared a severity, with a word that is in nobody's map."""
        return self.severity_word is not None and self.severity is None

    def to_json(self) -> dict[str, Any]:
        """Plain data, the inverse of `alert_from_json`."""
        return {
            **self.__dict__,
            "starts_at": self.starts_at and self.starts_at.isoformat(),
            "ends_at": self.ends_at and self.ends_at.isoformat(),
            "labels": dict(self.labels),
            "annotations": dict(self.annotations),
            "links": dict(self.links),
        }


def alert_from_json(plain: Mapping[str, Any]) -> Alert:
    """The alert that `Alert.to_json` wrote down."""
    return Alert(
        **{
            **plain,
            "status": AlertStatus(plain["status"]),
            "severity": plain["severity"] and Severity(plain["severity"]),
            "starts_at": plain["starts_at"] and datetime.fromisoformat(plain["starts_at"]),
            "ends_at": plain["ends_at"] and datetime.fromisoformat(plain["ends_at"]),
        }
    )


@dataclass(frozen=True)
class Malformed:
    """An element of a batch that is no alert; its neighbours are not hurt by it."""

    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"malformed": self.reason}


class Did(StrEnum):
    """What somebody did on a pager."""

    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Echo:
    """What somebody did, on their pager, with an incident of ours: no alert, and it opens nothing.

    One of both says which: dedup_key, of an incident that we raised there; fingerprint, of a
    condition that this source told us of.
    """

    did: Did
    who: str
    dedup_key: str = ""
    fingerprint: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"echo": asdict(self)}


Notice = Alert | Malformed | Echo

#: The source of alerts that we raise ourselves; no configured one has its name.
OWN_SOURCE = "responder"


def notice_from_json(plain: Mapping[str, Any]) -> Notice:
    """What `to_json` of any of them wrote down."""
    if "malformed" in plain:
        return Malformed(plain["malformed"])
    if "echo" in plain:
        return Echo(**{**plain["echo"], "did": Did(plain["echo"]["did"])})
    return alert_from_json(plain)


def fingerprint(labels: Mapping[str, str]) -> str:
    """Alertmanager's own fingerprint of a label set: 16 hex digits.

    64-bit FNV-1a over name, 0xFF, value, 0xFF of the labels sorted by name
    (prometheus/common model/signature.go).
    """
    digest = 14695981039346656037
    for name, value in sorted(labels.items()):
        for byte in name.encode() + b"\xff" + value.encode() + b"\xff":
            digest = (digest ^ byte) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    return f"{digest:016x}"
