"""What every answer carries, so that a browser does nothing with it that we did not mean."""

from collections.abc import Mapping

from flask import Flask, Response

_ALWAYS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
#: Unless the view says otherwise: nothing may be loaded, framed or kept.
_ELSE: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def harden(app: Flask) -> None:
    """Give every answer, errors too, its security headers."""
    app.after_request(_add)


def _add(response: Response) -> Response:
    response.headers.update(_ALWAYS)
    for name, value in _ELSE.items():
        response.headers.setdefault(name, value)
    return response
