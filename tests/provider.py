"""A small OpenID provider on a real socket: it checks PKCE, secret, redirect_uri and single use.

`Provider()` is a context manager. A browser that comes to `/authorize` chooses a person there, or
comes back at once as `signed_in`, as with a provider at which somebody is logged in already.
"""

import base64
import hashlib
import html
import json
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

CLIENT, SECRET = "responder-console", "a secret: of the console"
AUDIENCE = "responder"
PEOPLE: Mapping[str, Mapping[str, Any]] = {
    "ann": {"email": "ann@example.com", "groups": ["sre", "admins"]},
    "bob": {"email": "bob@example.com", "groups": ["sre"]},
    "eve": {"email": "eve@example.com", "groups": []},
}
#: One pair for all providers of a run: making one takes a while.
KEYS = [generate_private_key(65537, 2048) for _ in range(2)]
Answer = tuple[int, Mapping[str, str], bytes]


@dataclass
class Provider:
    """What it knows and was asked; `trouble`: what it answers instead, by path, with a delay.

    keys: by kid; the last one signs. asked: how often, by path.
    """

    people: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {name: dict(claims) for name, claims in PEOPLE.items()}
    )
    keys: dict[str, RSAPrivateKey] = field(default_factory=lambda: {"first": KEYS[0]})
    signed_in: str | None = None
    redirect_uris: list[str] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    trouble: dict[str, Answer] = field(default_factory=dict)
    delay: float = 0.0
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    #: Claims that the next ID tokens say instead.
    lies: dict[str, Any] = field(default_factory=dict)
    port: int = 0

    def __enter__(self) -> Self:
        provider = self

        class Handler(_Handler):
            at = provider

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def token(self, name: str = "ann", audience: str = AUDIENCE, **claims: Any) -> str:
        """A token for a person, with other claims; None leaves one out."""
        now = int(time.time())
        said = {
            "iss": self.url,
            "aud": audience,
            "sub": f"id-of-{name}",
            "iat": now,
            "exp": now + 300,
            **self.people[name],
            **claims,
        }
        kept = {claim: value for claim, value in said.items() if value is not None}
        kid, key = list(self.keys.items())[-1]
        return jwt.encode(kept, key, algorithm="RS256", headers={"kid": kid})

    def rotate(self) -> None:
        """From now on another key signs; the old one is gone."""
        self.keys = {"second": KEYS[1]}

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
        }

    def jwks(self) -> dict[str, Any]:
        told = jwt.algorithms.RSAAlgorithm
        return {
            "keys": [
                {**told.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}
                for kid, key in self.keys.items()
            ]
        }

    def code_for(self, name: str, asked: Mapping[str, str]) -> str:
        """The address to which a browser is sent back."""
        code = secrets.token_urlsafe(16)
        self.codes[code] = {**asked, "person": name}
        told = urlencode({"code": code, "state": asked["state"], "iss": self.url})
        return f"{asked['redirect_uri']}?{told}"

    def redeem(self, form: Mapping[str, str], client: tuple[str, str]) -> tuple[int, Any]:
        """What the token endpoint says; each code is good for one time."""
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if client != (CLIENT, SECRET):
            return 401, {"error": "invalid_client"}
        if (
            asked is None
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != asked["redirect_uri"]
            or asked["code_challenge"] != challenge
        ):
            return 400, {"error": "invalid_grant"}
        claims = {"nonce": asked["nonce"], **self.lies}
        token = self.token(asked["person"], **{"audience": CLIENT, **claims})
        return 200, {"access_token": "opaque", "token_type": "Bearer", "id_token": token}

    def mistake(self, asked: Mapping[str, str]) -> str:
        """Why nobody may log in with such a request; empty when it is right."""
        wanted = {
            "client_id": CLIENT,
            "response_type": "code",
            "code_challenge_method": "S256",
        }
        wrong = [name for name, value in wanted.items() if asked.get(name) != value]
        wrong += [name for name in ("state", "nonce", "code_challenge") if not asked.get(name)]
        if "openid" not in asked.get("scope", "").split():
            wrong.append("scope")
        if self.redirect_uris and asked.get("redirect_uri") not in self.redirect_uris:
            wrong.append("redirect_uri")
        return ", ".join(wrong)


class _Handler(BaseHTTPRequestHandler):
    at: Provider

    def do_GET(self) -> None:
        path, query = self._noted()
        if path == "/.well-known/openid-configuration":
            self._json(200, self.at.discovery())
        elif path in ("/jwks", "/auth/v1/.well-known/jwks.json"):
            self._json(200, self.at.jwks())
        elif path == "/authorize":
            self._authorize(query)
        else:
            self._answer(404, {}, b"")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        form = _flat(self.rfile.read(length).decode())
        path, _ = self._noted()
        if path == "/token":
            self._json(*self.at.redeem(form, self._client()))
        else:
            self._answer(404, {}, b"")

    def _noted(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        self.at.asked[parts.path] += 1
        time.sleep(self.at.delay)
        return parts.path, _flat(parts.query)

    def _client(self) -> tuple[str, str]:
        """client_secret_basic: both are form-encoded first (RFC 6749, 2.3.1)."""
        coded = self.headers.get("Authorization", "").removeprefix("Basic ")
        name, _, secret = base64.b64decode(coded).decode().partition(":")
        return unquote_plus(name), unquote_plus(secret)

    def _authorize(self, asked: Mapping[str, str]) -> None:
        if wrong := self.at.mistake(asked):
            self._answer(400, {}, f"wrong: {html.escape(wrong)}".encode())
        elif name := asked.get("as") or self.at.signed_in:
            self._answer(302, {"Location": self.at.code_for(name, asked)}, b"")
        else:
            links = "".join(
                f'<p><a href="?{html.escape(urlencode({**asked, "as": name}))}">{name}</a></p>'
                for name in self.at.people
            )
            head = "<!doctype html><html lang=en><title>Provider</title><link rel=icon href=data:,>"
            page = f"{head}<h1>Who?</h1>{links}"
            self._answer(200, {"Content-Type": "text/html"}, page.encode())

    def _json(self, status: int, told: Any) -> None:
        self._answer(status, {"Content-Type": "application/json"}, json.dumps(told).encode())

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        status, headers, body = self.at.trouble.get(
            urlsplit(self.path).path, (status, headers, body)
        )
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


def _flat(query: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(query).items()}
