"""A secret's file is read anew each time, also while somebody writes it."""

from pathlib import Path
from threading import Timer

import pytest

from responder.domain.secret import Secret, SecretMissing


def test_a_file_that_is_just_being_written_is_waited_for(tmp_path: Path) -> None:
    """An editor empties it first; who asks in this moment is not refused."""
    file = tmp_path / "secret"
    file.touch()
    editor = Timer(0.02, file.write_text, ["new\n"])
    editor.start()
    assert Secret((f"file:{file}",)).value() == "new"
    editor.join()


@pytest.mark.parametrize("content", ["", "\n", "\r\n"])
def test_a_file_that_stays_empty_is_missing(tmp_path: Path, content: str) -> None:
    file = tmp_path / "secret"
    file.write_text(content)
    with pytest.raises(SecretMissing, match="is empty"):
        Secret((f"file:{file}",)).values()
