"""One JSON object a line on standard error, from us and from every library, of the same shape.

`timestamp`, `level`, `event`, then what is told, with the ids that `about` has bound. Text from
outside cannot leave its line: whatever is not printable ASCII is a JSON escape.
"""

import json
import logging
import logging.config
import sys
import threading
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any

import structlog

from responder.domain.redaction import SECRETS

_LONGEST = 2000
_LONGEST_MESSAGE = 300
#: Frames of one exception, and exceptions of one chain; a recursion that ran away has a thousand.
_FRAMES, _CHAIN = 30, 10

_LEVELS = ((50, "critical"), (40, "error"), (30, "warning"), (20, "info"))


@contextmanager
def about(**ids: object) -> Iterator[None]:
    """Every line of this block names these: `delivery`, `incident`; None says nothing.

    An error that leaves the block names them too, wherever it is logged.
    """
    told = {name: str(value) for name, value in ids.items() if value is not None}
    with structlog.contextvars.bound_contextvars(**told):
        try:
            yield
        except Exception as error:
            error.__dict__["about"] = told | error.__dict__.get("about", {})
            raise


def make_log() -> Any:
    """The logger of our own lines."""
    return structlog.wrap_logger(
        _Wire(),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _shape,
        ],
    )


class Lines(logging.Handler):
    """What libraries log, as lines of ours; a job's arguments are the ids that it is about."""

    def __init__(self) -> None:
        super().__init__()
        self._log = make_log()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = record.getMessage()
        except (TypeError, ValueError, KeyError):  # its arguments do not fit
            event = str(record.msg)
        level = next((name for least, name in _LEVELS if record.levelno >= least), "debug")
        given = getattr(record, "job", {}).get("task_kwargs", {})
        with about(delivery=given.get("delivery"), incident=given.get("incident")):
            say = getattr(self._log, level)
            say(event.strip(), logger=record.name, exc_info=record.exc_info)


#: For `logging.config`, which gunicorn calls with it too.
STANDARD: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"lines": {"class": "responder.log.Lines"}},
    "root": {"level": "INFO", "handlers": ["lines"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True},
        "procrastinate": {"level": "WARNING"},  # its other lines tell each job's begin and end
        "urllib3": {"level": "ERROR"},  # its warnings repeat URLs, and some of those are secrets
    },
}


def configure() -> None:
    """From now on everything that this process says is such a line; once, at its start."""
    logging.config.dictConfig(STANDARD)
    logging.captureWarnings(True)
    log = make_log()

    def end(_: object, error: BaseException, __: object) -> None:
        log.critical("ended by a mistake", exc_info=error)

    def end_thread(hook: threading.ExceptHookArgs) -> None:
        name = hook.thread.name if hook.thread else ""
        log.error("a thread was ended by a mistake", thread=name, exc_info=hook.exc_value)

    def pass_by(hook: Any) -> None:
        log.error(hook.err_msg or "a mistake that nobody can catch", exc_info=hook.exc_value)

    sys.excepthook, threading.excepthook, sys.unraisablehook = end, end_thread, pass_by


class _Wire:
    """Each line in one write, so that the processes that share the stream do not mix theirs.

    A stream that is full or gone costs the line, never the work.
    """

    _lock = threading.Lock()

    def write(self, line: str) -> None:
        with self._lock, suppress(OSError, ValueError, AttributeError):
            sys.stderr.buffer.write(line.encode() + b"\n")
            sys.stderr.buffer.flush()

    debug = info = warning = error = critical = exception = write


def _shape(_: object, __: str, event: MutableMapping[str, Any]) -> str:
    """The last processor: the line."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    event = getattr(error, "about", {}) | dict(event)
    line = {name: _plain(event.pop(name)) for name in ("timestamp", "level", "event")}
    line |= {name: _plain(value) for name, value in event.items()}
    said = {name: value for name, value in line.items() if isinstance(value, str)}
    line |= zip(said, (text[:_LONGEST] for text in SECRETS.texts(list(said.values()))), strict=True)
    if error:
        line["exception"] = _traceback(error)
    return json.dumps(line)


def _plain(value: object) -> object:
    """Numbers as they are, all else as text of bounded length.

    No secret is ever meant to be logged; should the message of a library repeat one, it goes.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) < 2**53:  # else, or NaN: not JSON to everybody
        return value
    try:
        return str(value)[: 2 * _LONGEST]
    except (ValueError, TypeError, AttributeError):  # a line never costs the work that it tells of
        return f"<{type(value).__name__}>"


def _traceback(error: BaseException) -> str:
    """As Python prints it, without the values of variables, and of each message one short line.

    What PostgreSQL adds in further lines repeats rows.
    """
    parts: list[str] = []
    for each in _causes(error):
        parts += traceback.format_tb(each.__traceback__, limit=-_FRAMES)
        said = SECRETS.text(next(iter(str(each).splitlines()), "")[: 2 * _LONGEST])
        parts.append(f"{_name(type(each))}: {said[:_LONGEST_MESSAGE]}\n")
    return "".join(parts).rstrip()


def _name(kind: type) -> str:
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _causes(error: BaseException) -> list[BaseException]:
    """The error, what led to it and what it is made of; the first of them first."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(found) < _CHAIN:
        each = waiting.pop(0)
        if each is None or any(each is known for known in found):
            continue
        found.append(each)
        waiting.append(each.__cause__ or (None if each.__suppress_context__ else each.__context__))
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
    return found[::-1]
