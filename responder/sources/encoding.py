"""What a sender compressed, within bounds: a bomb is never unpacked further than the limit."""

import zlib

from responder.sources.adapter import Request, TooLarge, Unreadable

#: `wbits` of zlib by the name of the encoding; deflate is told from raw deflate by trying.
_WINDOWS = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}


def decoded(request: Request, limit: int) -> bytes:
    """The body as it was before compression; TooLarge beyond `limit` bytes, before or after."""
    if len(request.body) > limit:
        raise TooLarge(f"the body is larger than {limit} bytes")
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return request.body
    if encoding not in _WINDOWS:
        raise Unreadable("the Content-Encoding is not one of gzip, deflate and identity")
    for window in _WINDOWS[encoding]:
        body = _inflated(request.body, window, limit)
        if body is not None:
            return body
    raise Unreadable(f"the body is not what its Content-Encoding says, {encoding}")


def _inflated(body: bytes, window: int, limit: int) -> bytes | None:
    unpacking = zlib.decompressobj(window)
    try:
        unpacked = unpacking.decompress(body, limit + 1)
    except zlib.error:
        return None
    if len(unpacked) > limit:
        raise TooLarge(f"the body is larger than {limit} bytes when it is unpacked")
    return unpacked if unpacking.eof else None
