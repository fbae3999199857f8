"""Logging in to the console, by a token or at a provider, and out."""

import base64
import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta
from math import ceil

from flask import Response, g, request, url_for

from responder.domain.denial import Denial
from responder.web import oidc, sessions
from responder.web.callers import Caller, Denied, admitted
from responder.web.console.pages import Pages, back_to, go_to, own_path, services, show
from responder.web.guard import issuers, note_denial
from responder.web.issuers import claimed

#: Wrong attempts by one address, or under one name, in five minutes, that are each answered.
TRIES = 10
#: What a browser keeps while it is at the provider, and for how long: of the newest logins, for
#: each of its pages may go there, as much as a cookie holds.
_UNDER_WAY, _LONGEST_WAY = "responder-login", timedelta(minutes=10)
_MOST_UNDER_WAY, _LONGEST_PATH = 5, 500


def register(pages: Pages) -> None:
    """Everybody may come to the door."""

    @pages.read("/login", role=None)
    def login() -> Response:
        wanted, session = own_path(request.args.get("next")), g.session
        if session is not None and not session.to_recheck:
            return go_to(wanted)
        if session is not None and issuers().login and sessions.is_navigation():
            return go_to(url_for("console.go_to_provider", next=wanted))
        return _door(200, wanted)

    @pages.change("/login", role=None)
    def log_in() -> Response:
        wanted, token = own_path(request.form.get("next")), request.form.get("token", "").strip()
        try:
            caller = admitted(services(), issuers().caller(token))
            if caller.scope is not None:
                raise Denied(Denial.SCOPE, "this token is for the API alone", caller.name)
        except Denied as denied:
            return _wrong(denied, wanted, denied.who or str(claimed(token).get("sub", "")))
        secret = sessions.begin(services(), caller, latest=caller.expires_at)
        return _entered(secret, wanted)

    @pages.read("/login/provider", role=None)
    def go_to_provider() -> Response:
        provider, wanted = issuers().login, own_path(request.args.get("next"))
        if provider is None:
            return back_to("login")
        if g.session is None and _sent_by_others():
            return back_to("login", next=wanted)
        seed = secrets.token_urlsafe(32)
        address = oidc.address(provider, services().settings.login, seed, _return_address())
        response = go_to(address)
        begun = [f"{seed}.{_packed(wanted)}", *_under_way()]
        _keep_under_way(response, begun[:_MOST_UNDER_WAY])
        return response

    @pages.read("/login/return", role=None)
    def come_from_provider() -> Response:
        provider, settings = issuers().login, services().settings.login
        begun, came = _under_way(), request.args.to_dict()
        if provider is None or not begun:
            return back_to("login")
        fitting = [each for each in begun if oidc.fits(each.partition(".")[0], came)]
        seed, _, packed = (fitting or begun)[0].partition(".")
        wanted = own_path(_unpacked(packed))
        try:
            caller = oidc.caller(provider, settings, seed, _return_address(), came)
            response = _back(admitted(services(), caller), wanted)
        except Denied as denied:
            response = _wrong(denied, wanted, denied.who)
        _keep_under_way(response, [each for each in begun if each not in fitting])
        return response

    @pages.change("/logout", role=None)
    def log_out() -> Response:
        sessions.end(services())
        response = back_to("login")
        sessions.drop_cookie(services(), response)
        return response


def _back(caller: Caller, wanted: str) -> Response:
    """A re-check of the same person makes the session no longer."""
    former = g.session.caller if g.session and g.session.to_recheck else None
    latest = former.expires_at if former and former.name == caller.name else None
    return _entered(sessions.begin(services(), caller, latest, recheck=True), wanted)


def _entered(secret: str, wanted: str) -> Response:
    """The session that was there before, if there was one, is over."""
    sessions.end(services())
    response = go_to(wanted)
    sessions.keep_cookie(services(), response, secret)
    return response


def _door(status: int, wanted: str, wrong: str = "") -> Response:
    provider = issuers().login
    name = provider.issuer.name if provider else ""
    return show("login", status, next=wanted, wrong=wrong, provider=name)


def _wrong(denied: Denied, wanted: str, name: str) -> Response:
    """Whoever tries too often is told nothing but to wait; what is right opens all the same, so
    nobody can be locked out by somebody else.
    """
    note_denial(denied)
    wait = _to_wait(f"address {request.remote_addr}") or (name and _to_wait(f"name {name}"))
    if not wait:
        return _door(denied.status, wanted, denied.detail)
    told = f"there were too many wrong attempts, wait {ceil(wait)} seconds"
    response = _door(429, wanted, told)
    response.headers["Retry-After"] = str(ceil(wait))
    return response


def _to_wait(who: str) -> float:
    """Seconds, 0 when there were few wrong attempts so far."""
    with services().store.transaction() as tx:
        digest = hashlib.sha256(who.encode(errors="replace")).hexdigest()
        row = tx.one("count_login_failure", who=digest)
    return float(row["wait"]) if row["failures"] > TRIES else 0.0


def _sent_by_others() -> bool:
    """A link elsewhere begins no session: a provider may let somebody in without a word."""
    return request.headers.get("Sec-Fetch-Site", "none") in ("cross-site", "same-site")


def _return_address() -> str:
    """As it is registered at the provider."""
    return services().settings.public_url.rstrip("/") + url_for("console.come_from_provider")


def _under_way() -> list[str]:
    """The logins that this browser has begun and not ended, the newest first: seed.page"""
    kept = request.cookies.get(sessions.cookie_name(services(), _UNDER_WAY), "")
    return [each for each in kept.split("~") if not each.startswith(".") and each]


def _keep_under_way(response: Response, begun: Sequence[str]) -> None:
    if begun:
        kept = "~".join(begun)
        sessions.keep_cookie(services(), response, kept, _UNDER_WAY, _LONGEST_WAY)
    else:
        sessions.drop_cookie(services(), response, _UNDER_WAY)


def _packed(path: str) -> str:
    return base64.urlsafe_b64encode(path[:_LONGEST_PATH].encode()).decode()


def _unpacked(packed: str) -> str:
    try:
        return base64.urlsafe_b64decode(packed).decode("ascii")
    except ValueError:
        return ""
