"""A secret's file is looked at anew each time, also while somebody writes it."""

from hashlib import sha256
from os import utime
from pathlib import Path
from threading import Timer
from time import monotonic, sleep

import pytest

from responder.domain.secret import (
    Secret,
    SecretMissing,
    version_of,
    versions_in,
    with_version,
    without_version,
)
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


def test_a_file_that_changes_is_never_taken_for_what_it_was(tmp_path: Path) -> None:
    """However long it was the same, and whatever its size and the time that it pretends."""
    file, other = tmp_path / "secret", tmp_path / "other"
    secret = Secret((f"file:{file}",))
    file.write_text("old\n")
    told = file.stat()
    sleep(2.1)  # from now on it need not be read again
    assert secret.value() == secret.value() == "old"
    file.write_text("new\n")
    utime(file, ns=(told.st_atime_ns, told.st_mtime_ns))
    assert secret.value() == "new"
    for number in range(100):
        file.write_text(f"{number:03}\n")
        assert secret.value() == f"{number:03}"
    other.write_text("yes\n")
    other.rename(file)
    assert secret.value() == "yes"
    file.unlink()
    with pytest.raises(SecretMissing):
        secret.value()


@pytest.mark.parametrize("content", ["", "\n", "\r\n"])
def test_a_file_that_stays_empty_is_missing(tmp_path: Path, content: str) -> None:
    file = tmp_path / "secret"
    file.write_text(content)
    with pytest.raises(SecretMissing, match="is empty"):
        Secret((f"file:{file}",)).values()


PEM = "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----"
KEYS = '{"keys": [{"kid": "new", "d": "a"}, {"kid": "old", "d": "b"}]}'


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("only", 1),
        ("  with spaces \n", 1),
        ("new\nold\n", 2),
        ("new\r\n\r\nold", 2),
        (PEM, 1),
        (KEYS, 2),
        ('{"keys": [', 1),
        ('{"other": 1}', 1),
    ],
)
def test_a_file_may_hold_several_versions(tmp_path: Path, text: str, count: int) -> None:
    file = tmp_path / "secret"
    file.write_text(text)
    secret = Secret((f"file:{file}",))
    assert len(secret.versions()) == count
    assert secret.value() == secret.values()[0] == versions_in(text.rstrip("\n"))[0]
    if count == 1:
        assert secret.value() == text.rstrip("\n")


def test_a_newer_version_comes_first_and_an_old_one_goes() -> None:
    assert with_version("old\n", "new") == "new\nold\n"
    assert without_version("new\nold\n", "old") == "new\n"
    one, two = versions_in(KEYS)
    assert versions_in(with_version(two, one)) == [one, two]
    assert versions_in(without_version(KEYS, two)) == [one]
    for text, new in ((PEM, "new"), ("old", PEM), ("old", one), (one, "new")):
        with pytest.raises(ValueError, match="several lines"):
            with_version(text, new)


def test_it_remembers_which_version_was_used(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("new\nold\n")
    secret = Secret((f"file:{file}",))
    assert secret.used() == set()
    assert secret.fits(lambda value: value == "old") and not secret.fits(lambda value: False)
    assert secret.used() == {"old"}
    secret.value()
    secret.forget(frozenset({"old"}))
    assert secret.used() == {"new"}
    assert "new" not in repr(secret)
    assert secret == Secret((f"file:{file}",)), "what was used makes no difference"


def test_the_name_of_a_version_is_neither_the_secret_nor_its_digest() -> None:
    name = version_of("sources.a.bearer", "hunter2")
    assert len(name) == 8 and name == version_of("sources.a.bearer", "hunter2")
    assert name != version_of("sources.b.bearer", "hunter2"), "nobody sees that they are the same"
    assert name not in sha256(b"hunter2").hexdigest()
