"""The world of the demo: a responder as in production, a shop to look after, a pager to call.

All of it lives in one private folder and on free ports of 127.0.0.1, and ends with us.
"""

import base64
import json
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests

from responder import __version__
from responder.app import load_catalogue
from responder.cli.demo.children import Child
from responder.cli.demo.databases import make_database, make_shop
from responder.cli.demo.shop import Shop
from responder.cli.demo.stand_in import StandIn
from responder.domain.actor import ROLES, Actor, ActorKind
from responder.domain.decision import Autonomy
from responder.domain.ids import new_id
from responder.domain.settings import Settings
from responder.embedded import LocalPostgres
from responder.settings import load
from responder.store import Store
from responder.store.migrations import migrate
from responder.web.tokens import TokenKeys, new_keys

#: What the worker says when it takes jobs.
WORKER_IS_READY = "worker is ready"
_TOKENS_LAST = timedelta(days=7)

_SETTINGS = """\
# Written by `responder demo`. docs/settings.md explains every key.
database = "file:{folder}/database"
token_keys = "file:{folder}/token_keys"
public_url = "{url}"
autonomy = "act"

[sources.alertmanager]
type = "alertmanager"
bearer = "file:{folder}/bearer"
basic = {{ user = "alertmanager", password = "file:{folder}/basic" }}

[targets.shop_eu]
kind = "shop"
matches = ['env="production"']
reading = "file:{folder}/shop_reading"
writing = "file:{folder}/shop_writing"

[targets.shop_staging]
kind = "shop"
matches = ['env="staging"']
reading = "file:{folder}/shop_staging_reading"
writing = "file:{folder}/shop_staging_writing"

[receivers.pagerduty]
type = "pagerduty"
url = "{pager}"
routing_key = "file:{folder}/routing_key"

[receivers.webhook]
type = "webhook"
url = "{pager}/webhook"
secret = ["file:{folder}/webhook_new", "file:{folder}/webhook_old"]
"""


@dataclass(frozen=True)
class World:
    """folder: settings and logs; shops by the name of their database; children: serve and work."""

    folder: Path
    url: str
    tokens: Mapping[str, str]
    bearer: str
    ours: LocalPostgres
    shop_server: LocalPostgres
    shops: Mapping[str, Shop]
    pager: StandIn
    children: tuple[Child, ...]

    @property
    def webhook_url(self) -> str:
        return f"{self.url}/v1/webhooks/alertmanager"

    def described(self) -> dict[str, Any]:
        """The one line of `--json`; the URLs of databases are the superuser's."""
        source = {
            "type": "alertmanager",
            "url": self.webhook_url,
            "headers": {"Authorization": f"Bearer {self.bearer}"},
            "secret": self.bearer,
        }
        shops = {name: shop.url for name, shop in self.shops.items()}
        return {
            "url": self.url,
            "sources": {"alertmanager": source},
            "tokens": dict(self.tokens),
            "databases": {"responder": self.ours.url("responder"), **shops},
            "pager": self.pager.url,
        }


@contextmanager
def open_world(say: Callable[[str], None]) -> Iterator[World]:
    """Everything started and ready; all of it is stopped at the end, also when a start fails.

    PostgresNotFound, PostgresNotStarted, ChildFailed.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="responder-demo-")))
        kept = _Secrets(folder)
        webhook_secrets = [kept.make_webhook(name) for name in ("webhook_new", "webhook_old")]
        # The receiver has not heard of the new secret yet, as in the middle of a rotation.
        pager = stack.enter_context(StandIn(webhook_secrets[1:]))
        say("starting PostgreSQL for the responder")
        ours = stack.enter_context(LocalPostgres(port=0))
        say("starting PostgreSQL for the shop")
        shop_server = stack.enter_context(LocalPostgres(port=0))
        say("opening the shop")
        shops = _open_shops(stack, shop_server, kept)
        bind = f"127.0.0.1:{_free_port()}"
        url = f"http://{bind}"
        settings = _write_settings(kept, make_database(ours, "responder"), url, pager.url)
        migrate(settings.database.value())
        _promote(settings)
        say("starting the responder: serve and work")
        yield World(
            folder=folder,
            url=url,
            tokens=_tokens(settings, kept),
            bearer=kept.read("bearer"),
            ours=ours,
            shop_server=shop_server,
            shops=shops,
            pager=pager,
            children=start_responder(stack, folder, folder / "responder.toml", bind),
        )


def start_responder(stack: ExitStack, logs: Path, config: Path, bind: str) -> tuple[Child, Child]:
    """`serve` and `work`, ready; they end with the stack. ChildFailed."""
    told = {"RESPONDER_CONFIG": str(config.resolve())}
    serve = Child(["serve", "--bind", bind], told, logs / "serve.log")
    work = Child(["work"], told, logs / "work.log")
    for child in (serve, work):
        stack.callback(child.stop)
        child.start()
    serve.wait_until(lambda: _answers(f"http://{bind}/readyz"))
    work.wait_until(lambda: WORKER_IS_READY in work.log.read_text(errors="replace"))
    return serve, work


class _Secrets:
    """Files that only we can read, named as the settings name them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, value: str) -> str:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(value, encoding="utf-8")
        return value

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    def make_webhook(self, name: str) -> str:
        return self.write(name, "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())


def _open_shops(stack: ExitStack, server: LocalPostgres, kept: _Secrets) -> dict[str, Shop]:
    """Production and staging: two databases, the same tables and rows, the same two roles."""
    passwords = {f"responder_{kind}": secrets.token_hex(16) for kind in ("reading", "writing")}
    shops = {}
    for name in ("shop", "shop_staging"):
        url = make_database(server, name)
        make_shop(url, passwords)
        for role, password in passwords.items():
            login = server.url(name, role, password)
            kept.write(f"{name}_{role.removeprefix('responder_')}", login)
        shops[name] = Shop(url)
        stack.callback(shops[name].close)
        shops[name].open()
    return shops


def _write_settings(kept: _Secrets, database: str, url: str, pager: str) -> Settings:
    kept.write("database", database)
    kept.write("token_keys", new_keys(new_id()))
    kept.write("bearer", secrets.token_urlsafe(32))
    kept.write("basic", secrets.token_urlsafe(32))
    kept.write("routing_key", secrets.token_hex(16))
    folder = json.dumps(str(kept.folder))[1:-1]
    kept.write("responder.toml", _SETTINGS.format(folder=folder, url=url, pager=pager))
    return load(kept.folder / "responder.toml")


def _promote(settings: Settings) -> None:
    """The rules as they are loaded now may act; edited ones would only propose again."""
    store = Store(settings.database.value(), 1, __version__)
    store.open()
    actor = Actor(ActorKind.PERSON, "demo")
    with store.transaction() as tx:
        for rule in load_catalogue(settings).rules.values():
            tx.run(
                "promote",
                rule=rule.name,
                checksum=rule.checksum,
                autonomy=Autonomy.ACT,
                actor=actor.name,
            )
            subject = f"rule {rule.name}"
            tx.record("promotion", actor, subject, after=Autonomy.ACT, checksum=rule.checksum)
    store.close()


def _tokens(settings: Settings, kept: _Secrets) -> dict[str, str]:
    """By role; in files too, so that a command to copy needs not show one."""
    keys, now = TokenKeys(settings.token_keys), datetime.now(UTC)
    return {
        role: kept.write(
            f"{role}_token", keys.issue(f"demo-{role}", role, now, _TOKENS_LAST, new_id())
        )
        for role in ROLES
    }


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
