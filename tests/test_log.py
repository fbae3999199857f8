"""Whatever is said, and by whom: one line of JSON, with its ids, without locals or credentials."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from responder.log import Lines, about, make_log

Told = Callable[[], list[dict[str, Any]]]

#: Enough to forge a line, to move a cursor, or to break a reader of lines.
HOSTILE = {
    "a line of its own": 'x\n{"level": "critical", "event": "forged"}',
    "carriage return": "x\r\x0b\x0c\x1c\x1d\x1e\x85y",
    "unicode lines": "x\u2028y\u2029z",
    "a terminal's colours": "\x1b[2J\x1b[31mred\x9b0m",
    "NUL and DEL": "x\0y\x7f",
    "lone surrogates": "x\ud800y\udfff",
    "quotes and backslashes": 'x"}\\',
    "not ASCII": "Zoë \N{ROCKET}",
}


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """The lines since the last call, parsed; none is anything else."""

    def lines() -> list[dict[str, Any]]:
        return parsed(capsys.readouterr().err)

    return lines


def parsed(text: str) -> list[dict[str, Any]]:
    """Lines as any reader of lines sees them; what is no JSON of RFC 8259 is a mistake."""
    assert text.isascii()
    assert not set(map(chr, range(32))) - {"\n"} & set(text)
    return [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]


def test_a_line_has_its_shape(told: Told) -> None:
    make_log().warning("it is late", seconds=1.5, tries=3, known=True, who=None)
    (line,) = told()
    assert list(line) == ["timestamp", "level", "event", "seconds", "tries", "known", "who"]
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "warning",
        "event": "it is late",
        "seconds": 1.5,
        "tries": 3,
        "known": True,
        "who": None,
    }


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_text_from_outside_stays_in_its_field(told: Told, text: str) -> None:
    make_log().info(text, field=text, nested=[text])
    Lines().handle(record("asked for %s", text))
    first, second = told()
    assert (first["event"], first["field"], set(first)) == (
        text,
        text,
        {"timestamp", "level", "event", "field", "nested"},
    )
    assert second["event"] == f"asked for {text}".strip()


def record(message: str, *arguments: Any, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("library", logging.WARNING, "file.py", 1, message, arguments, None)
    made.__dict__.update(more)
    return made


class _Mute:
    def __str__(self) -> str:
        raise ValueError


STRANGE = {
    "not a number": float("nan"),
    "endless": float("-inf"),
    "a number without end": 10**5000,
    "no text": _Mute(),
    "no keys of JSON": {("a", 1): {1}},
    "bytes": b"\xff",
}


@pytest.mark.parametrize("value", STRANGE.values(), ids=STRANGE)
def test_a_strange_value_costs_neither_the_line_nor_the_work(told: Told, value: object) -> None:
    make_log().info("strange", value=value)
    (line,) = told()
    assert isinstance(line["value"], str)


def test_a_message_whose_arguments_do_not_fit_is_told_as_it_is(told: Told) -> None:
    Lines().handle(record("%s of %d", "x"))
    (line,) = told()
    assert (line["event"], line["level"], line["logger"]) == ("%s of %d", "warning", "library")


def test_a_long_text_is_cut(told: Told) -> None:
    make_log().info("long", text="x" * 1_000_000)
    (line,) = told()
    assert len(line["text"]) == 2000


def test_lines_and_errors_name_what_they_are_about(told: Told) -> None:
    log = make_log()
    try:
        with about(delivery="d", incident=None):
            log.info("in the outer one")
            with about(incident="i"):
                Lines().handle(record("of a library"))
                raise ValueError("it broke")
    except ValueError:
        log.exception("caught outside")
    log.info("afterwards")
    ids = [(line.get("delivery"), line.get("incident")) for line in told()]
    assert ids == [("d", None), ("d", "i"), ("d", "i"), (None, None)]


def test_the_line_of_a_job_names_what_the_job_is_about(told: Told) -> None:
    job = {"id": 7, "task_kwargs": {"incident": "i", "other": "x"}}
    Lines().handle(record("Job walk ended", job=job))
    (line,) = told()
    assert (line["incident"], "other" in line) == ("i", False)


def test_a_traceback_is_in_the_line_without_values_or_further_lines(told: Told) -> None:
    def fail(password: str) -> None:
        body = f"the body with {password}"
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError(f"second {len(body)}\nDETAIL: row (x, y)") from error

    value = "hunter" + str(2)
    try:
        fail(value)
    except ValueError:
        make_log().exception("it broke", delivery="d")
    (line,) = told()
    assert (line["level"], line["event"], line["delivery"]) == ("error", "it broke", "d")
    text = line["exception"]
    assert text.index("KeyError: 'first'") < text.index("ValueError: second")
    assert ", in fail\n" in text
    assert value not in text
    assert not text.endswith("row (x, y)") and "\nDETAIL" not in text


def test_a_chain_of_errors_that_bites_its_tail_ends(told: Told) -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    make_log().error("it broke", exc_info=ExceptionGroup("both", [first, second]))
    (line,) = told()
    assert line["exception"].count("ValueError: first") == 1


def test_an_error_without_end_is_told_in_short(told: Told) -> None:
    def forever(number: int) -> int:
        return forever(number + 1)

    try:
        forever(0)
    except RecursionError:
        make_log().exception("it broke")
    (line,) = told()
    assert len(line["exception"]) < 3000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "no route to postgresql://ann:p@ss/w:rd@db/x",
            "no route to postgresql://ann:[redacted: password]@db/x",
        ),
        (
            "Authorization: Bearer eyJhbGciOiJFZERTQSJ9.abc",
            "Authorization: Bearer [redacted: authorization]",
        ),
        ("sent Basic dXNlcjpwYXNzd29yZA==", "sent Basic [redacted: authorization]"),
        ("a basic mistake, see https://example.com/@me", None),
    ],
)
def test_the_last_line_of_defence(told: Told, text: str, shown: str | None) -> None:
    make_log().info("told", text=text)
    try:
        raise ValueError(text)
    except ValueError:
        make_log().exception(text)
    first, second = told()
    assert first["text"] == (shown or text)
    assert second["event"] == (shown or text)
    assert second["exception"].endswith(f"ValueError: {shown or text}")


def test_a_stream_that_is_gone_costs_the_line_alone() -> None:
    script = "from responder.log import make_log; make_log().info('x'); print('went on')"
    command = f"exec {sys.executable} -c {script!r} 2>&-"
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout) == (0, "went on\n")


ALL_VOICES = """
import asyncio, logging, threading, warnings
from responder.log import about, configure
configure()
class Late:
    def __del__(self): raise ValueError("nobody catches this")
async def lose():
    async def fail(): raise ValueError("a task was lost")
    asyncio.create_task(fail())
    await asyncio.sleep(0)
with about(incident="i"):
    logging.getLogger("library").info("info of a library")
    logging.getLogger("library").debug("debug of a library")
    warnings.warn("a warning", stacklevel=1)
    Late()
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    asyncio.run(lose())
raise RuntimeError("the end")
"""


def test_every_voice_of_a_process_is_heard_as_lines() -> None:
    command = [sys.executable, "-c", ALL_VOICES]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    lines = parsed(ran.stderr)
    assert (ran.returncode, ran.stdout) == (1, "")
    levels = [line["level"] for line in lines]
    assert levels == ["info", "warning", "error", "error", "error", "critical"]
    assert "UserWarning: a warning" in lines[1]["event"]
    assert {line.get("incident") for line in lines[:3]} == {"i"}
    assert [line.get("exception", "").rsplit("\n")[-1] for line in lines] == [
        "",
        "",
        "ValueError: nobody catches this",
        "ZeroDivisionError: division by zero",
        "ValueError: a task was lost",
        "RuntimeError: the end",
    ]
