"""The shop beside the responder: its consumer, its customers, and what can go wrong with it."""

import threading
from collections import Counter
from contextlib import suppress
from typing import Any

from responder.cli.demo.databases import DatabaseError, Session
from responder.cli.demo.front import Front

#: The consumer looks into the queue a few times a second.
_CONSUME_EVERY = 0.3
#: So often somebody changes a card, so that the shop looks alive.
_ORDER_EVERY = 4.0
#: A shop whose database is away tries again so soon.
_RECONNECT = 0.5


class Shop:
    """One shop database at work; its URL is the superuser's."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.front = Front()
        self._customers = _Routine(url, "shop-web", _ORDER_EVERY, {"new_items": {"items": 1}})
        self._consumer = self._new_consumer()

    def open(self) -> None:
        self.front.open()
        self._customers.start()
        self._consumer.start()

    def close(self) -> None:
        self._customers.stop()
        self._consumer.stop()
        self.front.close()

    def stop_consumer(self) -> None:
        """The fault: nothing takes items up any more."""
        self._consumer.stop()

    def start_consumer(self) -> None:
        self._consumer.stop()
        self._consumer = self._new_consumer()
        self._consumer.start()

    def play(self, scene: str, **parameters: Any) -> list[dict[str, Any]]:
        """Something that happens in the shop now. DatabaseError."""
        with Session(self.url, "demo") as session:
            return session.play(scene, **parameters)

    def open_slow_page(self) -> None:
        """Somebody waits for a page; the server's statistics know of it when this returns."""
        with Session(self.url, "shop-web") as session:
            session.play("slow_statements")
            session.play("tell_statistics")

    def counts(self) -> Counter[str]:
        """How many items of the queue are in which status, asked in the shop itself."""
        return Counter({row["status"]: row["count"] for row in self.play("counts")})

    def _new_consumer(self) -> "_Routine":
        scenes: dict[str, dict[str, Any]] = {"finish_items": {}, "take_items": {}}
        return _Routine(self.url, "shop-consumer", _CONSUME_EVERY, scenes)


class _Routine(threading.Thread):
    """Plays its scenes again and again, also after its database was away."""

    def __init__(
        self, url: str, name: str, every: float, scenes: dict[str, dict[str, Any]]
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._url, self._every, self._scenes = url, every, scenes
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            with suppress(DatabaseError), Session(self._url, self.name) as session:
                self._work(session)
            self._over.wait(_RECONNECT)

    def stop(self) -> None:
        """Returns when its session is closed; twice is no mistake."""
        self._over.set()
        if self.is_alive():
            self.join(timeout=5)

    def _work(self, session: Session) -> None:
        while not self._over.wait(self._every):
            for scene, parameters in self._scenes.items():
                session.play(scene, **parameters)
