"""Tokens of other issuers: which open, which do not, and what holds while the issuer is away."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from responder.domain.denial import Denial
from responder.domain.ids import new_id
from responder.domain.secret import Secret
from responder.domain.settings import Issuer, Settings
from responder.log import make_log
from responder.settings import read
from responder.web.callers import Denied
from responder.web.issuers import Issuers
from responder.web.published import COOL_DOWN, FRESH, LULL, STALE, IssuerAway, Published
from responder.web.tokens import TokenKeys, new_keys
from tests.provider import AUDIENCE, KEYS, Provider

RSA = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
ROLES = {"viewer": ["staff"], "operator": ["sre"], "admin": ["admins"]}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


def issuer(provider: Provider, **changes: Any) -> Issuer:
    known = Issuer("company", "oidc", provider.url, AUDIENCE, "/groups", ROLES, "/email")
    return replace(known, **changes)


@pytest.fixture
def settings(provider: Provider, tmp_path: Path) -> Settings:
    (tmp_path / "keys.json").write_text(new_keys(new_id()))
    keys = Secret((f"file:{tmp_path}/keys.json",))
    return Settings(keys, keys, issuers={"company": issuer(provider)})


@pytest.fixture
def issuers(settings: Settings) -> Issuers:
    return Issuers(settings, make_log())


def why(issuers: Issuers, token: str) -> Denial | str:
    """Why a token does not open, else who it is, and with which role."""
    try:
        caller = issuers.caller(token)
    except Denied as denied:
        return denied.why
    return f"{caller.name} {caller.role}"


# What opens


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({}, "company:ann@example.com admin"),
        ({"groups": "sre"}, "company:ann@example.com operator"),
        ({"groups": ["staff", "others", 7, None, {}]}, "company:ann@example.com viewer"),
        ({"groups": []}, Denial.NO_ROLE),
        ({"groups": None}, Denial.NO_ROLE),
        ({"groups": {"admins": 1}}, Denial.NO_ROLE),
        ({"groups": [["admins"]]}, Denial.NO_ROLE),
        ({"groups": "admins sre"}, Denial.NO_ROLE),
        ({"role": "admin", "groups": []}, Denial.NO_ROLE),
        ({"email": "Ann@Example.COM"}, "company:ann@example.com admin"),
        ({"email_verified": True}, "company:ann@example.com admin"),
        ({"email_verified": False}, Denial.WRONG_CLAIMS),
        ({"email_verified": "false"}, Denial.WRONG_CLAIMS),
        ({"email": None}, Denial.WRONG_CLAIMS),
        ({"email": ""}, Denial.WRONG_CLAIMS),
        ({"email": ["ann"]}, Denial.WRONG_CLAIMS),
        ({"email": "ann\nSet-Cookie: x"}, Denial.WRONG_CLAIMS),
        ({"email": "\u0430nn"}, Denial.WRONG_CLAIMS),
        ({"email": "a\0b"}, Denial.WRONG_CLAIMS),
        ({"email": " ann"}, Denial.WRONG_CLAIMS),
        ({"email": "a" * 201}, Denial.WRONG_CLAIMS),
        # Nobody is somebody of another issuer, or of ours.
        ({"email": "company:ann"}, "company:company:ann admin"),
        ({"iss": "responder"}, Denial.UNKNOWN_KEY),
    ],
)
def test_who_somebody_is_and_what_they_may(
    provider: Provider, issuers: Issuers, claims: Mapping[str, Any], told: str
) -> None:
    assert why(issuers, provider.token("ann", **claims)) == told


def test_a_token_of_ours_names_nobody_of_an_issuer(settings: Settings, issuers: Issuers) -> None:
    """It was issued before the issuer was named."""
    keys, now = TokenKeys(settings.token_keys), datetime.now(UTC)

    def named(name: str) -> str:
        return keys.issue(name, "admin", now, timedelta(hours=1), new_id())

    assert why(issuers, named("ann@example.com")) == "ann@example.com admin"
    for name in ("company:ann@example.com", "company"):
        assert why(issuers, named(name)) == Denial.WRONG_CLAIMS


def test_a_role_stands_wherever_the_pointer_leads(provider: Provider, settings: Settings) -> None:
    for pointer, claims in {
        "/realm_access/roles": {"realm_access": {"roles": ["sre"]}},
        "/https:~1~1example.com~1roles": {"https://example.com/roles": ["sre"]},
        "/roles/0": {"roles": ["sre"]},
    }.items():
        known = {"company": issuer(provider, role_claim=pointer)}
        found = Issuers(replace(settings, issuers=known), make_log())
        assert why(found, provider.token("bob", **claims)) == "company:bob@example.com operator"


def test_an_address_that_was_never_verified_gives_no_role(
    provider: Provider, settings: Settings
) -> None:
    by_address = {"role_claim": "/email", "roles": {"admin": ["ann@example.com"]}}
    known = {"company": issuer(provider, **by_address, name_claim="/sub")}
    found = Issuers(replace(settings, issuers=known), make_log())
    assert why(found, provider.token("ann")) == "company:id-of-ann admin"
    claimed = provider.token("eve", email="ann@example.com", email_verified=False)
    assert why(found, claimed) == Denial.WRONG_CLAIMS


def test_a_project_of_supabase(provider: Provider, settings: Settings) -> None:
    keys = f'type = "supabase"\nproject = "{provider.url}/"\nroles = {{admin = ["x"]}}'
    known = read(f"[issuers.shop]\n{keys}", "the test").issuers
    found = Issuers(replace(settings, issuers=known), make_log())
    claims = {
        "iss": f"{provider.url}/auth/v1",
        "audience": "authenticated",
        "role": "authenticated",
        "app_metadata": {"role": "x"},
        "user_metadata": {"role": "x"},
    }
    assert why(found, provider.token("ann", **claims)) == "shop:ann@example.com admin"
    assert why(found, provider.token("ann", **claims | {"app_metadata": {}})) == Denial.NO_ROLE
    assert provider.asked.keys() == {"/auth/v1/.well-known/jwks.json"}


# What does not


def coded(part: Any) -> bytes:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def by_hand(provider: Provider, header: Any, sign: Any = None, **claims: Any) -> str:
    """A token that no library would make; without `sign` by the provider's own key."""
    said = jwt.decode(provider.token("ann", **claims), options={"verify_signature": False})
    text = coded(header) + b"." + coded(said)
    made = sign(text) if sign else RSA.sign(text, KEYS[0])
    return (text + b"." + coded(made)).decode()


LOGOUT = "http://schemas.openid.net/event/backchannel-logout"


def test_what_was_forged_opens_nothing(provider: Provider, issuers: Issuers) -> None:
    public = KEYS[0].public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    shared = [pem, pem.strip(), public.public_numbers().n.to_bytes(256)]
    good, now = provider.token(), int(time.time())
    head, body, signature = good.split(".")
    own = Ed25519PrivateKey.generate()
    jwk = jwt.algorithms.OKPAlgorithm.to_jwk(own.public_key(), as_dict=True)
    first = {"kid": "first"}
    assert why(issuers, good) == "company:ann@example.com admin"
    for kind in ({}, {"typ": "JWT"}, {"typ": "at+jwt"}, {"typ": "application/at+JWT"}):
        assert why(issuers, by_hand(provider, {"alg": "RS256", **first, **kind})).endswith("admin")
    table: dict[str, Denial] = {
        by_hand(provider, {"alg": "none", **first}, lambda _: b""): Denial.WRONG_SIGNATURE,
        by_hand(provider, {"alg": "none", **first}): Denial.WRONG_SIGNATURE,
        by_hand(provider, {"alg": "RS512", **first}): Denial.WRONG_SIGNATURE,
        by_hand(provider, first): Denial.WRONG_SIGNATURE,
        by_hand(provider, {"alg": "RS256"}): Denial.UNKNOWN_KEY,
        by_hand(provider, {"alg": "RS256", "kid": "other"}): Denial.UNKNOWN_KEY,
        by_hand(provider, {"alg": "RS256", "kid": "../../../dev/null"}): Denial.UNKNOWN_KEY,
        by_hand(provider, {"alg": "RS256", "kid": "' OR '1'='1' --"}): Denial.UNKNOWN_KEY,
        by_hand(provider, {"alg": "RS256", "kid": "x'; DROP TABLE token; --"}): Denial.UNKNOWN_KEY,
        by_hand(provider, {"alg": "RS256", "kid": "a\0\r\nb"}): Denial.UNKNOWN_KEY,
        by_hand(provider, {"alg": "RS256", "kid": ["first"]}): Denial.NOT_A_TOKEN,
        by_hand(provider, {"alg": "EdDSA", **first, "jwk": jwk}, own.sign): Denial.WRONG_SIGNATURE,
        by_hand(
            provider, {"alg": "EdDSA", "kid": "x", "jku": f"{provider.url}/evil"}, own.sign
        ): Denial.UNKNOWN_KEY,
        by_hand(provider, {"alg": "RS256", **first, "crit": ["exp"], "exp": 1}): Denial.NOT_A_TOKEN,
        f"{head}.{coded({'iss': provider.url, 'groups': ['admins']}).decode()}.{signature}": (
            Denial.WRONG_SIGNATURE
        ),
        f"{head}.{body}.": Denial.WRONG_SIGNATURE,
        f"{head}.{body}": Denial.NOT_A_TOKEN,
        f"{head}..{signature}": Denial.UNKNOWN_ISSUER,
        "": Denial.NOT_A_TOKEN,
        "a.b.c": Denial.NOT_A_TOKEN,
        "\udcff.b.c": Denial.NOT_A_TOKEN,
        f"{coded(b'[' * 100_000).decode()}.{body}.{signature}": Denial.NOT_A_TOKEN,
        f"{head}.{coded(b'[' * 100_000).decode()}.{signature}": Denial.UNKNOWN_ISSUER,
        provider.token(exp=now - 60): Denial.EXPIRED,
        provider.token(exp=10**400): Denial.WRONG_CLAIMS,
        provider.token(exp="soon"): Denial.NOT_A_TOKEN,
        provider.token(exp=None): Denial.WRONG_CLAIMS,
        provider.token(nbf=now + 60): Denial.NOT_YET_VALID,
        provider.token(iat=now + 60): Denial.NOT_YET_VALID,
        provider.token(iat=None): Denial.WRONG_CLAIMS,
        provider.token(sub=None): Denial.WRONG_CLAIMS,
        provider.token(audience="another"): Denial.WRONG_AUDIENCE,
        provider.token(aud=None): Denial.WRONG_CLAIMS,
        provider.token(iss=f"{provider.url}/"): Denial.UNKNOWN_ISSUER,
        provider.token(iss="https://evil.example"): Denial.UNKNOWN_ISSUER,
        provider.token(iss=None): Denial.UNKNOWN_ISSUER,
        by_hand(provider, {"alg": "RS256", **first, "typ": "logout+jwt"}): Denial.WRONG_CLAIMS,
        by_hand(provider, {"alg": "RS256", **first, "typ": "dpop+jwt"}): Denial.WRONG_CLAIMS,
        by_hand(provider, {"alg": "RS256", **first, "typ": ["JWT"]}): Denial.WRONG_CLAIMS,
        provider.token(events={LOGOUT: {}}): Denial.WRONG_CLAIMS,
    }
    for secret in shared:
        forged = by_hand(
            provider,
            {"alg": "HS256", **first},
            lambda text, key=secret: hmac.digest(key, text, hashlib.sha256),
        )
        table[forged] = Denial.WRONG_SIGNATURE
    assert {token: why(issuers, token) for token in table} == table
    assert "/evil" not in provider.asked


def test_leeway_is_half_a_minute(provider: Provider, issuers: Issuers) -> None:
    now = int(time.time())
    for claims in ({"exp": now - 15}, {"iat": now + 15}, {"nbf": now + 15}):
        assert why(issuers, provider.token(**claims)) == "company:ann@example.com admin"


# The issuer is in trouble


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def published(provider: Provider, clock: Clock) -> Published:
    return Published(issuer(provider), make_log().warning, clock)


def asked_behind(provider: Provider, times: int) -> None:
    """Somebody asks behind our back: it has happened, or will soon."""
    until = time.monotonic() + 10
    while provider.asked["/jwks"] < times and time.monotonic() < until:
        time.sleep(0.005)
    assert provider.asked["/jwks"] == times


def test_a_key_that_is_known_costs_nothing(
    provider: Provider, published: Published, clock: Clock
) -> None:
    for _ in range(20):
        assert published.key("first") is not None
    assert provider.asked["/jwks"] == 1
    clock.now += FRESH + 1
    provider.delay = 1.0
    began = time.monotonic()
    assert published.key("first") is not None
    assert time.monotonic() - began < provider.delay, (
        "nobody waits for what is asked behind their back"
    )
    asked_behind(provider, 2)


def test_stale_keys_open_while_the_provider_is_down(
    provider: Provider, published: Published, clock: Clock
) -> None:
    assert published.key("first") is not None
    port = provider.port
    provider.__exit__(None, None, None)
    clock.now += STALE - 1
    assert published.key("first") is not None
    assert published.key("other") is None
    clock.now += 2
    with pytest.raises(IssuerAway):
        published.key("first")
    with Provider(port=port) as back:
        with pytest.raises(IssuerAway):
            published.key("first")
        assert back.asked["/jwks"] == 0, "a failure is remembered for a while"
        clock.now += COOL_DOWN + 1
        assert published.key("first") is not None
    provider.__enter__()  # for the fixture's end


def test_unknown_keys_do_not_hammer_the_provider(
    provider: Provider, published: Published, clock: Clock
) -> None:
    assert published.key("first") is not None
    for number in range(50):
        assert published.key(f"stranger {number}") is None
    assert provider.asked["/jwks"] == 1
    clock.now += COOL_DOWN + 1
    for number in range(50):
        assert published.key(f"stranger {number}") is None
    assert provider.asked["/jwks"] == 2


def test_a_new_key_of_the_provider_opens_at_once(
    provider: Provider, published: Published, clock: Clock
) -> None:
    assert published.key("first") is not None
    provider.rotate()
    clock.now += COOL_DOWN + 1
    assert published.key("second") is not None
    assert published.key("first") is None, "what was taken back is gone"


def test_a_key_that_was_withdrawn_while_nobody_came_opens_nothing(
    provider: Provider, published: Published, clock: Clock
) -> None:
    assert published.key("first") is not None
    provider.rotate()
    clock.now += LULL + 1
    provider.delay = 0.1
    found: list[object] = []
    callers = [Thread(target=lambda: found.append(published.key("first"))) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [None] * 4, "whoever comes while it is asked waits, too"
    assert provider.asked["/jwks"] == 2


def test_strangers_make_nobody_wait(provider: Provider, published: Published, clock: Clock) -> None:
    assert published.key("first") is not None
    clock.now += COOL_DOWN + 1
    provider.delay = 1.5
    slow = Thread(target=published.key, args=("stranger",))
    slow.start()
    time.sleep(0.05)
    began = time.monotonic()
    assert published.key("first") is not None
    assert published.key("another stranger") is None
    assert time.monotonic() - began < provider.delay - 0.05
    slow.join()


def test_those_who_come_first_wait_for_one_answer(provider: Provider, published: Published) -> None:
    provider.delay = 0.1
    found: list[object] = []
    callers = [Thread(target=lambda: found.append(published.key("first"))) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 8 and None not in found
    assert provider.asked["/jwks"] == 1


def test_a_key_that_is_none_takes_no_other_with_it(provider: Provider, issuers: Issuers) -> None:
    """A published private key, an algorithm that is none, one that does not fit the curve."""
    curve = jwt.algorithms.ECAlgorithm.to_jwk(generate(SECP256R1()).public_key(), as_dict=True)
    [good] = provider.jwks()["keys"]
    odd = [
        {**RSA.to_jwk(KEYS[1], as_dict=True), "kid": "private"},
        {**good, "kid": "none", "alg": "none"},
        {**curve, "kid": "curve", "alg": "ES384"},
    ]
    provider.trouble["/jwks"] = (200, {}, json.dumps({"keys": [*odd, good]}).encode())
    told = [
        why(issuers, by_hand(provider, {"alg": algorithm, "kid": kid}))
        for kid, algorithm in (("private", "RS256"), ("none", "none"), ("curve", "ES384"))
    ]
    assert told == [Denial.UNKNOWN_KEY, Denial.UNKNOWN_KEY, Denial.WRONG_SIGNATURE]
    assert why(issuers, provider.token()) == "company:ann@example.com admin"


DISCOVERY = "/.well-known/openid-configuration"
SHORT = jwt.algorithms.RSAAlgorithm.to_jwk(
    generate_private_key(65537, 1024).public_key(), as_dict=True
) | {"kid": "first", "alg": "RS256"}
NONSENSE: dict[str, tuple[str, tuple[int, Mapping[str, str], bytes]]] = {
    "no JSON": ("/jwks", (200, {}, b"<html>")),
    "no keys": ("/jwks", (200, {}, b'{"keys": []}')),
    "keys that are none": (
        "/jwks",
        (200, {}, b'{"keys": [1, {}, {"kid": "first", "kty": "RSA"}]}'),
    ),
    "a short key": ("/jwks", (200, {}, json.dumps({"keys": [SHORT]}).encode())),
    "a list": ("/jwks", (200, {}, b"[]")),
    "a shared secret": (
        "/jwks",
        (200, {}, b'{"keys": [{"kid": "first", "kty": "oct", "k": "AA"}]}'),
    ),
    "too deep": ("/jwks", (200, {}, b"[" * 200_000)),
    "too much": ("/jwks", (200, {}, b'{"keys": "' + b"x" * 3_000_000 + b'"}')),
    "an error": ("/jwks", (500, {}, b"")),
    "a redirect": ("/jwks", (302, {"Location": "http://127.0.0.1:1/jwks"}, b"")),
    "no discovery": (DISCOVERY, (404, {}, b"")),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_of_the_provider_changes_nothing(
    provider: Provider, published: Published, clock: Clock, name: str
) -> None:
    path, answer = NONSENSE[name]
    provider.trouble[path] = answer
    with pytest.raises(IssuerAway):
        published.key("first")
    provider.trouble.clear()
    clock.now += COOL_DOWN + 1
    assert published.key("first") is not None
    provider.trouble[path] = answer
    clock.now += COOL_DOWN + 1
    assert published.key("stranger") is None
    assert published.key("first") is not None


def test_the_discovery_is_the_issuers_own(provider: Provider, published: Published) -> None:
    told = {**provider.discovery(), "issuer": f"{provider.url}/another"}
    provider.trouble[DISCOVERY] = (200, {}, json.dumps(told).encode())
    with pytest.raises(IssuerAway):
        published.key("first")


@pytest.mark.parametrize("url", ["http://keys.example/jwks", "file:///etc/passwd", "", None, 7])
def test_keys_are_asked_for_on_a_safe_way_alone(
    provider: Provider, published: Published, url: Any
) -> None:
    told = {**provider.discovery(), "jwks_uri": url}
    provider.trouble[DISCOVERY] = (200, {}, json.dumps(told).encode())
    with pytest.raises(IssuerAway):
        published.key("first")


def test_a_provider_that_says_nothing_is_not_waited_for_long(
    provider: Provider, published: Published
) -> None:
    provider.delay = 3.5  # it would answer then
    with pytest.raises(IssuerAway):
        published.key("first")
