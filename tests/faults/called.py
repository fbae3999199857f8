"""A pager that remembers when it was called about what."""

import threading
import time
from collections import Counter
from contextlib import ExitStack
from functools import partial

from responder.cli.demo.stand_in.faults import Faults
from responder.cli.demo.stand_in.http import Handler, Reply, Request
from responder.cli.demo.stand_in.kept import Kept
from responder.cli.demo.stand_in.server import Server


class Pager:
    """PagerDuty's Events API without its limits; times are of `time.monotonic`.

    first: when each dedup key was triggered first; calls: how often each was; named: when a
    summary first told of a title.
    """

    def __init__(self, address: str = "127.0.0.1") -> None:
        self._address = address
        self.first: dict[str, float] = {}
        self.named: dict[str, float] = {}
        self.calls: Counter[str] = Counter()
        self.summaries = 0
        self._lock = threading.Lock()
        self._server = Server(partial(Handler, self._hear, Faults(Kept(time.time))), address)
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        return f"http://{self._address}:{self._server.port}"

    def came(self, key: str, title: str) -> float | None:
        """When somebody was first called about it, be it by a summary."""
        times = (self.first.get(key), self.named.get(title))
        return min((at for at in times if at is not None), default=None)

    def __enter__(self) -> "Pager":
        self._stack.enter_context(self._server)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _hear(self, request: Request) -> Reply:
        now, event = time.monotonic(), request.json()
        if event["event_action"] == "trigger":
            key, details = event["dedup_key"], event["payload"].get("custom_details", {})
            with self._lock:
                self.first.setdefault(key, now)
                self.calls[key] += 1
                self.summaries += "summary" in details
                for incident in details.get("incidents", []):
                    self.named.setdefault(incident["title"], now)
        told = {"status": "success", "message": "Event processed", "dedup_key": "any"}
        return Reply(202, told)
