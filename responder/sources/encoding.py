"""What a sender compressed, within bounds: a bomb is never unpacked further than the limit."""

import gzip
import io
import zlib

from responder.sources.adapter import Request, TooLarge, Unreadable


def decoded(request: Request, limit: int) -> bytes:
    """The body as it was before compression; TooLarge beyond `limit` bytes, before or after."""
    if len(request.body) > limit:
        raise TooLarge(f"the body is larger than {limit} bytes")
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return request.body
    if encoding in ("gzip", "x-gzip"):
        body = _gunzipped(request.body, limit)
    elif encoding == "deflate":  # which some take for its content alone
        body = _inflated(request.body, 15, limit) or _inflated(request.body, -15, limit)
    else:
        raise Unreadable("the Content-Encoding is not one of gzip, deflate and identity")
    if body is None:
        raise Unreadable(f"the body is not what its Content-Encoding says, {encoding}")
    if len(body) > limit:
        raise TooLarge(f"the body is larger than {limit} bytes when it is unpacked")
    return body


def _gunzipped(body: bytes, limit: int) -> bytes | None:
    """One byte more than the limit at most; all members of it (RFC 1952, 2.2)."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as unpacking:
            return unpacking.read(limit + 1)
    except (OSError, EOFError, zlib.error):
        return None


def _inflated(body: bytes, window: int, limit: int) -> bytes | None:
    unpacking = zlib.decompressobj(window)
    try:
        unpacked = unpacking.decompress(body, limit + 1)
    except zlib.error:
        return None
    return unpacked if unpacking.eof or len(unpacked) > limit else None
