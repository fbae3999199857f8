"""Who is logged in to the console: a row with an end, and a cookie that only says which.

Asked at each request, so an end or a revoked token holds from the very next one, on any host.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from flask import Response, request

from responder.domain.actor import Actor, ActorKind
from responder.domain.denial import Denial
from responder.pipeline.services import Services
from responder.web.callers import Caller, Denied
from responder.web.guard import note_denial

#: So long after a login at a provider it is asked again, for a role may have been taken away there.
RECHECK = timedelta(hours=1)


@dataclass(frozen=True)
class Session:
    """A person who is logged in; `csrf` is what each of their forms carries.

    to_recheck: the provider must be asked first whether they still may what they might.
    """

    caller: Caller
    csrf: str
    to_recheck: bool = False


def begin(
    services: Services, caller: Caller, latest: datetime | None = None, recheck: bool = False
) -> str:
    """The cookie's secret of a new session, never one that was there before the login.

    latest: when what it was begun with ends. recheck: it was begun at a provider.
    """
    secret = secrets.token_urlsafe(32)
    with services.store.transaction() as tx:
        session_id, longest = services.new_id(), tx.now + services.settings.login.longest
        tx.run(
            "insert_session",
            id=session_id,
            secret=_digest(secret),
            person=caller.name,
            role=caller.role,
            token_id=caller.token_id,
            ends_at=min(longest, latest or longest),
            recheck_at=tx.now + RECHECK if recheck else None,
        )
        told: dict[str, Any] = {"role": caller.role, "address": request.remote_addr}
        tx.record("session", caller.actor, f"session {session_id}", after="begun", **told)
    return secret


def current(services: Services) -> Session | None:
    """The session of the request in hand; None when there is none, or it has ended.

    A cookie that opens nothing though its time is not over is somebody's attempt.
    """
    secret = request.cookies.get(cookie_name(services))
    if not secret:
        return None
    with services.store.transaction() as tx:
        row = tx.maybe("session", secret=_digest(secret), idle=services.settings.login.idle)
        over = row is None or row["ended"] or row["timed_out"]
        if row is not None and not over and row["unseen"] and _by_a_person():
            tx.run("see_session", id=row["id"])
    if row is None or row["ended"]:
        who = row["person"] if row else ""
        note_denial(Denied(Denial.NOT_LOGGED_IN, "the session has ended", who))
    if row is None or over:
        return None
    caller = Caller(row["person"], row["role"], row["begun_at"], row["ends_at"], row["token_id"])
    return Session(caller, _csrf(secret), row["to_recheck"])


def end(services: Services) -> None:
    """The session of the request in hand opens nothing any more."""
    secret = request.cookies.get(cookie_name(services), "")
    with services.store.transaction() as tx:
        row = tx.maybe("end_session", secret=_digest(secret))
        if row is not None:
            person = Actor(ActorKind.PERSON, row["person"])
            tx.record("session", person, f"session {row['id']}", after="ended")


def of(services: Services, person: str) -> Sequence[Mapping[str, Any]]:
    """Where a person is logged in: id, role, begun_at, seen_at, ends_at, and whether it is here."""
    secret = request.cookies.get(cookie_name(services), "")
    with services.store.transaction() as tx:
        return tx.all(
            "sessions_of", person=person, secret=_digest(secret), idle=services.settings.login.idle
        )


def end_these(services: Services, caller: Caller, ids: Sequence[UUID]) -> None:
    """These sessions of the caller's open nothing any more; those of others are left alone."""
    with services.store.transaction() as tx:
        for row in tx.all("end_sessions_of", person=caller.name, ids=tuple(ids)):
            tx.record("session", caller.actor, f"session {row['id']}", after="ended")


def cookie_name(services: Services, purpose: str = "responder") -> str:
    """Over https no other host or path can set it; plain http is for a loopback only."""
    return f"__Host-{purpose}" if _secure(services) else purpose


def keep_cookie(
    services: Services,
    response: Response,
    secret: str,
    purpose: str = "responder",
    age: timedelta | None = None,
) -> None:
    """Lax: a link from a chat opens the page; Strict would also break a return from a provider."""
    response.set_cookie(
        cookie_name(services, purpose),
        secret,
        max_age=age or services.settings.login.longest,
        secure=_secure(services),
        httponly=True,
        samesite="Lax",
        path="/",
    )


def drop_cookie(services: Services, response: Response, purpose: str = "responder") -> None:
    """The browser forgets it."""
    response.delete_cookie(
        cookie_name(services, purpose),
        secure=_secure(services),
        httponly=True,
        samesite="Lax",
        path="/",
    )


def is_navigation() -> bool:
    """Whether a person goes to a page, not a script of ours that looks for news."""
    return request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"


def _by_a_person() -> bool:
    """A page that asks for news by itself keeps nobody logged in who has left."""
    return request.method != "GET" or is_navigation()


def _secure(services: Services) -> bool:
    return urlsplit(services.settings.public_url).scheme == "https"


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _csrf(secret: str) -> str:
    return hmac.digest(secret.encode(), b"csrf", "sha256").hex()
