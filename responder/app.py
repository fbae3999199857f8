"""Wires settings, rules, our database and receivers: the only place that knows them all."""

import os
from datetime import timedelta
from pathlib import Path

from responder import __version__
from responder.domain.settings import Settings
from responder.domain.shipped import shipped
from responder.log import make_log
from responder.pipeline.keep import Keep
from responder.pipeline.services import Services
from responder.receivers import RECEIVERS
from responder.runbook.catalogue import Catalogue
from responder.runbook.process import load_apart
from responder.settings import secrets_of
from responder.store import Store
from responder.store.bell import Bell
from responder.store.slots import Slots
from responder.store.vault import Vault


def build(
    settings: Settings,
    pool_size: int = 12,
    offset: timedelta = timedelta(),
    catalogue: Catalogue | None = None,
) -> Services:
    """Everything a process needs; nothing is connected yet, call `services.store.open()`.

    catalogue: of these settings, where it is loaded already. RunbookWrong: a rule cannot be loaded;
    SecretMissing: the database's URL is not there.
    """
    url = settings.database.value()
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Services(
        settings=settings,
        catalogue=catalogue or load_catalogue(settings),
        store=Store(url, pool_size, __version__, offset),
        bell=Bell(url),
        slots=Slots(url),
        vault=Vault(settings.vault.keys),
        receivers={
            name: RECEIVERS[receiver.type](receiver)
            for name, receiver in settings.receivers.items()
        },
        log=make_log(),
        keep=Keep(Path(folder) if folder else None),
        secrets=dict(secrets_of(settings)),
        lifeline_store=Store(url, 1, __version__, offset),
    )


def load_catalogue(settings: Settings) -> Catalogue:
    """The rules of the configured runbook, or of the one that is shipped."""
    root = Path(settings.runbook) if settings.runbook else shipped("rules").parent
    return Catalogue(load_apart(root), settings.targets)
