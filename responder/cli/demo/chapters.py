"""The chapters, in an order that cool-downs and an open P0 on the same target allow."""

import statistics

from responder.cli.demo.api import Document, until
from responder.cli.demo.screen import Screen
from responder.cli.demo.shop import Shop
from responder.cli.demo.story import Story, Told

_FAULTS = 12
_POSTS = 50


def tell(story: Story) -> None:
    """The whole story; what did not happen is in `story.missed` afterwards."""
    stuck_queue(story)
    warning, critical = story.alarm_pair if False else (None, None)
