"""Who has written messages says so to the threads of this process that send them.

It saves a moment, no more: they look by themselves, too, and so do all other processes.
"""

import threading


class Mail:
    """Of one process."""

    def __init__(self) -> None:
        self._senders: list[threading.Event] = []

    def sender(self) -> threading.Event:
        """Set from now on whenever something was written; whoever waits for it clears it."""
        written = threading.Event()
        self._senders.append(written)
        return written

    def written(self) -> None:
        """Messages were committed that may be due."""
        for each in self._senders:
            each.set()
