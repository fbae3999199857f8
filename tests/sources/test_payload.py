"""Whatever bytes come, the answer is plain storable data or Unreadable."""

import pytest

from responder.sources import NotUnderstood, Unreadable, read_json
from responder.sources.payload import MAX_DEPTH, link


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'\xef\xbb\xbf{"a": "with a byte order mark"}', {"a": "with a byte order mark"}),
        (b'["\\u0000", "\\ud800", "\\udfff tail"]', ["\ufffd", "\ufffd", "\ufffd tail"]),
        (b'{"na\\u0000me": {"x": "\\ud800"}}', {"na\ufffdme": {"x": "\ufffd"}}),
        (b'["\\uD800", "\\\\u0000"]', ["\ufffd", "\\u0000"]),
        (b'["\\ud83d\\ude00"]', ["\U0001f600"]),
        (b"[NaN, Infinity, -Infinity]", ["NaN", "Infinity", "-Infinity"]),
        (b'"only a text"', "only a text"),
    ],
)
def test_it_reads_what_can_be_stored(body: bytes, payload: object) -> None:
    assert read_json(body) == payload


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b'{"a": 1',
        b'{"a": 1} {"b": 2}',
        b"\xff\xfe{",
        b'{"a": "\xc3\x28"}',
        b'["a raw NUL \x00 in a text"]',
    ],
    ids=lambda body: str(body[:20]),
)
def test_it_refuses_what_is_no_json_of_ours(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_json(body)


@pytest.mark.parametrize("inside", [b"[]", b"{}", b"[1]", b'{"a": "b"}'])
def test_the_deepest_level_is_still_read(inside: bytes) -> None:
    around = MAX_DEPTH - 1
    read_json(b"[" * around + inside + b"]" * around)
    with pytest.raises(NotUnderstood, match="deeper"):
        read_json(b"[" * MAX_DEPTH + inside + b"]" * MAX_DEPTH)


@pytest.mark.parametrize("body", [nested(MAX_DEPTH + 1), nested(100_000), b'{"a":' * 100_000])
def test_what_is_too_deep_is_kept_for_people_to_look_at(body: bytes) -> None:
    with pytest.raises(NotUnderstood, match="deeper"):
        read_json(body)


def test_a_number_of_more_digits_than_python_reads_is_a_text() -> None:
    assert read_json(b"[1, " + b"9" * 5_000 + b"]") == [1, "9" * 5_000]


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://grafana.example/d/1?x=[y]&z=%20", True),
        ("HTTP://10.0.0.1:9090/graph", True),
        ("javascript:alert(1)", False),
        ("https://", False),
        ("https://x.example/ https://y.example/", False),
        ("https://x.example/\n", False),
        ('https://x.example/"><script>', False),
        ("https://x.example/" + "a" * 3_000, False),
        (17, False),
        (None, False),
    ],
)
def test_only_addresses_for_a_browser_are_links(address: object, kept: bool) -> None:
    assert link(address) == (address if kept else None)
