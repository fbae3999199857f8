"""The dead man's ping: somebody else's clock alarms when we are silent, or are not well."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from responder.domain.secret import SecretMissing
from responder.outbound import Undelivered, get
from responder.pipeline.services import Services
from responder.store.jobs import DEAD_AFTER

#: What waits longer than this is not well.
OVERDUE = timedelta(seconds=60)
TIMEOUT = 10.0


def ping(services: Services) -> None:
    """One ping over all hosts in each `every`, when ledger, workers and pages are well."""
    dead_man = services.settings.dead_man
    if dead_man is None:
        return
    with services.store.transaction() as tx:
        if not tx.run("claim_ping", every=dead_man.every):
            return
        health = tx.one("health", overdue=OVERDUE, dead_after=DEAD_AFTER)
    ill = list(troubles(health))
    if ill:
        services.log.error("not well, so the dead man is not pinged", why="; ".join(ill))
        return
    try:
        get(dead_man.url.value(), {}, now=health["now"], timeout=TIMEOUT)
    except (Undelivered, SecretMissing) as error:
        services.log.warning("the dead man was not pinged", why=str(error))
        return
    with services.store.transaction() as tx:
        tx.run("pinged")


def troubles(health: Mapping[str, Any]) -> Iterator[str]:
    """What is not well, one short sentence each."""
    if health["lost"]:
        yield f"{health['lost']} alerts or incidents have no outcome and no next step"
    if health["untriaged"]:
        yield f"{health['untriaged']} deliveries have waited for triage for more than a minute"
    if health["pages"]:
        yield f"{health['pages']} pages are overdue or were given up"
    if not health["workers"]:
        yield "no worker is alive"
