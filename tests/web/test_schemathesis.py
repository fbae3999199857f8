"""schemathesis: what it makes up from the document is sent to the real application."""

from collections.abc import Iterator, Mapping
from threading import Thread
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from werkzeug.serving import WSGIRequestHandler, make_server

from responder.web import create_app
from tests.house import BEARER, House

Tokens = Mapping[str, Mapping[str, str]]


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@pytest.fixture
def url(busy: House) -> Iterator[str]:
    """Where the busy house is served."""
    server = make_server(
        "127.0.0.1", 0, create_app(busy.services), threaded=True, request_handler=_Silent
    )
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


#: What no schema can say, so that a body of the right shape may be refused: what a source sends,
#: which questions a rule has, and what is a matcher.
MORE_THAN_SHAPE = ["/v1/explain/{source_name}", "/v1/maintenance"]
#: What is ended, not deleted: it can be looked at for ever.
ENDED = ["/v1/maintenance/{window_id}"]
NOT_ALL_IS_ACCEPTED = {"positive_data_acceptance": {"enabled": False}}


def trouble(url: str, only: str = "", **settings: Any) -> tuple[list[str], set[int]]:
    """What schemathesis finds wrong with all its checks, and the codes that it was answered."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "cache": {"enabled": False},
            "generation": {"deterministic": True, "max-examples": 15},
            "operations": [
                {"include-path": MORE_THAN_SHAPE, "checks": NOT_ALL_IS_ACCEPTED},
                {"include-path": ENDED, "checks": {"use_after_free": {"enabled": False}}},
                *([{"exclude-path": only, "enabled": False}] if only else []),
            ],
            **settings,
        }
    )
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
    found: list[str] = []
    codes: set[int] = set()
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError):
            found.append(f"{event.label}: {event.value!r}")
        if isinstance(event, events.FatalError):
            found.append(repr(event.exception))
        if isinstance(event, events.ScenarioFinished):
            codes |= {
                each.response.status_code
                for each in event.recorder.interactions.values()
                if each.response
            }
            found += [
                f"{event.label} {check.name}: {check.failure_info.failure.message}"
                f" {check.failure_info.code_sample}"
                for checks in event.recorder.checks.values()
                for check in checks
                if check.failure_info
            ]
    return found, codes


large_values = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")


@large_values
def test_it_finds_nothing(url: str, tokens: Tokens, busy: House) -> None:
    found, codes = trouble(url, headers=dict(tokens["operator"]))
    assert found == []
    assert codes >= {200, 400, 401, 403, 404, 405}
    assert busy.gap() == (0, 0)


#: Those who may do little are tried with what the schemas suggest, not with all that comes to mind.
BRIEFLY = {"phases": {"fuzzing": {"enabled": False}, "stateful": {"enabled": False}}}


@large_values
def test_it_finds_nothing_as_a_viewer(url: str, tokens: Tokens, busy: House) -> None:
    before = busy.trail()
    found, codes = trouble(url, headers=dict(tokens["viewer"]), **BRIEFLY)
    assert found == []
    assert codes >= {200, 400, 401, 403, 404, 405}
    assert [each for each in busy.trail() if each[0] not in ("refused", "denied")] == before


@large_values
def test_it_finds_nothing_without_a_token(url: str) -> None:
    assert trouble(url, **BRIEFLY) == ([], {200, 401, 404, 405})


@large_values
def test_it_finds_nothing_as_a_sender(url: str, busy: House) -> None:
    found, codes = trouble(
        url,
        "/v1/webhooks/{source}",
        headers={"Authorization": f"Bearer {BEARER}"},
        parameters={"path.source": "prometheus"},
    )
    assert found == []
    assert codes >= {202, 400, 401, 405}
    assert busy.gap() == (0, 0)


@large_values
def test_it_finds_nothing_that_explain_cannot_read(url: str, tokens: Tokens) -> None:
    found, codes = trouble(
        url,
        "/v1/explain/{source_name}",
        headers=dict(tokens["viewer"]),
        parameters={"path.source_name": "prometheus"},
    )
    assert found == []
    assert codes >= {200, 422}
