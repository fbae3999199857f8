"""The world of the demo: a responder as in production, a shop to look after, a pager to call.

All of it lives in one private folder and on free ports of 127.0.0.1, and ends with us.
"""

import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import requests

from responder.app import build
from responder.cli.demo.children import Child
from responder.cli.demo.databases import make_database, make_shop
from responder.cli.demo.senders import Sender, make_senders
from responder.cli.demo.settings import SecretFiles, make_secrets, write_settings
from responder.cli.demo.shop import Shop
from responder.cli.demo.stand_in import StandIn
from responder.domain.actor import ROLES, Actor, ActorKind
from responder.domain.decision import Autonomy
from responder.domain.ids import new_id
from responder.domain.settings import Settings
from responder.embedded import LocalPostgres
from responder.pipeline.promotion import promote
from responder.store.migrations import migrate
from responder.web.tokens import TokenKeys

#: What the worker says when it takes jobs.
WORKER_IS_READY = "worker is ready"
_TOKENS_LAST = timedelta(days=7)


@dataclass(frozen=True)
class World:
    """folder: settings, secrets and logs; shops by the name of their database; children: serve
    and work; senders by the name of their source."""

    folder: Path
    url: str
    settings: Settings
    tokens: Mapping[str, str]
    bearer: str
    senders: Mapping[str, Sender]
    ours: LocalPostgres
    shop_server: LocalPostgres
    shops: Mapping[str, Shop]
    pager: StandIn
    children: tuple[Child, ...]

    @property
    def webhook_url(self) -> str:
        return self.senders["alertmanager"].url


@contextmanager
def open_world(say: Callable[[str], None]) -> Iterator[World]:
    """Everything started and ready; all of it is stopped at the end, also when a start fails.

    PostgresNotFound, PostgresNotStarted, ChildFailed.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="responder-demo-")))
        kept = SecretFiles(folder)
        make_secrets(kept)
        # The receiver has not heard of the new secret yet, as in the middle of a rotation.
        webhook_secrets, rest_token = [kept.read("webhook_old")], kept.read("pagerduty_token")
        pager = stack.enter_context(StandIn(webhook_secrets, rest_token=rest_token))
        say("starting PostgreSQL for the responder")
        ours = stack.enter_context(LocalPostgres(port=0))
        say("starting PostgreSQL for the shop")
        shop_server = stack.enter_context(LocalPostgres(port=0))
        say("opening the shop")
        shops = _open_shops(stack, shop_server, kept)
        bind = f"127.0.0.1:{_free_port()}"
        url = f"http://{bind}"
        database = make_database(ours, "responder")
        settings = write_settings(kept, database, url, pager, shops)
        migrate(settings.database.value())
        _promote(settings)
        say("starting the responder: serve and work")
        yield World(
            folder=folder,
            url=url,
            settings=settings,
            tokens=_tokens(settings, kept),
            bearer=kept.read("bearer"),
            senders=make_senders(url, kept),
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


def _open_shops(stack: ExitStack, server: LocalPostgres, kept: SecretFiles) -> dict[str, Shop]:
    """Production and staging: two databases, the same tables and rows, the same roles."""
    kinds = ("reading", "writing", "direct")
    passwords = {f"responder_{kind}": secrets.token_hex(16) for kind in kinds}
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


def _promote(settings: Settings) -> None:
    """The rules as they are loaded now may act; edited ones would only propose again."""
    services = build(settings, pool_size=1)
    services.store.open()
    for rule in services.catalogue.rules.values():
        if rule.automatic:
            promote(services, rule, Autonomy.ACT, Actor(ActorKind.PERSON, "demo"))
    services.store.close()


def _tokens(settings: Settings, kept: SecretFiles) -> dict[str, str]:
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
