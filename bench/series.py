"""What a number does over time, for the plots."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def sampled(read: Callable[[], float], every: float = 0.25) -> Iterator[list[tuple[float, float]]]:
    """The number at each moment of the block, by seconds since its beginning."""
    points: list[tuple[float, float]] = []
    began, over = time.monotonic(), threading.Event()

    def look() -> None:
        while not over.wait(every):
            points.append((round(time.monotonic() - began, 3), read()))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield points
    finally:
        over.set()
        thread.join()
