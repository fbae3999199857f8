"""`check` and the start refuse a `[redact]` and a `[vault]` that would fail later."""

import time
from pathlib import Path

import pytest

from responder.store.vault import new_key
from tests.cli.conftest import Run


def configured(tmp_path: Path, more: str) -> None:
    with (tmp_path / "responder.toml").open("a") as file:
        file.write(f"\n{more}\n")


def test_patterns_that_take_long_are_refused(run: Run, tmp_path: Path) -> None:
    patterns = {
        "fast": r"\b[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}\b",
        "mail": r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}",
        "nested": r"(a+)+\$",
        "long": r"\w+@\w+",
    }
    written = "\n".join(f"{kind} = '{pattern}'" for kind, pattern in patterns.items())
    configured(tmp_path, f"[redact.patterns]\n{written}")
    began = time.monotonic()
    told = run("check").output
    assert "redact.patterns.nested: is slow on long texts; bound what repeats in it" in told
    assert "redact.patterns.long: is slow" in told
    assert "redact.patterns.fast" not in told and "redact.patterns.mail" not in told
    assert time.monotonic() - began < 60


def test_what_something_is_chosen_by_cannot_be_hidden(run: Run, tmp_path: Path) -> None:
    configured(tmp_path, '[redact]\nlabels = ["ENV", "alertname", "customer"]')
    told = run("check").output
    assert "redact.labels: 'env' must stay: the target shop_eu is chosen by it" in told
    assert "redact.labels: 'alertname' must stay: the rule database_down is chosen by it" in told
    assert "customer" not in told


@pytest.mark.parametrize("command", ["serve", "work"])
def test_nothing_starts_without_the_key(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.delenv("TEST_VAULT")
    result = run(command)
    assert result.exit_code == 1
    assert "vault.keys: the environment variable TEST_VAULT is not set" in result.output
    assert "responder vault key --out" in result.output
    monkeypatch.setenv("TEST_VAULT", "too short")
    assert "not a key of 32 bytes in base64" in run(command).output


def test_a_key_is_made_once_and_not_shown(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    made = run("vault", "key", "--out", str(path))
    assert made.exit_code == 0 and path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().strip() not in made.output
    assert len(path.read_text()) == len(new_key())
    assert "never overwritten" in run("vault", "key", "--out", str(path)).output
