"""Wires settings, rules, our database and receivers: the only place that knows them all."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from responder import __version__
from responder.domain.settings import Settings
from responder.domain.shipped import shipped
from responder.pipeline.services import Services
from responder.receivers import RECEIVERS
from responder.runbook.catalogue import Catalogue
from responder.runbook.loader import load
from responder.store import Store
from responder.store.slots import Slots


def build(settings: Settings, pool_size: int = 8, offset: timedelta = timedelta()) -> Services:
    """Everything a process needs; nothing is connected yet, call `services.store.open()`.

    RunbookWrong: a rule cannot be loaded; SecretMissing: the database's URL is not there.
    """
    url = settings.database.value()
    return Services(
        settings=settings,
        catalogue=load_catalogue(settings),
        store=Store(url, pool_size, __version__, offset),
        slots=Slots(url),
        receivers={
            name: RECEIVERS[receiver.type](receiver)
            for name, receiver in settings.receivers.items()
        },
        log=make_log(),
    )


def load_catalogue(settings: Settings) -> Catalogue:
    """The rules of the configured runbook, or of the one that is shipped."""
    root = Path(settings.runbook) if settings.runbook else shipped("rules").parent
    return Catalogue(load(root), settings.targets)


def make_log() -> Any:
    """One JSON object a line on standard output."""
    return structlog.wrap_logger(
        structlog.PrintLogger(),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )
