"""What does not need our database: settings, secrets, keys, runbook, the web door, the targets."""

import stat
from collections.abc import Iterator
from pathlib import Path

import requests

from responder.app import load_catalogue
from responder.cli.doctor.sign import Sign, bad, ok, quoted, some, warn
from responder.cli.roles import rights_of
from responder.cli.setup import runbook_mistakes
from responder.domain.answer import ErrorKind
from responder.domain.secret import SecretMissing
from responder.domain.settings import Settings, Target
from responder.runbook.loader import RunbookWrong
from responder.runbook.needs import Role
from responder.settings import unreadable_secrets
from responder.store.migrations import same_server
from responder.targets.rights import Rights
from responder.web.published import IssuerAway, Published
from responder.web.tokens import read_keys

#: Longer than a web process waits for our database before it says that it is not ready.
_DOOR_SECONDS = 4.0


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
    """The files that sign tokens and encrypt: readable, and by us alone."""
    for reference in settings.token_keys.references + settings.vault.keys.references:
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


def issuers(settings: Settings) -> Iterator[Sign]:
    """Whether those who vouch for people can be asked for their keys, and for a login."""
    for issuer in settings.issuers.values():
        what, heard = f"issuer {issuer.name}", list[str]()
        published = Published(issuer, lambda *_, heard=heard, **told: heard.append(told["why"]))
        try:
            published.key("")
            if issuer.name == settings.login.issuer:
                published.endpoint("authorization_endpoint")
                published.endpoint("token_endpoint")
        except IssuerAway as away:
            do = "its people get in only while the keys that were read last are good"
            yield bad(what, quoted("; ".join(heard) or str(away)), do)
        else:
            yield ok(what, "says by which keys its tokens are signed")


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
    """Each role of each target is asked what it can do, all at the same time."""
    try:
        catalogue = load_catalogue(settings)
    except RunbookWrong:
        for name in settings.targets:
            yield warn(f"target {name}", "not asked: what it must allow is unknown", "see runbook")
        return
    for rights in rights_of(settings, catalogue, database):
        yield _target(settings.targets[rights.target], rights, database)


def _target(target: Target, rights: Rights, database: str | None) -> Sign:
    reads = rights.kind == Role.READING
    what = f"target {target.name}" if reads else f"fixes on {target.name}"
    if rights.not_asked:
        return warn(what, f"not asked: {rights.not_asked}", "ask again")
    if rights.error is not None:
        said = f"{rights.error.kind}: {quoted(rights.error.message)}"
        login = rights.error.kind in (ErrorKind.LOGIN, ErrorKind.DENIED)
        key = "reading" if reads else "writing"
        do = f"mend targets.{target.name}.{key}" if login else "look at the target itself"
        return bad(what, said, do)
    role = quoted(rights.role)
    do = f"run what this prints: responder roles --target {target.name}"
    if rights.excess:
        first, *others = rights.excess
        more = f" and {len(others)} more" if others else ""
        return bad(what, f"its role {role} has {quoted(first.what)}{more}, which no rule needs", do)
    if rights.missing:
        return bad(what, f"its role {role} lacks {quoted(', '.join(rights.missing))}", do)
    if reads and database and same_server(database, target.reading):
        return bad(what, "it is the server of our own database", "move ours: it must stand alone")
    can = "reads in" if reads else "answers in"
    return ok(what, f"{role} {can} {rights.ms:.0f} ms and can do no more than it needs")
