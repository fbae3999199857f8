"""Logging in at an OpenID provider: the code flow with PKCE, with nothing kept on our side.

All that the return must fit (state, nonce, PKCE's verifier) is derived from one secret, `seed`,
which the browser keeps in a cookie until it comes back.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus, urlencode

from responder.domain.denial import Denial
from responder.domain.settings import Login
from responder.outbound import Refused, Undelivered, post
from responder.sources import NotUnderstood, Unreadable, read_json
from responder.web.callers import Caller, Denied
from responder.web.issuers import Provider
from responder.web.published import IssuerAway

_TIMEOUT = 5.0


def address(provider: Provider, login: Login, seed: str, return_to: str) -> str:
    """Where the browser goes to log in. IssuerAway."""
    challenge = hashlib.sha256(_derived(seed, "verifier").encode()).digest()
    asked = {
        "response_type": "code",
        "client_id": login.client_id,
        "redirect_uri": return_to,
        "scope": "openid profile email",
        "state": _derived(seed, "state"),
        "nonce": _derived(seed, "nonce"),
        "code_challenge": _base64(challenge),
        "code_challenge_method": "S256",
    }
    url = provider.published.endpoint("authorization_endpoint")
    return f"{url}{'&' if '?' in url else '?'}{urlencode(asked)}"


def fits(seed: str, came: Mapping[str, str]) -> bool:
    """Whether these parameters are the return of the login that was begun with this seed."""
    return _same(came.get("state"), _derived(seed, "state"))


def caller(
    provider: Provider, login: Login, seed: str, return_to: str, came: Mapping[str, str]
) -> Caller:
    """Who came back with these parameters. Denied: nobody whom we sent there; IssuerAway."""
    if not fits(seed, came):
        raise Denied(Denial.WRONG_RETURN, "this login was not begun in this browser; begin anew")
    if came.get("iss", provider.issuer.url) != provider.issuer.url:
        raise Denied(Denial.WRONG_RETURN, "this is the return from another provider")
    if "code" not in came:
        raise Denied(Denial.WRONG_RETURN, "the provider did not log you in")
    form = {
        "grant_type": "authorization_code",
        "code": came["code"],
        "redirect_uri": return_to,
        "client_id": login.client_id,
        "code_verifier": _derived(seed, "verifier"),
    }
    claims = provider.claims(_redeemed(provider, login, form), login.client_id)
    if not _same(claims.get("nonce"), _derived(seed, "nonce")):
        raise Denied(Denial.WRONG_RETURN, "the token is of another login")
    if claims.get("azp", login.client_id) != login.client_id:
        raise Denied(Denial.WRONG_AUDIENCE, "the token is for another client")
    return provider.caller(claims)


def _redeemed(provider: Provider, login: Login, form: Mapping[str, str]) -> str:
    """The ID token that a code is good for, one time."""
    headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
    if login.client_secret is not None:
        pair = f"{quote_plus(login.client_id)}:{quote_plus(login.client_secret.value())}"
        headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    url = provider.published.endpoint("token_endpoint")
    body, now = urlencode(form).encode(), datetime.now(UTC)
    try:
        told = read_json(post(url, body, headers, now=now, timeout=_TIMEOUT))
    except Refused as refused:
        if not refused.permanent:
            raise IssuerAway(f"{provider.issuer.name}: {refused}") from None
        raise Denied(Denial.WRONG_RETURN, "the provider does not know this login") from None
    except Undelivered as away:
        raise IssuerAway(f"{provider.issuer.name}: {away}") from None
    except (NotUnderstood, Unreadable):
        told = None
    token = told.get("id_token") if isinstance(told, dict) else None
    if not isinstance(token, str):
        raise Denied(Denial.WRONG_RETURN, "the provider does not say who you are")
    return token


def _derived(seed: str, purpose: str) -> str:
    return _base64(hmac.digest(seed.encode(), purpose.encode(), "sha256"))


def _same(told: Any, expected: str) -> bool:
    return isinstance(told, str) and hmac.compare_digest(
        told.encode(errors="replace"), expected.encode()
    )


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
