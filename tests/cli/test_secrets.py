"""`secrets`: a rotation from its beginning to its end, and what a terminal never shows."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from responder.cli import main
from responder.domain.secret import Secret, version_of
from responder.web.tokens import read_keys
from tests.cli.conftest import Run
from tests.house import BEARER, House, alert
from tests.site import eventually

KEY = "sources.prometheus.bearer"


@pytest.fixture
def bearer(run: Run, tmp_path: Path) -> Path:
    """The bearer stands in a file of its own, and there are secrets that others make."""
    file = tmp_path / "bearer"
    file.write_text(f"{BEARER}\n")
    file.chmod(0o640)
    hook = tmp_path / "hook"
    hook.write_text("https://hooks.slack.example/old\n")
    config = tmp_path / "responder.toml"
    config.write_text(
        config.read_text().replace('"env:TEST_TOKEN"', f'"file:{file}"')
        + f'[receivers.slack]\ntype = "slack"\nwebhook_url = "file:{hook}"\n'
    )
    return file


def listed(run: Run, key: str = KEY) -> list[dict[str, Any]]:
    items = json.loads(run("secrets", "list", "--json").stdout)["items"]
    return [item for item in items if item["key"] == key]


def unused(house: House, days: int = 2) -> None:
    """Time goes by, in which nobody uses anything."""
    house.sql("UPDATE secret_version SET first_seen = first_seen - %s * interval '1 day'", days)


def events(house: House) -> list[tuple[str, str, str]]:
    rows = house.sql("SELECT * FROM audit_event WHERE what = 'secret' ORDER BY id")
    return [(row["actor"], row["after"], row["details"]["version"]) for row in rows]


def test_a_secret_of_ours_from_its_rotation_to_the_end_of_the_old_one(
    run: Run, house: House, bearer: Path
) -> None:
    (old,) = listed(run)
    assert (old["state"], old["first_seen"]) == ("live", None)
    made = run("secrets", "rotate", KEY, "--as", "ann")
    assert made.exit_code == 0, made.output
    new, kept = bearer.read_text().splitlines()
    assert (kept, len(new) > 40, new in made.output) == (BEARER, True, False)
    assert stat.S_IMODE(bearer.stat().st_mode) == 0o640
    assert [each.name for each in bearer.parent.iterdir() if each.name[0] == "."] == []
    assert "Give it to whoever posts to /v1/webhooks/prometheus" in made.output
    assert f"responder secrets retire {KEY} {old['version']}" in made.output
    assert {each["version"] for each in listed(run)} == {version_of(KEY, new), old["version"]}
    early = run("secrets", "retire", KEY, old["version"])
    assert (early.exit_code, "known for 0 min only" in early.output) == (1, True), early.output
    unused(house)
    house.sql("UPDATE secret_version SET last_used = now() - interval '5 hours'")
    used = run("secrets", "retire", KEY, old["version"])
    assert (used.exit_code, "was used 5 h ago" in used.output) == (1, True), used.output
    assert bearer.read_text().splitlines() == [new, BEARER]
    house.sql("UPDATE secret_version SET last_used = now() - interval '25 hours'")
    done = run("secrets", "retire", KEY, old["version"], "--as", "bea")
    assert done.exit_code == 0, done.output
    assert bearer.read_text() == f"{new}\n"
    assert {each["version"]: each["state"] for each in listed(run)} == {
        version_of(KEY, new): "live",
        old["version"]: "retired",
    }
    assert events(house) == [
        ("settings", "live", old["version"]),
        ("ann", "live", version_of(KEY, new)),
        ("bea", "retired", old["version"]),
    ]
    last = run("secrets", "retire", KEY, version_of(KEY, new))
    assert (last.exit_code, "is the only version" in last.output) == (1, True), last.output


def test_a_token_key_is_a_version_of_its_own(run: Run, house: House, tmp_path: Path) -> None:
    """Tokens of the old key open until it is retired; its file stays a JWK set."""
    (old,) = listed(run, "token_keys")
    assert run("secrets", "rotate", "token_keys").exit_code == 0
    file = tmp_path / "keys.json"
    first, second = read_keys(file.read_text())
    assert version_of("token_keys", Secret((f"file:{file}",)).values()[1]) == old["version"]
    unused(house)
    retired = run("secrets", "retire", "token_keys", old["version"])
    assert retired.exit_code == 0, retired.output
    assert [*read_keys(file.read_text())] == [first]
    assert second != first


def test_what_others_make_is_read_from_standard_input(
    bearer: Path, house: House, tmp_path: Path
) -> None:
    def rotate(said: str) -> Result:
        asked = ["secrets", "rotate", "receivers.slack.webhook_url"]
        return CliRunner().invoke(main, asked, input=said)

    done = rotate("https://hooks.slack.example/new\n")
    assert done.exit_code == 0, done.output
    new, old = (tmp_path / "hook").read_text().splitlines()
    assert (new, old) == ("https://hooks.slack.example/new", "https://hooks.slack.example/old")
    assert "hooks.slack" not in done.output
    for said, why in (("\n", "nothing was said"), (f"{old}\n", "is a live version")):
        refused = rotate(said)
        assert (refused.exit_code, why in refused.output) == (1, True), refused.output
        assert old not in refused.output
    assert (tmp_path / "hook").read_text().splitlines() == [new, old]


def test_what_stands_elsewhere_is_changed_by_you(
    run: Run, house: House, bearer: Path, tmp_path: Path
) -> None:
    told = run("secrets", "rotate", "targets.shop_eu.reading")
    assert told.exit_code == 1
    assert 'reading = ["env:TEST_READING_NEW", "env:TEST_READING"]' in told.output
    nobody = run("secrets", "rotate", "sources.nobody.bearer")
    assert (nobody.exit_code, "there are database, token_keys" in nobody.output) == (1, True)
    config = tmp_path / "responder.toml"
    other = tmp_path / "other"
    other.write_text("the-new-one\n")
    both = f'bearer = ["file:{other}", "file:{bearer}"]'
    config.write_text(config.read_text().replace(f'bearer = "file:{bearer}"', both))
    run("secrets", "rotate", KEY)  # registers what is there
    unused(house)
    done = run("secrets", "retire", KEY, version_of(KEY, BEARER))
    assert (done.exit_code, f'take "file:{bearer}" out of {KEY}' in done.output) == (0, True)
    assert bearer.read_text() == f"{BEARER}\n", "what the settings name stays there"


@pytest.fixture
def worker(bearer: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """A real worker, which tells what it used each tenth of a second instead of each minute."""
    code = (
        "from responder.pipeline import pages; pages.NOTE_EVERY = 0.1;"
        " from responder.cli import main; main(['work', '--slots', '2'])"
    )
    log = bearer.parent / "log"
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            process = subprocess.Popen([sys.executable, "-c", code], stdout=output, stderr=output)
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.wait(timeout=30)


def test_a_worker_tells_what_it_has_and_what_it_used(
    run: Run,
    house: House,
    bearer: Path,
    worker: Callable[[], subprocess.Popen[bytes]],
) -> None:
    reading = "targets.shop_eu.reading"
    house.post(alert("ShopifyQueueStuck"))
    worker()
    eventually(lambda: [each for each in listed(run, reading) if each["last_used"]])
    (shown,) = listed(run)
    assert (shown["last_used"], shown["first_seen"] is not None) == (None, True)
    assert listed(run, "database")[0]["last_used"] is not None
    everything = str(house.sql("SELECT * FROM secret_version")) + str(events(house))
    assert BEARER not in everything and os.environ["TEST_READING"] not in everything
    assert "no secret is older than 75 days" in run("doctor").output
    unused(house, 80)
    doctor = run("doctor").output
    assert f"secret {KEY}" in doctor and "is 80 days old, due in 10" in doctor
