"""What every answer carries, so that a browser does nothing with it that we did not mean."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from flask import Flask, Response

_ALWAYS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # No other site's page holds our window, or shows what is ours in its own.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
#: Over https alone, where browsers heed it: for a year they come by https or not at all.
_OVER_HTTPS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}
#: Unless the view says otherwise: nothing may be loaded, framed or kept.
_ELSE: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "Cache-Control": "no-store",
}


def always(public_url: str) -> dict[str, str]:
    """What every answer has; `public_url` is how browsers come."""
    https = urlsplit(public_url).scheme == "https"
    return {**_ALWAYS, **(_OVER_HTTPS if https else {})}


def plain(public_url: str) -> dict[str, str]:
    """The security headers of an answer that says nothing else."""
    return {**_ELSE, **always(public_url)}


def harden(app: Flask, public_url: str) -> None:
    """Give every answer, errors too, its security headers."""
    told = always(public_url)

    @app.after_request
    def add(response: Response) -> Response:
        response.headers.update(told)
        for name, value in _ELSE.items():
            response.headers.setdefault(name, value)
        return response
