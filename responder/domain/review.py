"""What engineers say afterwards of what the responder did."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID


class Verdict(StrEnum):
    USEFUL = "useful"
    WRONG = "wrong"
    HARMFUL = "harmful"


class Picked(StrEnum):
    """Why a verdict is asked for: something was fixed, or the incident is one of the sample."""

    FIXED = "fixed"
    SAMPLE = "sample"


class Standing(StrEnum):
    """Which reviews a list is asked for; what is overdue waits, too."""

    WAITING = "waiting"
    OVERDUE = "overdue"


@dataclass(frozen=True)
class ReviewSettings:
    """sample: one in so many incidents in which nothing was fixed is reviewed, too; 0: none.

    within: after this time on the clock, weekends included, a review is overdue.
    """

    sample: int = 20
    within: timedelta = timedelta(hours=72)

    def samples(self, incident_id: UUID) -> bool:
        """Whether this incident is one of the sample: by its id, so all hosts say the same."""
        return self.sample > 0 and incident_id.int % self.sample == 0
