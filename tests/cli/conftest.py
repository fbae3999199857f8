"""Runs commands with settings for the house's own databases."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from responder.cli import main
from tests.demo import World, running
from tests.house import House

SETTINGS = """
database = "env:CLI_DATABASE"
token_keys = "file:{folder}/keys.json"

[vault]
keys = "env:TEST_VAULT"

[issuers.company]
type = "oidc"
issuer = "https://login.example.com"
audience = "responder"
role_claim = "/groups"
roles = {{viewer = ["staff"]}}

[sources.prometheus]
type = "alertmanager"
bearer = "env:TEST_TOKEN"

[targets.shop_eu]
kind = "shop"
matches = ['env="production"']
reading = "env:TEST_READING"
writing = "env:TEST_WRITING"
"""
Run = Callable[..., Result]


@pytest.fixture
def run(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command with settings for the house's own databases."""
    monkeypatch.setenv("CLI_DATABASE", house.services.store.url)
    config = tmp_path / "responder.toml"
    config.write_text(SETTINGS.format(folder=tmp_path))
    monkeypatch.setenv("RESPONDER_CONFIG", str(config))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments))

    made = run("token", "keys", "--out", str(tmp_path / "keys.json"))
    assert made.exit_code == 0, made.output
    return run


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One demo for the tests of a module; each finds it as the one before left it."""
    with running() as ready:
        yield ready
