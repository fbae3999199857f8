"""The first page: what is open, what the responder is doing, and the switch that stops it."""

from flask import Response

from responder.web.console.pages import Pages, show


def register(pages: Pages) -> None:
    """What a person sees first."""

    @pages.read("/")
    def now() -> Response:
        return show("now")
