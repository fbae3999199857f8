"""When a rule's own check is due, a cron of five fields in UTC, and what our own alert says."""

import re
from datetime import datetime

from croniter import CroniterError, croniter

from responder.domain.matcher import Matcher

#: A time by chance or by hash, which each process would draw for itself.
_DRAWN = re.compile(r"(?<![a-z])[hr](?![a-z])", re.IGNORECASE)


_WORDS = re.compile(r"[\w -]+(\|[\w -]+)*")


def plain_value(matcher: Matcher) -> str | None:
    """A value that meets the matcher: the one that it names, or the first of several words."""
    if matcher.operator == "=":
        return matcher.value
    if matcher.operator == "=~" and _WORDS.fullmatch(matcher.value):
        return matcher.value.partition("|")[0]
    return None


def next_due(cron: str, after: datetime) -> datetime:
    """The first time of a cron later than `after`. ValueError says what is wrong with it."""
    if len(cron.split()) != 5:
        raise ValueError(f"{cron!r} is no cron: write minute, hour, day, month and weekday")
    if _DRAWN.search(cron):
        raise ValueError(f"{cron!r} is drawn by chance: every process must know the same time")
    try:
        due: datetime = croniter(cron, after).get_next(datetime)
    except CroniterError as error:
        raise ValueError(f"{cron!r} is no cron: {error}") from None
    return due
