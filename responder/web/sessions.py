"""Who is logged in to the console: a row with an end, and a cookie that only says which.

Asked at each request, so an end or a revoked token holds from the very next one, on any host.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID

from flask import Response, request

from responder.domain.actor import Actor, ActorKind
from responder.pipeline.services import Services
from responder.web.tokens import Caller

#: Unused for so long it ends, and after so long in any case.
IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=12)


@dataclass(frozen=True)
class Session:
    """A person who is logged in; `csrf` is what each of their forms carries."""

    caller: Caller
    csrf: str


def begin(services: Services, caller: Caller) -> str:
    """The cookie's secret of a new session, never one that was there before the login."""
    secret = secrets.token_urlsafe(32)
    with services.store.transaction() as tx:
        session_id = services.new_id()
        tx.run(
            "insert_session",
            id=session_id,
            secret=_digest(secret),
            person=caller.name,
            role=caller.role,
            token_id=caller.token_id,
            longest=LONGEST,
        )
        tx.record("session", caller.actor, f"session {session_id}", after="begun", role=caller.role)
    return secret


def current(services: Services) -> Session | None:
    """The session of the request in hand; None when there is none, or it has ended."""
    secret = request.cookies.get(cookie_name(services))
    if not secret:
        return None
    with services.store.transaction() as tx:
        row = tx.maybe("live_session", secret=_digest(secret), idle=IDLE)
        if row is None:
            return None
        if row["unseen"]:
            tx.run("see_session", id=row["id"])
    caller = Caller(row["person"], row["role"], row["token_id"] or UUID(int=0))
    return Session(caller, hmac.digest(secret.encode(), b"csrf", "sha256").hex())


def end(services: Services) -> None:
    """The session of the request in hand opens nothing any more."""
    secret = request.cookies.get(cookie_name(services), "")
    with services.store.transaction() as tx:
        row = tx.maybe("end_session", secret=_digest(secret))
        if row is not None:
            person = Actor(ActorKind.PERSON, row["person"])
            tx.record("session", person, f"session {row['id']}", after="ended")


def cookie_name(services: Services) -> str:
    """Over https no other host or path can set it; plain http is for a loopback only."""
    return "__Host-responder" if _secure(services) else "responder"


def keep_cookie(services: Services, response: Response, secret: str) -> None:
    """Lax: a link from a chat opens the page; Strict would also break a return from a provider."""
    response.set_cookie(
        cookie_name(services),
        secret,
        max_age=int(LONGEST.total_seconds()),
        secure=_secure(services),
        httponly=True,
        samesite="Lax",
        path="/",
    )


def drop_cookie(services: Services, response: Response) -> None:
    response.delete_cookie(
        cookie_name(services), secure=_secure(services), httponly=True, samesite="Lax", path="/"
    )


def _secure(services: Services) -> bool:
    return urlsplit(services.settings.public_url).scheme == "https"


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
