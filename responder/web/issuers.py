"""Who a bearer token stands for, whoever signed it: we ourselves, or an issuer of [issuers]."""

import re
from collections.abc import Mapping
from typing import Any

import jwt

from responder.domain.actor import ROLES
from responder.domain.denial import Denial
from responder.domain.settings import Issuer, Settings
from responder.sources.pointers import find
from responder.web.callers import Caller, Denied
from responder.web.published import Published
from responder.web.tokens import ISSUER, NO_TOKEN, TokenKeys, header_of, moment, verified

_REQUIRED = ["exp", "iat", "sub", "aud", "iss"]
#: What a token may say that it is: an ID token or an access token, not one of a logout.
_KINDS = ("jwt", "at+jwt", "application/at+jwt")
#: What the audit, a page and a terminal show alike: no letter looks like another one.
_NAME = re.compile(r"[!-~]([ -~]{0,198}[!-~])?")


class Provider:
    """One configured issuer: checks its tokens, and reads who and what somebody is."""

    def __init__(self, issuer: Issuer, log: Any) -> None:
        self.issuer = issuer
        self.published = Published(issuer, log.warning)

    def claims(self, token: str, audience: str) -> dict[str, Any]:
        """The claims of a token for this audience that is right in all. Denied, IssuerAway."""
        header = header_of(token)
        key_id = header.get("kid")
        key = self.published.key(key_id) if isinstance(key_id, str) else None
        if key is None:
            raise Denied(Denial.UNKNOWN_KEY, "the token is signed with an unknown key")
        claims = verified(
            token, key.key, str(key.algorithm_name), audience, self.issuer.url, _REQUIRED
        )
        if str(header.get("typ", "JWT")).lower() not in _KINDS or "events" in claims:
            raise Denied(Denial.WRONG_CLAIMS, "the token is no token of a login")
        return claims

    def caller(self, claims: Mapping[str, Any]) -> Caller:
        """Who the claims are about, with the highest role that they give. Denied: with none."""
        pointers = (self.issuer.name_claim, self.issuer.role_claim)
        if "/email" in pointers and claims.get("email_verified", True) is not True:
            raise Denied(Denial.WRONG_CLAIMS, "the address of the token was never verified")
        name = f"{self.issuer.name}:{self._name(claims)}"
        found = find(claims, self.issuer.role_claim)
        values = found if isinstance(found, list) else [found]
        roles = [
            role
            for role in ROLES
            if any(each in self.issuer.roles.get(role, ()) for each in values)
        ]
        if not roles:
            told = f"{name} has no role here: nothing in {self.issuer.role_claim} gives one"
            raise Denied(Denial.NO_ROLE, told, name)
        return Caller(name, roles[-1], moment(claims["iat"]), moment(claims["exp"]))

    def _name(self, claims: Mapping[str, Any]) -> str:
        pointer = self.issuer.name_claim
        name = find(claims, pointer)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise Denied(Denial.WRONG_CLAIMS, f"the token says no name in {pointer}")
        # However it is written, else one person would be two.
        return name.lower() if pointer == "/email" else name


class Issuers:
    """All that vouch for people."""

    def __init__(self, settings: Settings, log: Any) -> None:
        self._own = TokenKeys(settings.token_keys)
        self._providers = {each.url: Provider(each, log) for each in settings.issuers.values()}
        login = settings.issuers.get(settings.login.issuer)
        #: Where people may log in to the console.
        self.login = self._providers[login.url] if login else None

    def caller(self, token: str) -> Caller:
        """Who a token stands for. Denied: whatever is wrong with it; IssuerAway."""
        header_of(token)
        issuer = claimed(token).get("iss")
        if issuer == ISSUER:
            return self._unlike_others(self._own.caller(token))
        provider = self._providers.get(str(issuer))
        if provider is None:
            raise Denied(Denial.UNKNOWN_ISSUER, "the token is from nobody whom we know")
        return provider.caller(provider.claims(token, provider.issuer.audience))

    def _unlike_others(self, ours: Caller) -> Caller:
        """The holder of a token of ours; it may have been issued before the issuer was named."""
        names = {each.issuer.name for each in self._providers.values()}
        if ours.name.partition(":")[0] in names:
            raise Denied(Denial.WRONG_CLAIMS, "the token names somebody of another issuer")
        return ours


def claimed(token: str) -> dict[str, Any]:
    """What a token says before anybody has checked it; nothing where it is no token."""
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except NO_TOKEN:
        return {}
    return claims
