"""The ledger: what senders were promised, against what became of it when all is at rest."""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests
from click.testing import CliRunner

from responder.cli import main
from responder.domain.incident import dedup_key
from responder.pipeline.accept import most_severe, parse_only
from responder.pipeline.services import Services
from tests.faults.large_site import LargeSite
from tests.faults.machine import Machine

#: Seconds from the acceptance to the page.
PROMISED = 3.0


@dataclass(frozen=True)
class Notice:
    """One alert as it is sent; wakes: the dedup key under which the pager must hear of it."""

    alert: Mapping[str, Any]
    wakes: str | None


@dataclass(frozen=True)
class Delivery:
    """One request, the same at every attempt."""

    body: str
    notices: Sequence[Notice]


@dataclass(frozen=True)
class Promise:
    """A 202: of which delivery, when it came, from which door, for how many alerts."""

    delivery: str
    at: float
    door: int
    alerts: int


@dataclass(frozen=True)
class Page:
    """Who must be woken, and when which door said so: by a 202, or by a 503 without a database."""

    key: str
    title: str
    at: float
    door: int
    accepted: bool


@dataclass
class Ledger:
    """Filled by the senders while they send; `judge` compares it with our database and the world.

    machine: so that a page is not late because others had the machine.
    excused: whether a page may be late or missing. The only excuse: the web process died, and
    our database did, too, or never had it.
    forgets: our database has lost its last moments, in a failover without synchronous replication.
    """

    services: Services
    machine: Machine
    excused: Callable[[Page], bool] = lambda page: False
    promises: list[Promise] = field(default_factory=list)
    pages: dict[tuple[str, bool], Page] = field(default_factory=dict)
    answers: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    connections_broken: int = 0
    forgets: bool = False
    refused: Counter[str] = field(default_factory=Counter)
    _to_end: list[tuple[float, Notice]] = field(default_factory=list)
    _taken: dict[str, Delivery] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wakes(self, alert: Mapping[str, Any]) -> str | None:
        """The dedup key of a firing P0 or P1, found as accept finds it."""
        now, body = datetime.now(UTC), json.dumps({"version": "4", "alerts": [alert]}).encode()
        notices = parse_only(self.services, "prometheus", body, now)
        _, pages = most_severe(self.services, notices, now)
        return dedup_key(pages[0].identity.key) if pages else None

    def answered(self, delivery: Delivery, door: int, answer: requests.Response) -> bool:
        """Note an answer; True when the delivery needs no other attempt."""
        now = time.monotonic()
        with self._lock:
            self.answers[answer.status_code] += 1
            accepted = answer.status_code == 202
            if not accepted and not self._refused_well(answer):
                return answer.status_code < 500
            for notice in delivery.notices:
                if notice.wakes is not None:
                    title = notice.alert["annotations"]["summary"]
                    page = Page(notice.wakes, title, now, door, accepted)
                    self.pages.setdefault((notice.wakes, accepted), page)
            if not accepted:
                return False
            told = answer.json()
            self.promises.append(Promise(told["delivery"], now, door, told["alerts"]))
            self._taken[told["delivery"]] = delivery
            if told["alerts"] != len(delivery.notices) or told["duplicate"] or told["quarantined"]:
                self.wrong.append(f"{len(delivery.notices)} alerts were told, promised is {told}")
            for notice in delivery.notices:
                if notice.wakes is not None and "shard" not in notice.alert["labels"]:
                    self._to_end.append((now, notice))
            return True

    def _refused_well(self, answer: requests.Response) -> bool:
        """Our database is away, and it is said when to try again; all else is wrong."""
        if answer.status_code == 503 and answer.headers.get("Retry-After", "").isdecimal():
            self.refused[answer.json()["type"]] += 1
            return answer.json()["type"] == "urn:responder:unavailable"
        self.wrong.append(f"{answer.status_code} {dict(answer.headers)}: {answer.text[:300]}")
        return False

    def broken(self) -> None:
        with self._lock:
            self.connections_broken += 1

    def take_one_to_end(self, before: float) -> Notice | None:
        """A fault that was taken before this time, which nobody ends but who asks now."""
        with self._lock:
            if not self._to_end or self._to_end[0][0] > before:
                return None
            return self._to_end.pop(0)[1]

    def forget(self, site: LargeSite) -> list[Delivery]:
        """What was promised, and our database knows nothing of any more: it is told again."""
        there = {row["id"] for row in site.sql("SELECT id::text FROM delivery")}
        with self._lock:
            lost = [each.delivery for each in self.promises if each.delivery not in there]
            self.promises = [each for each in self.promises if each.delivery in there]
            self.forgets = True
            return [self._taken[each] for each in lost]

    def counts(self) -> dict[str, Any]:
        """What was sent and answered so far."""
        with self._lock:
            return {
                "promised": len(self.promises),
                "alerts": sum(promise.alerts for promise in self.promises),
                "answers": dict(self.answers),
                "broken connections": self.connections_broken,
                "refused": dict(self.refused),
            }

    def judge(self, site: LargeSite, told: Callable[[str], None]) -> None:
        """Say all the counts, then fail if a promise is broken; everything must be at rest."""
        told(", ".join(f"{what}: {count}" for what, count in self.counts().items()))
        troubles = [
            *(f"a wrong answer: {each}" for each in self.wrong),
            *_outcomes(site, self.promises, told),
            *_fixes(site, told, self.forgets),
            *self._late(site, told),
            *_trail(site, told, self.forgets),
        ]
        assert not troubles, "\n".join(troubles[:30])

    def _late(self, site: LargeSite, told: Callable[[str], None]) -> list[str]:
        """Pages that came later than promised, or not at all."""
        took, late, excused = [], [], 0
        for page in self.pages.values():
            came = site.pager.came(page.key, page.title) or time.monotonic()
            took.append((came - page.at, self.machine.seconds(page.at, came)))
            if took[-1][1] > PROMISED:
                if self.excused(page):
                    excused += 1
                    continue
                said = f"{took[-1][0]:.1f} s after the {'202' if page.accepted else '503'}"
                late.append(
                    f"{page.title} ({page.key}) was paged, if at all, {said} of {page.door}"
                )
        twice = sum(calls - 1 for calls in site.pager.calls.values())
        slowest, of_ours = (max(each, default=0.0) for each in zip(*took, strict=True))
        accepted = sum(page.accepted for page in self.pages.values())
        told(
            f"pages: {accepted} accepted, {len(took) - accepted} refused with 503,"
            f" late: {len(late)}, excused: {excused}, again under the same key: {twice},"
            f" summaries: {site.pager.summaries}; the slowest {slowest:.2f} s after the answer,"
            f" {of_ours:.2f} s without what others had of this machine"
        )
        return late


def _outcomes(
    site: LargeSite, promises: Sequence[Promise], told: Callable[[str], None]
) -> list[str]:
    """Each promised delivery is there, and each alert of each delivery has one outcome."""
    rows = site.sql(
        "SELECT d.id::text, d.outcome, d.alert_count, d.triaged_at,"
        " (SELECT count(*) FROM alert a WHERE a.delivery_id = d.id) AS outcomes FROM delivery d"
    )
    there = {row["id"]: row for row in rows}
    lost = [promise for promise in promises if promise.delivery not in there]
    short = [
        promise
        for promise in promises
        if promise.delivery in there and there[promise.delivery]["outcomes"] != promise.alerts
    ]
    open_ = [row for row in rows if not row["triaged_at"] or row["alert_count"] != row["outcomes"]]
    strange = [row for row in rows if row["outcome"] != "accepted"]
    metrics = site.metrics()
    names = ("responder_ledger_alerts_gap", "responder_ledger_incidents_gap")
    gap = [metrics[name] for name in names]
    told(
        f"deliveries: {len(there)}, promised and lost: {len(lost)}, without all outcomes:"
        f" {len(open_) + len(short)}, gap: {gap}, never answered: {len(there) - len(promises)}"
    )
    return [
        *(f"promised and not there: {promise}" for promise in lost),
        *(f"promised and without an outcome each: {promise}" for promise in short),
        *(f"without an outcome each: {row}" for row in open_),
        *(f"not accepted: {row}" for row in strange),
        *([f"the gap is {gap}"] if any(gap) else []),
    ]


def _fixes(site: LargeSite, told: Callable[[str], None], forgets: bool) -> list[str]:
    """What our database says was fixed is what the targets say, and nothing twice.

    forgets: it has lost its last moments, so that it may know nothing of a fix that was made.
    """
    rows = site.sql(
        "SELECT f.target, f.xid, f.status, f.id::text, (SELECT d.reason FROM decision d"
        " WHERE d.incident_id = f.incident_id ORDER BY d.at DESC, d.id DESC LIMIT 1) AS reason"
        " FROM fix f"
    )
    marks = site.marks()
    twice = [
        f"{target}: thing {number} was changed {applied} times, by {xids}"
        for target, things in marks.items()
        for number, (applied, xids) in enumerate(things, 1)
        if applied > 1
    ]
    made = Counter(
        (target, xid) for target, things in marks.items() for _, xids in things for xid in xids
    )
    said = Counter((row["target"], row["xid"]) for row in rows if row["status"] == "committed")
    unknown = {(row["target"], row["xid"]) for row in rows if row["status"] == "unknown"}
    silent = [row for row in rows if row["status"] == "unknown" and row["reason"] != "unknown"]
    told(
        f"fixes: {dict(Counter(row['status'] for row in rows))}, marks: {made.total()},"
        f" twice: {len(twice)}"
    )
    return [
        *([] if made else ["nothing was fixed, so nothing is proven"]),
        *twice,
        *(f"said to be made, without a mark: {each}" for each in said - made),
        *(
            f"made, and not said: {each}"
            for each in made - said
            if each not in unknown and not forgets
        ),
        *(f"unknown, and not handed over as such: {row}" for row in silent),
    ]


#: Whatever moved has an event for each move: of what an incident enters, it leaves all but what it
#: is in now, in whatever order they are read. Each fix has the events of its way.
_UNTOLD = """
WITH moved AS (
    SELECT incident_id, what, value, sum(way) AS stays FROM (
        SELECT incident_id, what, after AS value, 1 AS way FROM audit_event
        WHERE what IN ('stage', 'status')
        UNION ALL
        SELECT incident_id, what, before, -1 FROM audit_event WHERE what IN ('stage', 'status')
        UNION ALL
        SELECT incident_id, 'stage', CASE WHEN details ->> 'rule' IS NULL
               AND details ->> 'severity' IN ('P2', 'P3') THEN 'watch' ELSE 'diagnose' END, 1
        FROM audit_event WHERE what = 'opened'  -- what no rule answers people have at once
        UNION ALL
        SELECT incident_id, 'status', after, 1 FROM audit_event WHERE what = 'opened'
        UNION ALL
        SELECT id, 'stage', stage, -1 FROM incident
        UNION ALL
        SELECT id, 'status', status, -1 FROM incident) moves
    GROUP BY incident_id, what, value)
SELECT incident_id::text AS of, what, value || ' ' || stays AS told FROM moved WHERE stays <> 0
UNION ALL
SELECT f.id::text, 'fix', f.status || ' told as ' || coalesce(e.told::text, 'nothing')
FROM fix f
LEFT JOIN LATERAL (
    SELECT array_agg(after ORDER BY after) AS told FROM audit_event
    WHERE incident_id = f.incident_id AND what = 'fix' AND details ->> 'fix' = f.id::text) e ON true
WHERE e.told IS DISTINCT FROM (
    SELECT array_agg(x ORDER BY x) FROM unnest(ARRAY[
        'started', CASE WHEN f.recorded_at IS NOT NULL THEN 'recorded' END, f.status]) x
    WHERE x IS NOT NULL)
"""


#: What `audit verify` may say of a failover that lost seals; their copy has them.
_LOST = re.compile(r"'seal \d+', 'says': 'the copy \S+ has (it, |another one, made before our dat)")


def _trail(site: LargeSite, told: Callable[[str], None], forgets: bool) -> list[str]:
    """Each transition has its audit event, and the seals verify.

    forgets: seals that our database has lost stand in their copy, and that is said.
    """
    untold = site.sql(_UNTOLD)
    command = ["audit", "verify", "--json", "--config", str(site.config)]
    verified = CliRunner().invoke(main, command)
    report = json.loads(verified.stdout) if verified.stdout.startswith("{") else {}
    seals, events = report.get("seals"), report.get("events")
    told(
        f"transitions without their event: {len(untold)}, audit verify: exit"
        f" {verified.exit_code}, {seals} seals over {events} events"
    )
    troubles = [f"a transition without its event: {row}" for row in untold]
    if forgets and verified.exit_code == 1:
        told(f"what the audit says was lost: {report.get('troubles')}")
        found = report.get("troubles", ["no report"])
        troubles += [f"audit verify: {each}" for each in found if not _LOST.search(str(each))]
    elif verified.exit_code != 0:
        troubles.append(f"audit verify: {verified.output[:3000]}")
    elif not seals:
        troubles.append("nothing was sealed, so nothing is proven")
    return troubles
