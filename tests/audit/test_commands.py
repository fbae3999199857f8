"""`responder audit` at a terminal."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from responder.cli import main
from tests.audit.conftest import Scene

Run = Callable[..., Result]


@pytest.fixture
def run(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command with settings for the scene."""
    monkeypatch.setenv("SCENE", scene.url)
    key = scene.settings.key.references[0]
    config = tmp_path / "responder.toml"
    config.write_text(
        f'database = "env:SCENE"\ntoken_keys = "{key}"\n'
        f'[seal]\nkey = "{key}"\ncopy_to = ["{scene.copy}"]\n'
    )
    monkeypatch.setenv("RESPONDER_CONFIG", str(config))
    return lambda *arguments: CliRunner().invoke(main, ["audit", *map(str, arguments)])


def shown(run: Run, *arguments: str) -> Any:
    told = run("show", "--json", *arguments)
    assert told.exit_code == 0, told.output
    return json.loads(told.output)


def test_events_are_shown_page_by_page(run: Run) -> None:
    whole = [event["id"] for event in shown(run, "--limit", "200")["items"]]
    pages: list[str] = []
    page = shown(run, "--limit", "5")
    pages += [event["id"] for event in page["items"]]
    while page["next"]:
        page = shown(run, "--limit", "5", "--before", page["next"])
        pages += [event["id"] for event in page["items"]]
    assert pages == whole and len(whole) > 10
    assert {event["what"] for event in shown(run, "--actor", "ann")["items"]} == {"note"}
    assert len(shown(run, "--rule", "thing", "--what", "fix", "--since", "1h")["items"]) == 3
    assert shown(run, "--until", "2020-01-01")["items"] == []
    table = run("show", "--limit", "1")
    assert "there are more: --before 20" in table.output
    for wrong in (["--since", "soon"], ["--before", "x/y"], ["--incident", "7"]):
        assert run("show", *wrong).exit_code == 2


def test_it_is_verified_and_what_is_wrong_is_named(run: Run, scene: Scene) -> None:
    told = run("verify")
    assert told.exit_code == 0, told.output
    assert (
        "nothing was changed" in told.output and f"copy {scene.copy}: up to seal 4" in told.output
    )
    assert run("verify", "--since", "1h").exit_code == 0
    scene.superuser("UPDATE note SET body = 'Bob.' WHERE body LIKE 'It was%'", "DELETE FROM fix")
    told = run("verify")
    assert told.exit_code == 1
    assert "altered: note " in told.output and "missing: fix " in told.output
    assert "2 things are wrong" in told.output
    as_json = json.loads(run("verify", "--json").output)
    assert (as_json["ok"], as_json["trouble_count"]) == (False, 2)
    assert {trouble["kind"] for trouble in as_json["troubles"]} == {"altered", "missing"}
    assert run("verify", "--copy", "/nowhere").exit_code == 2


def test_an_incident_is_taken_away_with_its_keys(run: Run, tmp_path: Path) -> None:
    incident = shown(run, "--what", "opened")["items"][0]["incident_id"]
    bundle, keys = tmp_path / "bundle.json", tmp_path / "public.json"
    assert run("export", incident, "--out", bundle).exit_code == 0
    assert run("export", incident, "--out", bundle).exit_code == 1, "a file is not overwritten"
    assert bundle.read_text() != run("export", incident).output, "made at another time"
    public = run("keys")
    keys.write_text(public.output)
    assert set(json.loads(public.output)["keys"][0]) == {"kty", "crv", "alg", "kid", "x"}
    assert run("verify", bundle, "--keys", keys).exit_code == 0
    assert run("export", "00000000-0000-7000-8000-000000000001").exit_code == 1
