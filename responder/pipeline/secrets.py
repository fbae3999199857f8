"""Our own secrets: which versions are live, how old they are, when each was last used.

Whoever uses a secret marks it in memory; once a minute each process tells our database.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from responder.domain.actor import Actor, ActorKind
from responder.domain.secret import Secret, SecretMissing, version_of
from responder.pipeline.services import Services
from responder.store import Transaction

#: What a process has found in the settings and nobody has written about.
FOUND = Actor(ActorKind.SYSTEM, "settings")
#: A secret is told of at these ages, and each day from the last one on.
REMINDERS, LONGEST = (timedelta(days=75), timedelta(days=85)), timedelta(days=90)
#: A version that no running process has had for so long is not live any more.
LIVE = timedelta(hours=1)
#: What was used so lately is not retired.
UNUSED = timedelta(hours=24)


class State(StrEnum):
    LIVE = "live"
    DUE = "due"
    RETIRED = "retired"


class InUse(Exception):
    """Why a version cannot be retired now."""


def note_secrets(services: Services) -> None:
    """Tell our database which versions this process has, and which it has used since last time."""
    services.settings.database.use(services.store.url)
    used = {key: secret.used() for key, secret in services.secrets.items()}
    rows = sorted(
        (key, version_of(key, value), value in live, value in used[key])
        for key, secret in services.secrets.items()
        for live in [set(readable(secret))]
        for value in live | used[key]
    )
    with services.store.transaction() as tx:
        for key, version, live, marked in rows:
            see(tx, FOUND, key, version, live, marked)
    for key, secret in services.secrets.items():
        secret.forget(used[key])


def readable(secret: Secret) -> Iterator[str]:
    """The values of those references that are there now."""
    for reference in secret.references:
        try:
            yield from Secret((reference,)).values()
        except SecretMissing:
            continue  # whoever needs it says so


def see(
    tx: Transaction, actor: Actor, key: str, version: str, live: bool = True, used: bool = False
) -> None:
    """A version is there; the first time it is an audit event, and its age begins."""
    seen = tx.maybe("see_secret", key=key, version=version, live=live, used=used)
    if seen is not None and seen["is_new"]:
        tx.record("secret", actor, f"secret {key}", after="live", version=version)


def retire(tx: Transaction, actor: Actor, key: str, version: str) -> None:
    """Nobody needs this version any more; the caller takes it away. InUse."""
    row = tx.maybe("lock_secret", key=key, version=version)
    if row is None:
        raise InUse("no running process has told of it yet, so nobody knows whether it is in use")
    if row["last_used"] is not None and tx.now - row["last_used"] < UNUSED:
        ago = _hours(tx.now - row["last_used"])
        raise InUse(f"it was used {ago} ago; what is not used for 24 h can be retired")
    if tx.now - row["first_seen"] < UNUSED:
        known = _hours(tx.now - row["first_seen"])
        raise InUse(f"it is known for {known} only; what is not used for 24 h can be retired")
    tx.run("retire_secret", key=key, version=version)
    tx.record("secret", actor, f"secret {key}", before="live", after="retired", version=version)


def ages(tx: Transaction) -> dict[str, float]:
    """Days since the oldest live version of each secret was first seen, by its key."""
    return {row["key"]: float(row["days"]) for row in tx.all("secret_ages", live=LIVE)}


def versions(tx: Transaction) -> list[dict[str, Any]]:
    """All versions that were ever seen, with their state and age in days, never the secret."""
    return [_told(row) for row in tx.all("secret_versions", live=LIVE)]


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    days = float(row["days"])
    state = State.DUE if days >= REMINDERS[0].days else State.LIVE
    return {
        **{name: row[name] for name in ("key", "version", "first_seen", "last_used")},
        "age_days": round(days, 1),
        "state": state if row["is_live"] else State.RETIRED,
    }


def _hours(passed: timedelta) -> str:
    minutes = int(passed.total_seconds() // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
