"""People who are logged in to the console, and forms as a browser sends them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from responder.web import create_app
from tests.house import House

Tokens = Mapping[str, Mapping[str, str]]


@dataclass
class Person:
    """A browser of somebody who is logged in."""

    client: FlaskClient
    csrf: str

    def get(self, path: str, status: int = 200) -> str:
        """A page as text."""
        response = self.client.get(f"/console{path}")
        assert response.status_code == status, response.text
        return response.text

    def post(self, path: str, **fields: object) -> TestResponse:
        """A form, with what each form carries."""
        return self.client.post(f"/console{path}", data={"csrf": self.csrf, **fields})


@pytest.fixture
def person(house: House, tokens: Tokens) -> Callable[[str], Person]:
    """Somebody with a role, logged in."""
    app = create_app(house.services)

    def enter(role: str) -> Person:
        app.extensions["responder"] = house.services  # a test may have changed its settings
        client = app.test_client()
        token = tokens[role]["Authorization"].removeprefix("Bearer ")
        client.post("/console/login", data={"token": token})
        found = re.search(r'name="csrf" value="(\w+)"', client.get("/console/").text)
        assert found is not None
        return Person(client, found[1])

    return enter
