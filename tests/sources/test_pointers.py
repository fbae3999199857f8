"""JSON pointers lead where RFC 6901 says, and anywhere else to nothing."""

from typing import Any

import pytest

from responder.sources.pointers import find, first_said, said

#: The example of RFC 6901, section 5.
RFC = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", RFC),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_the_example_of_the_rfc(pointer: str, value: Any) -> None:
    assert find(RFC, pointer) == value


@pytest.mark.parametrize(
    "pointer",
    [
        "/nowhere",
        "/foo/2",
        "/foo/-",
        "/foo/-1",
        "/foo/00",
        "/foo/01",
        "/foo/+1",
        "/foo/1 ",
        "/foo/1.0",
        "/foo/\u00b9",
        "/foo/\u0660",
        "/foo/" + "9" * 5_000,
        "/foo/bar",
        "/foo/0/0",
        "/a~1b/x",
        "/a/b",
        "/m~01n",
    ],
)
def test_anything_else_leads_nowhere(pointer: str) -> None:
    assert find(RFC, pointer) is None


def test_a_tilde_and_a_digit_is_not_a_slash() -> None:
    assert find({"~1": "tilde one", "/": "slash"}, "/~01") == "tilde one"
    assert find({"~1": "tilde one", "/": "slash"}, "/~1") == "slash"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" two words\n", "two words"),
        (0, "0"),
        (1.5, "1.5"),
        (True, "true"),
        (False, "false"),
        (None, ""),
        ("", ""),
        (" \t", ""),
        ([], ""),
        (["text"], ""),
        ({"a": "text"}, ""),
        ("$ALERT_PRIORITY", ""),
        (" $ID ", ""),
        ("*monitorURL*", ""),
        ("*sslExpiryDaysLeft*", ""),
        ("$5 off", "$5 off"),
        ("$alert", "$alert"),
        ("costs $ID", "costs $ID"),
        ("* starred *", "* starred *"),
        ("**", "**"),
        ("*open", "*open"),
    ],
)
def test_what_says_something(value: Any, text: str) -> None:
    assert said({"a": value}, "/a") == text


def test_the_first_that_says_something() -> None:
    told = {"a": "", "b": ["c"], "c": "$NAME", "d": 0, "e": "late"}
    assert first_said(told, ["/nowhere", "/a", "/b", "/c", "/d", "/e"]) == "0"
    assert first_said(told, ["/a", "/nowhere"]) == ""
    assert first_said(told, []) == ""
