"""What is encrypted opens with any live key, at its own place, and nowhere else."""

import zlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from responder.domain.secret import Secret
from responder.store.vault import Locked, Vault, new_key, read_key

PLAIN, PLACE = b"the body of a delivery", "raw_body 1"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("new", "old"):
        (tmp_path / name).write_text(new_key())
    return tmp_path


def vault(folder: Path, *names: str) -> Vault:
    return Vault(Secret(tuple(f"file:{folder / name}" for name in names)))


def test_the_same_is_never_encrypted_alike_and_tells_nothing(files: Path) -> None:
    key = vault(files, "new")
    first, second = key.encrypt(PLAIN, PLACE), key.encrypt(PLAIN, PLACE)
    assert first[:8] == second[:8], "the key's id"
    assert first[8:] != second[8:]
    assert PLAIN not in first
    assert key.decrypt(first, PLACE) == key.decrypt(second, PLACE) == PLAIN


def test_what_is_long_takes_less_room_and_opens_as_it_was(files: Path) -> None:
    key, long = vault(files, "new"), b'{"alertname": "QueueStuck"}' * 1000
    kept = key.encrypt(long, PLACE)
    assert len(kept) < len(long) / 10
    assert key.decrypt(kept, PLACE) == long
    with pytest.raises(Locked, match="does not open"):
        key.decrypt(kept, "raw_body 2")


def test_what_an_earlier_release_kept_opens_however_long_it_is(files: Path) -> None:
    here = vault(files, "new")
    for plain in (b"a" * 5000, zlib.compress(b"a" * 100_000)):
        nonce = b"n" * 12
        cipher = AESGCM(read_key((files / "new").read_text()))
        kept = here.encrypt(b"", PLACE)[:8] + nonce + cipher.encrypt(nonce, plain, PLACE.encode())
        assert here.decrypt(kept, PLACE) == plain


def test_keys_are_replaced_while_all_of_them_open(files: Path) -> None:
    old, both, new = vault(files, "old"), vault(files, "new", "old"), vault(files, "new")
    earlier, later = old.encrypt(PLAIN, PLACE), both.encrypt(PLAIN, PLACE)
    assert both.decrypt(earlier, PLACE) == new.decrypt(later, PLACE) == PLAIN
    with pytest.raises(Locked, match=rf"with the key {earlier[:8].hex()}, not one of vault.keys"):
        new.decrypt(earlier, PLACE)
    with pytest.raises(Locked, match=r"not one of vault\.keys"):
        old.decrypt(later, PLACE)


def test_a_file_that_has_another_key_now_is_read_again(files: Path) -> None:
    here = vault(files, "new")
    here.encrypt(PLAIN, PLACE)
    (files / "new").write_text((files / "old").read_text())
    assert here.decrypt(vault(files, "old").encrypt(PLAIN, PLACE), PLACE) == PLAIN


@pytest.mark.parametrize("byte", [8, 20, -1], ids=["nonce", "text", "tag"])
def test_what_was_changed_or_moved_does_not_open(files: Path, byte: int) -> None:
    key = vault(files, "new")
    changed = bytearray(key.encrypt(PLAIN, PLACE))
    with pytest.raises(Locked, match="does not open"):
        key.decrypt(bytes(changed), "raw_body 2")
    changed[byte] ^= 1
    with pytest.raises(Locked, match="does not open"):
        key.decrypt(bytes(changed), PLACE)
    with pytest.raises(Locked, match="does not open"):
        key.decrypt(bytes(changed[:12]), PLACE)


def test_keys_that_were_read_are_used_on_when_their_file_is_gone(files: Path) -> None:
    known, late = vault(files, "new"), vault(files, "new")
    kept = known.encrypt(PLAIN, PLACE)
    (files / "new").unlink()
    assert known.decrypt(kept, PLACE) == PLAIN
    with pytest.raises(Locked, match=r"vault\.keys: the file .+new cannot be read"):
        late.decrypt(kept, PLACE)


@pytest.mark.parametrize("text", ["hunter2-hunter2", "aHVudGVyMg==", "\N{SNOWMAN}", "A" * 43 + "="])
def test_what_is_no_key_is_named_and_not_repeated(files: Path, text: str) -> None:
    (files / "new").write_text(text[:-1])
    with pytest.raises(Locked) as locked:
        vault(files, "new").encrypt(PLAIN, PLACE)
    assert "hunter2" not in str(locked.value)
