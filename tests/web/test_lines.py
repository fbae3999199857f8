"""A mistake in a view is one line that names the incident of the request; nothing else does."""

import logging
from collections.abc import Iterator

import pytest
from flask import Flask

from responder.domain.ids import new_id
from responder.log import Lines
from responder.web import create_app
from tests.house import House
from tests.test_log import parsed


@pytest.fixture
def app(house: House) -> Iterator[Flask]:
    """One with two views that fail, and with our lines for what Flask logs."""
    app = create_app(house.services)

    def fail(**_: object) -> str:
        body = "the body of a request"
        raise ValueError(len(body))

    app.add_url_rule("/v1/incidents/<uuid:incident_id>/broken", "incident", fail)
    app.add_url_rule("/broken/<path:rest>", "path", fail)
    handler, logger = Lines(), logging.getLogger("responder.web")
    logger.addHandler(handler)
    yield app
    logger.removeHandler(handler)


def test_a_mistake_is_one_line_with_its_incident(
    app: Flask, capsys: pytest.CaptureFixture[str]
) -> None:
    incident = str(new_id())
    answer = app.test_client().get(f"/v1/incidents/{incident}/broken")
    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    (line,) = parsed(capsys.readouterr().err)
    assert (line["incident"], line["level"]) == (incident, "error")
    assert line["exception"].endswith("ValueError: 21")
    assert "the body of a request" not in line["exception"]

    app.test_client().get("/broken/%0A%1B[31m%00%E2%80%A8%22}?token=abc")
    (line,) = parsed(capsys.readouterr().err)
    assert "incident" not in line
    assert "\n\x1b[31m\0\u2028" in line["event"] and "abc" not in line["event"]
