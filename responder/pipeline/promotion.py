"""How far a version of a rule may go by itself: who said so, and what they could know before.

The agreement report says in how many incidents only the missing promotion kept a rule from acting,
and what people did then. Edited code is another version: it proposes until somebody promotes it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from responder.domain.actor import Actor
from responder.domain.decision import Autonomy
from responder.domain.review import Verdict
from responder.pipeline.services import Services, iso
from responder.runbook.loader import LoadedRule
from responder.store import Transaction

#: What is older says little about today's shop.
SPAN = timedelta(days=90)
#: So many incidents in which people did something else, and so many verdicts, are named.
_NAMED = 10


class Did(StrEnum):
    """What people did where the rule would have acted."""

    SAME = "same"
    OTHER = "other"
    BY_HAND = "by_hand"
    WENT_AWAY = "went_away"
    OPEN = "open"


class NotPromoted(ValueError):
    """Why this rule cannot be promoted."""


class Harmful(NotPromoted):
    """Engineers say that this version did harm; a person must say why it may act all the same."""


@dataclass(frozen=True)
class Promoted:
    """before: what it might do until now; ceiling: of the settings, above which it never goes."""

    before: Autonomy
    after: Autonomy
    ceiling: Autonomy


def promote(
    services: Services, rule: LoadedRule, autonomy: Autonomy, actor: Actor, despite: str = ""
) -> Promoted:
    """Let this version of the rule go so far, or less far. NotPromoted.

    despite: why it may act though it was judged harmful; the trail shows it.
    """
    if autonomy == Autonomy.ACT and not rule.automatic:
        raise NotPromoted(f"{rule.name} has no option that it may run by itself")
    with services.store.transaction() as tx:
        tx.run("lock_rule", rule=rule.name)
        known = tx.maybe("promoted", rule=rule.name, checksum=rule.checksum)
        before = Autonomy(known["autonomy"] if known else Autonomy.PROPOSE)
        report = agreement(tx, rule)
        harm = any(each["verdict"] == Verdict.HARMFUL for each in report["against"])
        if autonomy == Autonomy.ACT and harm and not despite:
            raise Harmful(
                f"engineers judged this version of {rule.name} harmful; edit it, or say why it may"
                " act all the same: --despite WHY"
            )
        told = {"autonomy": autonomy, "actor": actor.name}
        tx.run("promote", rule=rule.name, checksum=rule.checksum, **told)
        tx.record(
            "promotion",
            actor,
            f"rule {rule.name}",
            before=before,
            after=autonomy,
            checksum=rule.checksum,
            agreement=report["this_version"],
            despite=despite,
        )
    return Promoted(before, autonomy, ceiling_of(services, rule.name))


def ceiling_of(services: Services, rule: str) -> Autonomy:
    """How far the settings let it go at most."""
    own = services.settings.rules.get(rule)
    return own.autonomy if own and own.autonomy else services.settings.autonomy


def agreement(tx: Transaction, rule: LoadedRule) -> dict[str, Any]:
    """What it would have done, what people did, and what it did by itself; of 90 days."""
    since = tx.now - SPAN
    proposed = tx.all("would_have_acted", rule=rule.name, since=since)
    acted = {
        row["this_version"]: row
        for row in tx.all("has_acted", rule=rule.name, since=since, checksum=rule.checksum)
    }
    verdicts = tx.all("verdicts_of_version", rule=rule.name, since=since, checksum=rule.checksum)
    ours = [row for row in proposed if row["rule_checksum"] == rule.checksum]
    others = [row for row in proposed if row["rule_checksum"] != rule.checksum]
    return {
        "since": iso(since),
        "checksum": rule.checksum,
        "this_version": _counts(ours, acted.get(True)) | _judged(verdicts, True),
        "other_versions": _counts(others, acted.get(False)) | _judged(verdicts, False),
        "against": [
            {
                "incident": str(row["incident_id"]),
                "title": row["title"],
                "verdict": row["verdict"],
                "note": row["note"],
                "actor": row["actor"],
                "at": iso(row["at"]),
            }
            for row in tx.all(
                "against_version", rule=rule.name, checksum=rule.checksum, most=_NAMED
            )
        ],
        "differently": [
            {
                "incident": str(row["incident_id"]),
                "title": row["title"],
                "at": iso(row["at"]),
                "proposed": row["option"],
                "did": row["did"],
                "what": did(row),
            }
            for row in sorted(proposed, key=lambda row: row["at"], reverse=True)
            if did(row) in (Did.OTHER, Did.BY_HAND)
        ][:_NAMED],
    }


def did(row: Mapping[str, Any]) -> Did:
    if row["did"] is not None:
        return Did.SAME if row["did"] == row["option"] else Did.OTHER
    if row["status"] != "resolved":
        return Did.OPEN
    return Did.BY_HAND if row["resolved_by"] == "person" else Did.WENT_AWAY


def _counts(rows: Sequence[Mapping[str, Any]], acted: Mapping[str, Any] | None) -> dict[str, Any]:
    people = Counter(map(did, rows))
    same = [row for row in rows if did(row) == Did.SAME]
    return {
        "would_have_acted": len(rows),
        **{each.value: people[each] for each in Did},
        "same_held": sum(row["verification"] == "held" for row in same),
        "acted": acted["fixes"] if acted else 0,
        "acted_held": acted["held"] if acted else 0,
        "acted_failed": acted["failed"] if acted else 0,
    }


def _judged(verdicts: Sequence[Mapping[str, Any]], this_version: bool) -> dict[str, int]:
    """How often each verdict was given."""
    counts = {
        row["verdict"]: row["reviews"] for row in verdicts if row["this_version"] == this_version
    }
    return {each.value: counts.get(each, 0) for each in Verdict}
