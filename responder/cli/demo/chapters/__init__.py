"""The chapters, in an order that cool-downs, shared answers and an open P0 allow."""

from responder.cli.demo.chapters.faults import circuit_breaker, database_down, no_rule, slow_queries
from responder.cli.demo.chapters.queue import declared_p0, person_decides, staging, stuck_queue
from responder.cli.demo.chapters.silence import numbers, pager_silent, without_our_database
from responder.cli.demo.story import Story

__all__ = ["tell"]


def tell(story: Story) -> None:
    """All of it; what did not happen is in `story.missed` afterwards."""
    _say_what_is_real(story)
    repaired = stuck_queue(story)
    on_fire = declared_p0(story, repaired)
    staging(story)
    person_decides(story, repaired, on_fire)
    circuit_breaker(story)
    slow_queries(story)
    database_down(story)
    no_rule(story)
    pager_silent(story)
    without_our_database(story)
    numbers(story)


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
