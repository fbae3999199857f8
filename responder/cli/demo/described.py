"""The one line of `demo --json`: every address, secret and file that a check from outside needs."""

from typing import Any

from responder.cli.demo.front import HEALTH
from responder.cli.demo.world import World
from responder.domain.secret import Secret
from responder.domain.settings import Receiver

_FILE = "file:"


def described(world: World) -> dict[str, Any]:
    """The URLs of databases are the superuser's; `processes` are those of the start."""
    serve, work = world.children
    return {
        "url": world.url,
        "console": f"{world.url}/console/",
        "sources": {name: sender.described() for name, sender in world.senders.items()},
        "receivers": {name: _receiver(each) for name, each in world.settings.receivers.items()},
        "last_resort": list(world.settings.last_resort or ()),
        "tokens": dict(world.tokens),
        "databases": {
            "responder": world.ours.url("responder"),
            **{name: shop.url for name, shop in world.shops.items()},
        },
        "health": {name: shop.front.url + HEALTH for name, shop in world.shops.items()},
        "pager": world.pager.url,
        "stand_in": _stand_in(world),
        "folder": str(world.folder),
        "config": str(world.folder / "responder.toml"),
        "logs": {child.name: str(child.log) for child in world.children},
        "processes": {
            "serve": serve.pid,
            "work": work.pid,
            "responder_database": world.ours.pid,
            "shop_database": world.shop_server.pid,
        },
    }


def _stand_in(world: World) -> dict[str, Any]:
    """What plays PagerDuty, Slack, mail, a webhook and a dead man's switch, and can be made fail.

    POST faults {"path", "fault", "times"}, path "smtp" for mail; POST known {"id", "alerts"}.
    """
    url = world.pager.url
    return {
        "received": f"{url}/received",
        "faults": f"{url}/faults",
        "known": f"{url}/known",
        "events": f"{url}/v2/enqueue",
        "rest": url,
        "webhook": f"{url}/webhook",
        "slack": f"{url}/services/",
        "ping": f"{url}/ping/responder",
        "smtp": {"host": "127.0.0.1", "port": world.pager.smtp_port},
    }


def _receiver(receiver: Receiver) -> dict[str, Any]:
    secrets = list(receiver.secret.values()) if receiver.secret else []
    return {
        "type": receiver.type,
        "url": receiver.url or None,
        "fallback": receiver.fallback or None,
        "per_minute": receiver.per_minute,
        "secret": secrets[0] if secrets else None,
        "secrets": secrets,
        "files": _files(receiver.secret),
    }


def _files(secret: Secret | None) -> list[str]:
    return [each.removeprefix(_FILE) for each in secret.references] if secret else []
