"""The stand-in for the world outside, with a clock that is moved by hand."""

from collections.abc import Iterator

import pytest

from responder.cli.demo.stand_in import StandIn

#: Secret and time of signing of the vector of the Standard Webhooks libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SIGNED_AT = 1614265330


class Clock:
    """Seconds since 1970."""

    now = float(SIGNED_AT)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stand_in(clock: Clock) -> Iterator[StandIn]:
    with StandIn([SECRET], clock) as running:
        yield running
