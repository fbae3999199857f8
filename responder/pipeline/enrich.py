"""Ask senders for what their webhooks leave out, before their alerts are triaged."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from responder.domain.alert import Notice, notice_from_json
from responder.log import about
from responder.pipeline.door import taken_in
from responder.pipeline.services import Services
from responder.sources import ENRICHERS
from responder.store import Transaction

#: Seconds; the page of a delivery that is asked for waits a little longer than this.
TIMEOUT = 1.5
#: Deliveries whose senders are asked at the same time.
ASKED_TOGETHER = 8


def is_asked(services: Services, source: str) -> bool:
    """Whether the deliveries of this source leave something out that it would tell."""
    configured = services.settings.sources.get(source)
    return configured is not None and bool(configured.token) and configured.type in ENRICHERS


def enrich(
    services: Services, tx: Transaction, rows: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    """These locked deliveries, with what their senders answer; without an answer as they are."""
    if not any(is_asked(services, row["source"]) for row in rows):
        return rows
    with ThreadPoolExecutor(ASKED_TOGETHER, thread_name_prefix="ask") as pool:
        told = list(pool.map(lambda row: _ask(services, tx, row), rows))
    return [_keep(tx, row, notices) for row, notices in zip(rows, told, strict=True)]


def _ask(services: Services, tx: Transaction, row: Mapping[str, Any]) -> Sequence[Notice]:
    source = services.settings.sources.get(row["source"])
    before = [notice_from_json(plain) for plain in row["notices"]]
    if source is None or not is_asked(services, source.name):
        return before
    with about(delivery=row["id"]):
        notices, trouble = ENRICHERS[source.type](before, source, tx.now, TIMEOUT)
        if trouble:
            services.log.warning("the sender was asked for more, in vain", why=trouble)
    return taken_in(services, notices)


def _keep(tx: Transaction, row: Mapping[str, Any], notices: Sequence[Notice]) -> Mapping[str, Any]:
    plain = [notice.to_json() for notice in notices]
    tx.run(
        "enrich_delivery",
        id=row["id"],
        received_at=row["received_at"],
        notices=plain,
        alert_count=sum("echo" not in each for each in plain),
    )
    return {**row, "notices": plain}
