"""Days in numbers: what came in, how fast it was told and taken, what was fixed, what is noise."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from flask import Response
from marshmallow import Schema, fields, validate

from responder.domain.review import Verdict
from responder.domain.severity import Severity
from responder.pipeline.numbers import KEPT
from responder.store import Transaction
from responder.web.console.charts import Chart, counts, quantiles
from responder.web.console.listing import asked_for
from responder.web.console.pages import Pages, services, show

#: What the page of rules says "lately" for.
LATELY = 30
_SPANS = (7, 30, 90)
_SEVERITIES: Mapping[str, str] = {
    **{each.value: each.value for each in Severity},
    "none": "none declared",
}
#: Every way in which a fix can stand, in words.
_FIXES = {
    "held": "the cause is gone",
    "waiting": "being verified",
    "started": "under way",
    "recorded": "under way, decided",
    "failed": "the cause is still there",
    "not_asked": "nobody could verify it",
    "undone": "undone",
    "rolled_back": "rolled back",
    "refused": "refused, nothing was changed",
    "unknown": "unknown",
}
_CAME_TO = {"held": "held", "failed": "did not help", "other": "anything else"}
_BUSIEST = 10


class Span(Schema):
    days = fields.Integer(load_default=LATELY, validate=validate.Range(1, KEPT.days))


def register(pages: Pages) -> None:
    """One page; its span is in its address."""

    @pages.read("/numbers")
    def numbers() -> Response:
        span = asked_for(Span)["days"]
        with services().store.transaction() as tx:
            now, rows = tx.now, _counted(tx, span)
            said = tx.all("verdicts_by_rule", since=now.date() - timedelta(days=span - 1))
        days = [now.date() - timedelta(days=back) for back in reversed(range(span))]
        by_day = {row["day"]: row["numbers"] for row in rows}
        counted = list(by_day.values())
        by_rule = dict(_by_rule(counted))
        for row in said:
            by_rule.setdefault(row["rule"], Counter())[row["verdict"]] = row["reviews"]
        return show(
            "numbers",
            now=now,
            span=span,
            spans=_SPANS,
            charts=_charts(days, by_day),
            rules=sorted(by_rule.items(), key=lambda each: (-each[1]["incidents"], each[0])),
            fixes=[
                (told, sum(each["fixes"].get(name, 0) for each in counted))
                for name, told in _FIXES.items()
            ],
            keys=_busiest(counted),
            verdicts=[each.value for each in Verdict],
            uncounted=sum(day not in by_day for day in days),
            counted_at=max((row["counted_at"] for row in rows), default=None),
        )


def totals_by_rule(tx: Transaction) -> Mapping[str, Counter[str]]:
    """What each rule had to do in the last LATELY days; under "": what no rule answered."""
    return _by_rule([row["numbers"] for row in _counted(tx, LATELY)])


def _counted(tx: Transaction, span: int) -> Sequence[Mapping[str, Any]]:
    return tx.all("day_counts", since=tx.now.date() - timedelta(days=span - 1))


def _charts(days: Sequence[date], by_day: Mapping[date, Mapping[str, Any]]) -> Sequence[Chart]:
    def of(part: str) -> list[Mapping[str, Any]]:
        return [by_day.get(day, {}).get(part, {}) for day in days]

    fixes = [_came_to(each) for each in of("fixes")]
    return [
        counts("alerts", "Alerts by severity", days, of("alerts"), _SEVERITIES),
        quantiles("enriched", "From a P0 or P1 to a page that says more", days, of("enriched")),
        quantiles(
            "acknowledged", "From opening to somebody who takes it", days, of("acknowledged")
        ),
        counts("fixes", "Fixes by what they came to", days, fixes, _CAME_TO),
    ]


def _came_to(fixes: Mapping[str, int]) -> Mapping[str, int]:
    other = sum(n for outcome, n in fixes.items() if outcome not in _CAME_TO)
    known = {name: fixes.get(name, 0) for name in ("held", "failed")}
    return {**known, "other": other} if fixes else {}


def _by_rule(counted: Sequence[Mapping[str, Any]]) -> Mapping[str, Counter[str]]:
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for numbers in counted:
        for rule, told in numbers["rules"].items():
            totals[rule].update(told)
    return totals


def _busiest(counted: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Of the busiest keys of each day; incident: the last one."""
    found: dict[str, dict[str, Any]] = {}
    for numbers in counted:
        for each in numbers["keys"]:
            before = found.get(each["key"], {"alerts": 0})
            found[each["key"]] = {**each, "alerts": before["alerts"] + each["alerts"]}
    return sorted(found.values(), key=lambda each: -each["alerts"])[:_BUSIEST]
