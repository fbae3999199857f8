"""The chapters, in an order that cool-downs, shared answers and an open P0 allow; or one alone."""

from collections.abc import Callable, Mapping

from responder.cli.demo.chapters.credentials import leak, rotation_due
from responder.cli.demo.chapters.faults import circuit_breaker, database_down, no_rule, slow_queries
from responder.cli.demo.chapters.people import batch_stuck, cannot_log_in, sync_failed
from responder.cli.demo.chapters.queue import declared_p0, person_decides, staging, stuck_queue
from responder.cli.demo.chapters.silence import numbers, pager_silent, without_our_database
from responder.cli.demo.story import Story

__all__ = ["STORIES", "tell"]


def tell(story: Story, name: str = "") -> None:
    """All of it, or one story of STORIES; what did not happen is in `story.missed` afterwards."""
    _say_what_is_real(story)
    (STORIES[name] if name else _all)(story)


def _all(story: Story) -> None:
    repaired = stuck_queue(story)
    on_fire = declared_p0(story, repaired)
    staging(story)
    person_decides(story, repaired, on_fire)
    circuit_breaker(story)
    slow_queries(story)
    rotation_due(story)
    leak(story)
    database_down(story)
    no_rule(story)
    pager_silent(story)
    without_our_database(story)
    numbers(story)


def _person_decides(story: Story) -> None:
    """With what a person has to decide about."""
    repaired = stuck_queue(story)
    person_decides(story, repaired, declared_p0(story, repaired))


#: What `--story` plays in a world of its own; a rule's has the rule's name.
STORIES: Mapping[str, Callable[[Story], object]] = {
    "shopify_queue_stuck": stuck_queue,
    "declared_p0": declared_p0,
    "staging": staging,
    "person_decides": _person_decides,
    "shopify_sync_failed": sync_failed,
    "intake_batch_stuck": batch_stuck,
    "user_cannot_log_in": cannot_log_in,
    "circuit_breaker_open": circuit_breaker,
    "slow_queries": slow_queries,
    "credential_rotation_due": rotation_due,
    "credential_leak_suspected": leak,
    "database_down": database_down,
    "no_rule": no_rule,
    "pager_silent": pager_silent,
    "without_our_database": without_our_database,
    "numbers": numbers,
}


def _say_what_is_real(story: Story) -> None:
    screen = story.screen
    screen.title("What you will see")
    screen.line(
        "real",
        "two PostgreSQL servers, the responder's web and worker processes with their settings, the"
        " shop's tables and rows, every fault, every signature, HTTP and SMTP in between",
    )
    screen.line(
        "played",
        "the senders, the shop's consumer and customers; PagerDuty, Slack, the mailbox and the"
        " webhook are one stand-in that has the limits of the real ones",
    )
    screen.line("", "where time would have to pass, the story says that it was made to")
