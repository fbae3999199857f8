"""A house whose receivers are the shipped ones, and the outside world that they talk to."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from email import message_from_string, policy
from pathlib import Path
from typing import Any

import pytest

from responder.cli.demo.stand_in import StandIn
from responder.domain.secret import Secret
from responder.domain.settings import Receiver
from responder.receivers import RECEIVERS
from responder.receivers.brief import REPEATED
from tests.house import House
from tests.stand_in import SECRET

#: Where each type posts to, as the stand-in's faults name it, and as it keeps what came.
PATHS: Mapping[str, tuple[str, str]] = {
    "pagerduty": ("/v2/enqueue", "pagerduty"),
    "webhook": ("/webhook", "webhook"),
    "slack": ("/services", "slack"),
    "email": ("smtp", "mail"),
    "pagerduty_notes": ("/incidents/", "notes"),
}
_SECRETS = {"pagerduty": "0" * 32, "pagerduty_notes": "token", "webhook": SECRET, "email": "pass"}


@dataclass
class Outside:
    """A house, the stand-in on the same clock, and a folder for secrets."""

    house: House
    stand_in: StandIn
    folder: Path

    def use(self, kinds: Mapping[str, str], **changes: Mapping[str, Any]) -> None:
        """Receivers by name with their types; `changes` by name."""
        made = {
            name: replace(self._receiver(name, kind), **changes.get(name, {}))
            for name, kind in kinds.items()
        }
        built = {name: RECEIVERS[each.type](each) for name, each in made.items()}
        self.house.services = replace(self.house.services, receivers=built)
        self.house.with_settings(receivers=made)

    def got(self, kind: str) -> list[dict[str, Any]]:
        """What the stand-in kept for receivers of a type."""
        return list(self.stand_in.received()[PATHS[kind][1]])

    def _receiver(self, name: str, kind: str) -> Receiver:
        url = self.stand_in.url
        (self.folder / kind).write_text(_SECRETS.get(kind, f"{url}/services/T/B/X"))
        urls = {"webhook": f"{url}/webhook", "email": f"127.0.0.1:{self.stand_in.smtp_port}"}
        return Receiver(
            name,
            kind,
            urls.get(kind, url),
            Secret((f"file:{self.folder}/{kind}",)),
            per_minute=100,
            user="alerts",
            sender="responder@example.com",
            to=("on-call@example.com",),
            security="none",
        )


def is_marked(kind: str, message: Mapping[str, Any]) -> bool:
    """Whether its reader is told that it may have come before."""
    if kind == "email":
        letter = message_from_string(message["raw"], policy=policy.default)
        body = letter.get_body(("plain",))
        return body is not None and REPEATED in " ".join(body.get_content().split())
    return REPEATED in str(message)


def key_of(kind: str, message: Mapping[str, Any]) -> str:
    """What its receiver knows a repeated message by."""
    return str(message["dedup_key"] if kind == "pagerduty" else message["id"])


@pytest.fixture
def outside(make_house: Callable[..., House], tmp_path: Path) -> Iterator[Outside]:
    house = make_house()

    def clock() -> float:
        return time.time() + house.services.store.offset.total_seconds()

    login = ("alerts", _SECRETS["email"])
    with StandIn([SECRET], clock, rest_token="token", smtp_login=login) as stand_in:
        yield Outside(house, stand_in, tmp_path)
