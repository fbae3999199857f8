"""A command reads its own modules: what is typed at night, and `work`, need not wait for all."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["work", "incidents", "notifications"])
def test_a_command_does_not_read_what_only_others_need(command: str) -> None:
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "responder", command, "--help"],
        capture_output=True,
        check=True,
        text=True,
    )
    read = {line.rpartition("|")[2].strip() for line in told.stderr.splitlines()}
    assert "responder.cli" in read
    assert not {"responder.cli.demo", "responder.web.console", "apispec"} & read


def test_an_unknown_command_is_told_and_exits_with_2() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "responder", "wrok"], capture_output=True, check=False, text=True
    )
    assert told.returncode == 2
    assert "No such command 'wrok'" in told.stderr
