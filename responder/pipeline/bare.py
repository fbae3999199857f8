"""The page without our database: what `keep` holds leaves with what is known of it."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from responder.domain.condition import Condition, merge
from responder.domain.incident import dedup_key
from responder.domain.notification import Happening, Message
from responder.outbound import Undelivered
from responder.pipeline.deliver import pause
from responder.pipeline.document import bare_document
from responder.pipeline.keep import Bare, Hold, Page, Rest, Sent
from responder.pipeline.notify import bare_resolve
from responder.pipeline.services import Services
from responder.pipeline.whom import About, is_from_pagerduty, on_call, receivers_of
from responder.store import SILENCE, StoreAway, Transaction

TIMEOUT = 0.9
#: Bare pages to one receiver in a minute; what is more leaves as one page with true counts.
A_MINUTE = 20
_SUMMARY_EVERY = 5.0
AT_ONCE = 8


def page_barely(services: Services) -> None:
    """One look at what is held: released when our database has it in hand, sent when not."""
    keep = services.keep
    due = keep.due()
    lost = [hold for hold in due if hold.lost]
    asked = [hold for hold in due if not hold.lost]
    if asked:
        safe = _safe(services, asked)
        if safe is None:
            lost += asked
        else:
            keep.release(safe)
            lost += [hold for hold in keep.owed() if services.store.late_at >= hold.due]
    for hold in lost:
        for page in hold.pages:
            if keep.claim(page.identity.key):
                names = _last_resort(services, page)
                keep.waiting += [Bare(page, name, hold.until) for name in names]
    keep.release(lost)
    _send_all(services)
    if keep.sent:
        _answered(lambda: _flush_now(services))


def _last_resort(services: Services, page: Page) -> Sequence[str]:
    """Whoever would be paged, if nobody else is named; who was paged by PagerDuty is awake."""
    if is_from_pagerduty(services, page.alert.source):
        return ()
    if services.settings.last_resort is not None:
        return services.settings.last_resort
    alert, identity = page.alert, page.identity
    about = About(alert.source, alert.labels, identity.severity, identity.rule)
    return receivers_of(on_call(services, about, page.at))


def _safe(services: Services, holds: Sequence[Hold]) -> list[Hold] | None:
    """Those whose delivery is triaged and owes no page; None when our database is silent."""
    pairs = [
        (hold.delivery, page.identity.key)
        for hold in holds
        for page in hold.pages
        if hold.delivery is not None
    ]

    def ask() -> set[Any]:
        with services.lifeline.transaction() as tx:
            rows = tx.all(
                "owed_pages",
                deliveries=tuple(delivery for delivery, _ in pairs),
                keys=tuple(key for _, key in pairs),
            )
        return {row["delivery_id"] for row in rows}

    owing = _answered(ask)
    if owing is None:
        return None
    return [hold for hold in holds if hold.delivery and hold.delivery not in owing]


def _answered(ask: Callable[[], Any]) -> Any:
    """What our database answers within SILENCE; None when it does not."""
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(ask())
        except StoreAway:
            return

    asking = threading.Thread(target=run, name="lifeline", daemon=True)
    asking.start()
    asking.join(SILENCE)
    return answers[0] if answers else None


def _send_all(services: Services) -> None:
    """The gravest first; what a receiver would not take in a minute leaves as one message.

    One that has failed is asked with a single message whether it is well again.
    """
    keep, now = services.keep, services.keep.clock()
    keep.waiting = [bare for bare in keep.waiting if bare.until > now]
    single: list[Bare] = []
    for receiver in {bare.receiver for bare in keep.waiting if not keep.resting(bare.receiver)}:
        mine = [bare for bare in keep.waiting if bare.receiver == receiver]
        mine.sort(key=lambda bare: (bare.refused, bare.page.identity.severity))
        times = [at for at in keep.sent_at.get(receiver, []) if at > now - 60]
        keep.sent_at[receiver] = times
        left = max(0, A_MINUTE - len(times))
        if left and receiver in keep.rests:
            single += mine[:1]
            continue
        single += mine[:left]
        more = mine[left:]
        if more and (not times or times[-1] <= now - _SUMMARY_EVERY or left):
            _send_summary(services, receiver, more)
    if single:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="bare") as pool:
            gone = [bare for bare in pool.map(lambda each: _send(services, each), single) if bare]
        _done(services, gone)


def _send(services: Services, bare: Bare) -> Bare | None:
    """One attempt, unless its receiver has just failed; the page when it needs no other one."""
    if services.keep.resting(bare.receiver):
        return None
    page = bare.page
    document = bare_document(services, page.alert, page.identity, page.at.isoformat())
    key = page.identity.key
    message = Message(str(services.new_id()), Happening.OPENED, dedup_key(key), document)
    error = _attempt(services, bare.receiver, message)
    if error is not None:
        bare.refused = error.permanent
        return None
    services.keep.sent.append(Sent(UUID(message.id), page, bare.receiver, document))
    services.log.warning("paged without our database", key=dedup_key(key), receiver=bare.receiver)
    return bare


def _send_summary(services: Services, receiver: str, rest: Sequence[Bare]) -> None:
    counts = Counter(str(bare.page.identity.severity) for bare in rest)
    at = datetime.now(UTC).isoformat()
    told = {"messages": len(rest), "incidents": len(rest), "by_severity": dict(counts)}
    first = [
        {"id": None, "title": bare.page.alert.title, "severity": bare.page.identity.severity}
        for bare in rest[:20]
    ]
    document = {
        "version": 1,
        "summary": {**told, "by_happening": {"opened": len(rest)}, "since": at, "until": at},
        "incidents": first,
        "links": {"self": f"{services.settings.public_url}/v1/incidents"},
    }
    summary_id = str(services.new_id())
    key = dedup_key(f"summary:{summary_id}")
    message = Message(summary_id, Happening.SUMMARY, key, document)
    if _attempt(services, receiver, message) is None:
        _done(services, rest)


def _attempt(services: Services, receiver: str, message: Message) -> Undelivered | None:
    """Why it did not leave; then its receiver rests as after the failure of any other page."""
    keep = services.keep
    try:
        services.receivers[receiver].deliver(message, datetime.now(UTC), TIMEOUT)
    except Undelivered as error:
        services.log.error(
            "a bare page did not leave",
            receiver=receiver,
            why=services.settings.redact.text(str(error)),
        )
        if not keep.resting(receiver):  # else it was counted with one that was under way beside it
            failures = keep.rests[receiver].failures + 1 if receiver in keep.rests else 1
            until = keep.clock() + pause(error, failures, page=True)
            keep.rests[receiver] = Rest(failures, until)
        return error
    keep.sent_at.setdefault(receiver, []).append(keep.clock())
    if not keep.resting(receiver):
        keep.rests.pop(receiver, None)
    return None


def _done(services: Services, gone: Iterable[Bare]) -> None:
    ids = {id(bare) for bare in gone}
    services.keep.waiting = [bare for bare in services.keep.waiting if id(bare) not in ids]


def _flush_now(services: Services) -> bool:
    with services.lifeline.transaction() as tx:
        told = flush(services, tx)
    for sent in told:  # a flush that was slow may have done it meanwhile
        with suppress(ValueError):
            services.keep.sent.remove(sent)
    return True


def flush(services: Services, tx: Transaction) -> list[Sent]:
    """Tell our database what left without it, so that nobody is woken for it a second time.

    What was over before we came to tell hears its end now: triage knew of nobody who was woken.
    """
    told = sorted(services.keep.sent, key=lambda sent: sent.key)
    for sent in told:
        tx.run("share_incident", key=sent.key)
        tx.run("lock_page", key=sent.key)
        tx.run("supersede_bare", key=sent.key, receiver=sent.receiver)
        tx.run(
            "insert_sent_page",
            id=sent.id,
            key=sent.key,
            receiver=sent.receiver,
            document=sent.document,
        )
    for key in sorted({sent.key for sent in told if _is_over(tx, sent.page)}):
        bare_resolve(services, tx, key)
    return told


def _is_over(tx: Transaction, page: Page) -> bool:
    """Its sender has told the end of it meanwhile. Our host's clock may be wrong: it counts only
    where the sender does not say when it began.
    """
    alert = replace(page.alert, starts_at=page.alert.starts_at or page.at)
    row = tx.maybe("condition_times", source=alert.source, fingerprint=alert.fingerprint)
    return row is not None and not merge(Condition(**row), alert, tx.now).firing
