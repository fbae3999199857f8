"""A secret's file is read anew each time, also while somebody writes it."""

from pathlib import Path
from threading import Timer
from time import monotonic

import pytest

from responder.domain.secret import Secret, SecretMissing
from responder.pipeline.deliver import PAGE_TIMEOUT


def test_a_file_that_is_just_being_written_is_waited_for(tmp_path: Path) -> None:
    """An editor empties it first; who asks in this moment is not refused."""
    file = tmp_path / "secret"
    file.touch()
    editor = Timer(0.02, file.write_text, ["new\n"])
    editor.start()
    assert Secret((f"file:{file}",)).value() == "new"
    editor.join()


def test_a_file_that_is_just_being_replaced_is_waited_for(tmp_path: Path) -> None:
    """Some editors move it away and write a new one; who asks in between is not refused."""
    file = tmp_path / "secret"
    editor = Timer(0.02, file.write_text, ["new\n"])
    editor.start()
    assert Secret((f"file:{file}",)).values() == ("new",)
    editor.join()


def test_a_page_falls_back_in_time_when_its_secrets_stay_away(tmp_path: Path) -> None:
    """Longer than one attempt, and the next process would begin another one in the meantime."""
    (tmp_path / "empty").touch()
    began = monotonic()
    with pytest.raises(SecretMissing):
        Secret((f"file:{tmp_path}/empty", f"file:{tmp_path}/gone")).values()
    assert monotonic() - began < PAGE_TIMEOUT


@pytest.mark.parametrize("content", ["", "\n", "\r\n"])
def test_a_file_that_stays_empty_is_missing(tmp_path: Path, content: str) -> None:
    file = tmp_path / "secret"
    file.write_text(content)
    with pytest.raises(SecretMissing, match="is empty"):
        Secret((f"file:{file}",)).values()
