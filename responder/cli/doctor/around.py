"""What does not need our database: settings, secrets, keys, runbook, the web door, the targets."""

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import requests

from responder.app import load_catalogue
from responder.cli.doctor.sign import Sign, bad, ok, quoted, some, warn
from responder.cli.setup import runbook_mistakes
from responder.domain.answer import ErrorKind
from responder.domain.secret import SecretMissing
from responder.domain.settings import Settings, Target
from responder.settings import unreadable_secrets
from responder.store import StoreAway
from responder.store.migrations import same_server
from responder.store.slots import Slots
from responder.targets.rights import ask_rights
from responder.web.tokens import read_keys

#: Longer than a web process waits for our database before it says that it is not ready.
_DOOR_SECONDS = 4.0
_SLOT_SECONDS = 1.0


def written(settings: Settings, config: Path) -> Iterator[Sign]:
    """settings, secrets, runbook: the mistakes that `check` finds."""
    counts = {
        "source": len(settings.sources),
        "target": len(settings.targets),
        "receiver": len(settings.receivers),
    }
    told = ", ".join(some(count, thing) for thing, count in counts.items())
    yield ok("settings", f"{config} has {told}")
    mistakes = unreadable_secrets(settings)
    for mistake in mistakes:
        yield bad("secrets", mistake, "provide it, then restart what needs it")
    if not mistakes:
        yield ok("secrets", "all can be read")
    mistakes = list(runbook_mistakes(settings))
    for mistake in mistakes:
        yield bad("runbook", mistake, "mend it; `responder check` names every mistake")
    if not mistakes:
        yield ok("runbook", some(len(load_catalogue(settings).rules), "rule"))


def dead_man(settings: Settings) -> Iterator[Sign]:
    """Whether anybody would notice that all of us are gone."""
    if settings.dead_man is None:
        yield warn("dead man", "nobody would notice if we fell silent", "configure [dead_man]")


def keys(settings: Settings) -> Iterator[Sign]:
    """The files that sign tokens: readable, and by us alone."""
    for reference in settings.token_keys.references:
        kind, _, place = reference.partition(":")
        mode = Path(place).stat().st_mode if kind == "file" and Path(place).exists() else 0
        if stat.S_IMODE(mode) & 0o077:
            said = f"{place} can be read by others: {stat.S_IMODE(mode):04o}"
            yield warn("keys", said, f"chmod 600 {place}")
    try:
        known = {key for text in settings.token_keys.values() for key in read_keys(text)}
    except SecretMissing as wrong:
        yield bad("keys", f"no token is valid: {wrong}", "restore them, or: responder token keys")
    else:
        yield ok("keys", f"{some(len(known), 'key')} for tokens")


def door(settings: Settings) -> Iterator[Sign]:
    """Whether somebody takes webhooks at the address that people and senders know."""
    url = settings.public_url.rstrip("/") + "/readyz"
    do = "is `responder serve` running, and is public_url right?"
    try:
        answer = requests.get(url, timeout=_DOOR_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        yield bad("web", f"{url} cannot be asked: {type(error).__name__}", do)
        return
    took = f"{url} answers in {answer.elapsed.total_seconds() * 1000:.0f} ms"
    if answer.status_code == 200:
        yield ok("web", took)
    elif answer.status_code == 503:
        yield bad("web", f"{url} is not ready: senders get 503", "see database below")
    else:
        yield bad("web", f"{took}, with {answer.status_code}", do)


def targets(settings: Settings, database: str | None) -> Iterator[Sign]:
    """Each target is asked one question, as a diagnostic asks it, all at the same time."""
    slots = Slots(database) if database else None
    with ThreadPoolExecutor(max(1, len(settings.targets))) as pool:
        yield from pool.map(lambda each: _target(each, slots, database), settings.targets.values())
    if slots is not None:
        slots.close()


def _target(target: Target, slots: Slots | None, database: str | None) -> Sign:
    what = f"target {target.name}"
    try:
        slot = slots.reading(target.name, False, _SLOT_SECONDS) if slots else nullcontext(True)
        with slot as got:
            if not got:
                return warn(
                    what, "not asked: all its diagnosing connections are in use", "ask again"
                )
            answer = ask_rights(target, datetime.now(UTC))
    except StoreAway:
        return warn(what, "not asked: our database went away", "ask again")
    if answer.error is not None:
        said = f"{answer.error.kind}: {quoted(answer.error.message)}"
        login = answer.error.kind in (ErrorKind.LOGIN, ErrorKind.DENIED)
        do = f"mend targets.{target.name}.reading" if login else "look at the target itself"
        return bad(what, said, do)
    (row,) = answer.rows
    role = quoted(str(row["role"]))
    if row["superuser"] or row["writable"]:
        tables = f"{row['writable']} tables, such as {quoted(str(row['example']))}"
        rights = "is a superuser" if row["superuser"] else f"can change {tables}"
        return bad(what, f"its reading role {role} {rights}", "let it read, nothing else")
    if database and same_server(database, target.reading):
        return bad(what, "it is the server of our own database", "move ours: it must stand alone")
    return ok(what, f"{role} reads in {answer.ms:.0f} ms and cannot write")
