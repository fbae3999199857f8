"""The keys of [issuers.<name>], by type, and of [login]: who vouches for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from responder.domain.settings import Login
from responder.settings.fields import FILLED, Items, Keys, Table, Value
from responder.settings.values import (
    read_base_url,
    read_duration,
    read_filled_text,
    read_issuer,
    read_pointer,
    read_secret,
    read_text,
)

#: Where a user of Supabase may write by himself.
_USERS_OWN = "/user_metadata"


class RolesKeys(Keys):
    """Which values of the role claim give which role."""

    viewer = Items(Value(read_filled_text), validate=FILLED)
    operator = Items(Value(read_filled_text), validate=FILLED)
    admin = Items(Value(read_filled_text), validate=FILLED)

    @validates_schema(skip_on_field_errors=True)
    def check(self, data: Any, **kwargs: Any) -> None:
        if not data:
            raise ValidationError("needs viewer, operator or admin: without, nobody gets in")


class OidcKeys(Keys):
    type = Value(read_text)
    issuer = Value(read_issuer, required=True, attribute="url")
    audience = Value(read_filled_text, required=True)
    role_claim = Value(read_pointer, required=True)
    roles = Table(RolesKeys, required=True)
    name_claim = Value(read_pointer, load_default="/sub")


class SupabaseKeys(Keys):
    type = Value(read_text)
    project = Value(read_issuer, required=True)
    audience = Value(read_filled_text, load_default="authenticated")
    role_claim = Value(read_pointer, load_default="/app_metadata/role")
    roles = Table(RolesKeys, required=True)
    name_claim = Value(read_pointer, load_default="/email")

    @validates_schema(skip_on_field_errors=True)
    def check(self, data: Any, **kwargs: Any) -> None:
        own = [key for key in ("role_claim", "name_claim") if data[key].startswith(_USERS_OWN)]
        if own:
            raise ValidationError({key: ["users write their user_metadata"] for key in own})

    @post_load
    def lift(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        url = f"{read_base_url(data.pop('project'))}/auth/v1"
        return {**data, "url": url, "jwks_url": f"{url}/.well-known/jwks.json"}


ISSUERS = {"oidc": Table(OidcKeys), "supabase": Table(SupabaseKeys)}


class LoginKeys(Keys):
    issuer = Value(read_text)
    client_id = Value(read_filled_text)
    client_secret = Value(read_secret)
    idle = Value(read_duration)
    longest = Value(read_duration)

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def check(self, data: Any, original: Mapping[str, Any], **kwargs: Any) -> None:
        written = original if isinstance(original, dict) else {}
        if ("issuer" in written) != ("client_id" in written):
            raise ValidationError("needs both issuer and client_id, or neither")
        if "client_secret" in written and "issuer" not in written:
            raise ValidationError({"client_secret": ["is of no use without issuer"]})

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Login:
        return Login(**data)


def mistaken_issuers(
    issuers: Mapping[str, Any], login: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """The way to each issuer that cannot be told from another one, and to an unfit login."""
    first: dict[str, str] = {}
    for name, keys in issuers.items():
        kind = keys.get("type") if isinstance(keys, dict) else None
        key = {"oidc": "issuer", "supabase": "project"}.get(str(kind), "")
        url = keys.get(key) if key else None
        if isinstance(url, str) and first.setdefault(url.rstrip("/"), name) != name:
            yield ("issuers", name, key), f"is that of {first[url.rstrip('/')]!r}, too"
    wanted = login.get("issuer")
    if not isinstance(wanted, str):
        return  # it is not there, or the schema says so
    if wanted not in issuers:
        known = ", ".join(issuers) or "none"
        yield ("login", "issuer"), f"there is no issuer {wanted!r}; known are {known}"
    elif isinstance(issuers[wanted], dict) and issuers[wanted].get("type") != "oidc":
        yield ("login", "issuer"), f"{wanted!r} is not of type oidc: one cannot log in there"
