"""Senders: one file each, from a raw request to alerts in our own words."""

from collections.abc import Mapping

from responder.sources.adapter import (
    Adapter,
    NotUnderstood,
    Request,
    Unauthenticated,
    Unreadable,
)
from responder.sources.alertmanager import Alertmanager
from responder.sources.payload import read_json

__all__ = [
    "ADAPTERS",
    "Adapter",
    "NotUnderstood",
    "Request",
    "Unauthenticated",
    "Unreadable",
    "read_json",
]

#: By the `type` of a source in responder.toml.
ADAPTERS: Mapping[str, Adapter] = {"alertmanager": Alertmanager()}
