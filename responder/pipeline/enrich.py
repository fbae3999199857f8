"""Ask a sender for what its webhook leaves out, before its alerts are triaged."""

from uuid import UUID

from responder.domain.alert import notice_from_json
from responder.log import about
from responder.pipeline.door import taken_in
from responder.pipeline.services import Services
from responder.sources import ENRICHERS

#: Seconds; the page of a delivery that is asked for waits a little longer than this.
TIMEOUT = 1.5


def enrich(services: Services, delivery_id: UUID) -> None:
    """Put what the sender answers into the delivery; without an answer it stays as it is."""
    with services.store.transaction() as tx:
        row = tx.maybe("untriaged_delivery", id=delivery_id)
        now = tx.now
    source = services.settings.sources.get(row["source"]) if row else None
    if row is None or source is None or not source.token or source.type not in ENRICHERS:
        return
    before = [notice_from_json(plain) for plain in row["notices"]]
    with about(delivery=delivery_id):
        notices, trouble = ENRICHERS[source.type](before, source, now, TIMEOUT)
        if trouble:
            services.log.warning("the sender was asked for more, in vain", why=trouble)
    alerts = sum("echo" not in notice.to_json() for notice in notices)
    with services.store.transaction() as tx:
        tx.run(
            "enrich_delivery",
            id=delivery_id,
            received_at=row["received_at"],
            notices=[notice.to_json() for notice in taken_in(services, notices)],
            alert_count=alerts,
        )
