"""Durations as people write them; what is none says how to write one."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("30s", timedelta(seconds=30)),
        ("10m", timedelta(minutes=10)),
        ("2h", timedelta(hours=2)),
        ("14d", timedelta(days=14)),
        ("2w", timedelta(weeks=2)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("1h 30m", timedelta(hours=1, minutes=30)),
        ("1.5h", timedelta(hours=1, minutes=30)),
        ("0s", timedelta()),
    ],
)
def test_a_duration(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "10",
        "m",
        "10 minutes",
        "-5m",
        "5M",
        "5m!",
        "!5m",
        "1e3s",
        "5,5m",
        "5m or so",
        ".5h",
    ],
)
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match='write for example "30s"'):
        parse_duration(text)


@pytest.mark.parametrize("text", ["9999999999d", "9" * 400 + "s"])
def test_longer_than_time_itself(text: str) -> None:
    with pytest.raises(ValueError, match="too long a duration"):
        parse_duration(text)


whole = st.integers(0, 1000)


@given(whole, whole, whole, whole)
def test_the_parts_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    expected = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    assert parse_duration(f"{days}d{hours}h{minutes}m{seconds}s") == expected


@given(st.text(alphabet="0123456789.msdhw ", max_size=12))
def test_any_text_is_a_duration_or_a_clear_error(text: str) -> None:
    try:
        assert parse_duration(text) >= timedelta()
    except ValueError as error:
        assert repr(text) in str(error)
