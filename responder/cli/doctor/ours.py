"""What our database knows: the ledger, who is alive, what waits, who was not heard of."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from responder.cli.doctor.sign import Sign, ago, bad, ok, quoted, some, warn
from responder.domain.settings import DeadMan, Retention, SealSettings, Settings
from responder.pipeline.audit.copies import name_of
from responder.pipeline.secrets import LONGEST, REMINDERS, ages
from responder.store import Store, Transaction
from responder.store.jobs import DEAD_AFTER

#: Beyond the second a person must look: seconds that are usual, and those that are not.
_TRIAGE = (10, 60)
_JOB = (30, 300)
_SKEW = (1, 60)
_LATENCY_MS = 100
_SILENCE = timedelta(hours=24)
_UNSEALED = (120, 900)
_OVERDUE = timedelta(minutes=1)
#: How long what should be gone may still be there.
_LATE = timedelta(days=2)


def ours(store: Store, settings: Settings) -> Iterator[Sign]:
    """All of it; StoreAway when our database goes away meanwhile."""
    yield from _answers(store)
    with store.transaction() as tx:
        yield from _server(tx)
        yield _retention(tx, settings.retention)
        yield from _ledger(tx)
        yield from _work(tx)
        yield from _pages(tx)
        yield from _receivers(tx, settings)
        yield from _sources(tx, settings)
        yield _autofix(tx)
        yield from _secrets(tx)
        yield from _maintenance(tx, settings)
        yield from _seals(tx, settings.seal)
        if settings.dead_man is not None:
            yield _dead_man(tx, settings.dead_man)


def _answers(store: Store) -> Iterator[Sign]:
    """How long it takes, and whether its clock is ours."""
    began, here = time.perf_counter(), datetime.now(UTC)
    with store.transaction() as tx:
        version = tx.one("vitals")["version"]
        there = tx.now
    took = time.perf_counter() - began
    said = f"PostgreSQL {version} answers in {took * 1000:.0f} ms; the schema is up to date"
    slow = took * 1000 > _LATENCY_MS
    yield warn("database", said, "look at its load") if slow else ok("database", said)
    apart = max(0.0, abs((there - here).total_seconds()) - took)
    said = f"this host and our database are {apart:.1f} s apart"
    do = "run NTP on both; signatures are valid for minutes"
    yield _measured("clock", said, apart, _SKEW, do)


def _server(tx: Transaction) -> Iterator[Sign]:
    row = tx.one("vitals")
    said = f"{row['bytes'] / 1e6:,.0f} MB, {row['connections']} of {row['most']} connections"
    crowded = row["connections"] > 0.8 * row["most"]
    do = "raise max_connections, or run fewer processes"
    yield warn("server", said, do) if crowded else ok("server", said)
    yield way(row["encrypted"])
    ahead = tx.one("partitions_ahead")
    said = f"ready for {ahead['days']} days of deliveries and {ahead['months']} months of the rest"
    if ahead["strays"]:
        yield warn("partitions", "rows lie in a default partition", "keep a worker running")
    elif ahead["days"] < 2 or ahead["months"] < 1:
        yield warn("partitions", said, "a worker makes them each hour; is one running?")
    else:
        yield ok("partitions", said)


def way(encrypted: bool | None) -> Sign:
    """Whether somebody between our database and us can read what is said; None: nobody is."""
    if encrypted is None:
        return ok("way", "our database is on this host")
    if encrypted:
        return ok("way", "what is said to our database is encrypted")
    return warn(
        "way", "all that is said to our database can be read on the way", "sslmode=verify-full"
    )


def _retention(tx: Transaction, kept: Retention) -> Sign:
    """Whether what is older than is kept has gone."""
    rows = tx.all("kept_partitions", deliveries=kept.deliveries, audit=kept.audit)
    late = [
        row
        for row in rows
        if row["goes_at"] and row["goes_at"] < tx.now - _LATE and not row["needed"]
    ]
    needed = sum(bool(row["needed"]) for row in rows)
    audit = f"the rest for {ago(kept.audit.total_seconds())}" if kept.audit else "all else for ever"
    said = f"deliveries are kept for {ago(kept.deliveries.total_seconds())}, {audit}"
    if late:
        said = f"{some(len(late), 'partition')} should be gone, the oldest is {late[0]['name']}"
        return warn("retention", said, "keep a worker running; does somebody hold a lock for long?")
    if needed:
        said += f"; {some(needed, 'partition')} older than that still needed: responder retention"
    return ok("retention", said)


def _ledger(tx: Transaction) -> Iterator[Sign]:
    """Promise 1, and how long what was accepted waits."""
    row = tx.one("ledger")
    gaps = {
        "alerts without exactly one outcome": row["alerts_gap"],
        "incidents without a next step": row["incidents_gap"],
        "incidents done that nobody resolved": row["incidents_lost"],
    }
    said = ", ".join(f"{count} {what}" for what, count in gaps.items() if count)
    if said:
        yield bad("ledger", said, "read the worker's log; a sweep mends a lost step in seconds")
    else:
        yield ok("ledger", "nothing accepted is lost")
    oldest = float(row["oldest_untriaged_seconds"] or 0)
    said = f"{row['deliveries_untriaged']} waiting, the oldest for {ago(oldest)}"
    said = said if oldest else "nothing waits"
    yield _measured("triage", said, oldest, _TRIAGE, "add workers, or see what holds them up")


def _work(tx: Transaction) -> Iterator[Sign]:
    alive = tx.one("workers_alive", dead_after=DEAD_AFTER)["alive"]
    if alive:
        yield ok("workers", f"{alive} alive")
    else:
        said = "none is alive: pages leave, but nothing is diagnosed or fixed"
        yield bad("workers", said, "start one: responder work")
    waited = float(tx.one("queue_ages")["job"] or 0)
    said = f"the oldest waits for {ago(waited)}" if waited else "none waits"
    yield _measured("jobs", said, waited, _JOB, "add workers, or see what holds them up")
    failed = tx.one("failed_jobs")["failed"]
    if failed:
        said = f"{failed} failed in the last day"
        yield warn("jobs", said, 'read why: "a job failed" in the worker\'s log')


def _pages(tx: Transaction) -> Iterator[Sign]:
    row = tx.one("overdue_pages")
    if row["pages"]:
        said = f"{row['pages']} should have left, the oldest {ago(row['seconds'])} ago"
        yield bad("pages", said, "call people yourself; then see the receivers below")
    else:
        yield ok("pages", "none is overdue")


def _receivers(tx: Transaction, settings: Settings) -> Iterator[Sign]:
    """One line for each, what was given up too where a receiver is not configured any more."""
    states = {row["receiver"]: row for row in tx.all("receivers_by_state")}
    dead = {row["receiver"]: row for row in tx.all("dead_notifications")}
    for name in [*settings.receivers, *sorted(dead.keys() - settings.receivers.keys())]:
        yield _receiver(tx, name, states.get(name, {}), dead.get(name))


def _receiver(
    tx: Transaction, name: str, state: Mapping[str, Any], dead: Mapping[str, Any] | None
) -> Sign:
    what = f"receiver {name}"
    if state.get("open"):
        since = f"{some(state['failures'], 'failure')} in a row, the last: {quoted(state['error'])}"
        do = f"mend it, then: responder notifications test {name}"
        return bad(what, f"left alone after {since}", do)
    if dead:
        said = f"{some(dead['dead'], 'message')} given up, the last: {quoted(dead['error'])}"
        return warn(what, said, f"responder notifications redrive --receiver {name}")
    if state.get("failures"):
        said = f"{some(state['failures'], 'failure')} in a row, the last: {quoted(state['error'])}"
        return warn(what, said, "it is tried again by itself")
    sent = state.get("sent_at")
    last = f", the last {ago((tx.now - sent).total_seconds())} ago" if sent else ""
    return ok(what, f"{some(state.get('sent', 0), 'message')} taken{last}")


def _sources(tx: Transaction, settings: Settings) -> Iterator[Sign]:
    """One line for each."""
    unread = {row["source"]: row["deliveries"] for row in tx.all("deliveries_quarantined")}
    for row in tx.all("sources_last_seen", sources=tuple(settings.sources)):
        name, seen = row["source"], row["last_seen"]
        what = f"source {name}"
        if unread.get(name):
            said = f"could not be read {some(unread[name], 'time')} in the last day"
            do = f"responder deliveries list --outcome quarantined --source {name}; then redrive"
            yield warn(what, said, do)
        elif seen is None:
            yield warn(what, "was never heard of", f"send a test to /v1/webhooks/{name}")
        elif tx.now - seen > _SILENCE:
            said = f"was last heard of {ago((tx.now - seen).total_seconds())} ago"
            yield warn(what, said, f"does it still post to /v1/webhooks/{name}?")
        else:
            yield ok(what, f"was last heard of {ago((tx.now - seen).total_seconds())} ago")


def _autofix(tx: Transaction) -> Sign:
    row = tx.one("autofix")
    if row["enabled"]:
        return ok("autofix", "on")
    since = ago((tx.now - row["at"]).total_seconds())
    said = f"off for {since} by {quoted(row['actor'])}: {quoted(row['reason'])}"
    return warn("autofix", said, "when that is over: responder fixes start --reason R")


def _secrets(tx: Transaction) -> Iterator[Sign]:
    """One line for each that is to be rotated soon, or should have been."""
    due = {key: days for key, days in ages(tx).items() if days >= REMINDERS[0].days}
    for key, days in due.items():
        left = LONGEST.days - days
        said = f"is {days:.0f} days old, {f'due in {left:.0f}' if left > 0 else 'overdue'}"
        yield warn(f"secret {key}", said, f"responder secrets rotate {key}")
    if not due:
        yield ok("rotation", f"no secret is older than {REMINDERS[0].days} days")


def _maintenance(tx: Transaction, settings: Settings) -> Iterator[Sign]:
    """What is in force, what waits for people, and what a start of ours should have taken back."""
    known = {window.name for window in settings.windows}
    rows = tx.all("standing_windows")
    for row in rows:
        what = f"maintenance {quoted(row['name'] or row['reason'])}"
        see = f"responder maintenance show {row['id']}"
        if row["state"] in ("waiting", "finishing"):
            lacking = "its list before" if row["state"] == "waiting" else "its list afterwards"
            said = f"is {row['state']}: {some(row['open'], 'item')} of {lacking} not ticked"
            yield warn(what, said, see)
        elif row["name"] is not None and row["name"] not in known:
            yield warn(what, f"is {row['state']}, and the settings do not know it", see)
        elif row["state"] == "in_force":
            yield ok(what, f"is in force for {ago((row['ends_at'] - tx.now).total_seconds())} more")
    held = tx.one("conditions_held", overdue=_OVERDUE)
    if held["overdue"]:
        said = f"{some(held['overdue'], 'condition')} should have been taken up after its end"
        yield bad("maintenance", said, "read the log of web and worker processes")
    elif not rows:
        yield ok("maintenance", "none is in force")


def _seals(tx: Transaction, seal: SealSettings | None) -> Iterator[Sign]:
    """Can what was done be proven?"""
    if seal is None:
        said = "nobody could prove that the audit was not changed"
        yield warn("seals", said, "configure [seal]; responder token keys makes its key")
        return
    row = tx.one("unsealed")
    said = f"{some(row['events'], 'event')} without a seal, the oldest for {ago(row['seconds'])}"
    said = said if row["events"] else "every event is sealed"
    yield _measured(
        "seals", said, row["seconds"], _UNSEALED, "read the worker's log: is one running?"
    )
    if not seal.copy_to:
        do = "configure copy_to in [seal]"
        yield warn("seals", "no copy outside: nobody would miss the newest of them", do)
    for row in tx.all("seal_copies", places=tuple(name_of(place) for place in seal.copy_to)):
        what = f"seals at {quoted(row['place'])}"
        behind = f"{some(row['behind'], 'seal')} behind"
        if row["failures"]:
            said = f"{behind}, {some(row['failures'], 'failure')} in a row: {quoted(row['error'])}"
            yield bad(what, said, "make it writable; it is tried again by itself")
        else:
            yield ok(what, behind if row["behind"] else "up to date")


def _dead_man(tx: Transaction, dead_man: DeadMan) -> Sign:
    what = "dead man"
    pinged = tx.one("dead_man_pinged")["pinged_at"]
    if pinged is None:
        return warn(what, "was never told that all is well", "keep a worker running")
    silent = tx.now - pinged
    said = f"was told {ago(silent.total_seconds())} ago that all is well"
    if silent > 3 * dead_man.every:
        return bad(what, said, "it alarms by now; mend what is bad above")
    return ok(what, said)


def _measured(what: str, said: str, value: float, limits: tuple[int, int], do: str) -> Sign:
    """Well below the first limit, bad from the second one on."""
    usual, worst = limits
    if value >= worst:
        return bad(what, said, do)
    return warn(what, said, do) if value >= usual else ok(what, said)
