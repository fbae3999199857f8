"""What a fix keeps of the rows that it changed: every digit of them, encrypted."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from responder.domain.numbers import exact
from responder.domain.redaction import Redaction
from responder.domain.secret import Secret
from responder.pipeline.images import encrypt_images, read_image
from responder.store.vault import Vault, new_key
from responder.worker import tidy
from tests.house import House, alert
from tests.undoing import ANN, made, refused, things, undo_of, undoable
from tests.walks import BAD, fixes

COLUMNS = """
ALTER TABLE thing ADD many numeric(40, 20) DEFAULT 12345678901234567890.12345678901234567890,
    ADD padded numeric(10, 4) DEFAULT 1.5, ADD float float8 DEFAULT 0.1::float8 + 0.2::float8,
    ADD tiny float8 DEFAULT 5e-324, ADD big bigint DEFAULT 9007199254740993,
    ADD at timestamptz DEFAULT '2026-03-29 01:30:00.123456+00', ADD day date DEFAULT '4000-01-01',
    ADD doc jsonb DEFAULT '{"deep": [{"n": 1.10, "m": 12345678901234567890.5}, null, "x\\"y"]}'
"""
ROWS = "SELECT to_jsonb(t)::text FROM thing t WHERE id < 10 ORDER BY id"


def image(house: House, column: str) -> list[str]:
    rows = house.sql(f"SELECT value::text FROM fix, jsonb_array_elements({column}) ORDER BY 1")
    return [row["value"] for row in rows]


def test_images_have_every_digit(start: Callable[..., House]) -> None:
    house = start(statements={"mend_before": "SELECT * FROM thing WHERE state = 'bad' FOR UPDATE"})
    house.shop.run(COLUMNS)
    before = house.shop.rows(ROWS)
    house.shop.run(f"ALTER DATABASE {house.shop.name} SET extra_float_digits = 0")
    house.post(alert("Thing"))
    house.settle()
    house.shop.run(f"ALTER DATABASE {house.shop.name} RESET extra_float_digits")
    after = house.shop.rows(ROWS)
    assert house.shop.rows(BAD) == []
    assert (image(house, "before_rows"), image(house, "after_rows")) == (sorted(before), after)
    assert "12345678901234567890.12345678901234567890" in before[0]
    assert "1.5000" in before[0]
    (fix,) = fixes(house)
    told = house.document()["fixes"][0]["before"][0]
    assert told["many"] == "12345678901234567890.12345678901234567890"
    assert (told["padded"], told["float"], told["tiny"]) == (1.5, 0.30000000000000004, 5e-324)
    assert told["big"] == 9007199254740993
    assert told["doc"]["deep"][0] == {"n": 1.1, "m": "12345678901234567890.5"}
    assert fix["before_rows"][0] == told


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.1),
        ("1.50", 1.5),
        ("1e2", 100.0),
        ("0.12345678901234567890", "0.12345678901234567890"),
        ("1e400", "1e400"),
        ("9007199254740993", 9007199254740993),
        ("1" * 301, "1" * 301),
        ("true", True),
    ],
)
def test_what_no_float_holds_stays_text(text: str, value: object) -> None:
    assert exact(text) == value
    assert type(exact(text)) is type(value)


PERSONAL = Redaction(columns=("State",))


def test_what_a_fix_shows_is_redacted_and_its_undo_is_exact(start: Callable[..., House]) -> None:
    house = start(**undoable())
    targets = house.services.settings.targets
    hides = {name: replace(each, redact=PERSONAL) for name, each in targets.items()}
    house.with_settings(redact=PERSONAL, targets=hides)
    before = things(house)
    house.post(alert("Thing"))
    house.settle()
    (fix,) = fixes(house)
    assert {row["state"] for row in fix["before_rows"] + fix["after_rows"]} == {"[redacted: state]"}
    assert [row["id"] for row in fix["before_rows"]] == [1, 2, 3]
    told = json.dumps([house.document(), [message.document for message in house.hook.got]])
    assert "[redacted: state]" in told and '"bad"' not in told
    image = read_image(house.services, fix["id"], ANN)
    assert image is not None
    assert {row["state"] for row in exact(image.before)} == {"bad"}
    assert hashlib.sha256(image.plain).digest() == bytes(fix["image_sha256"])
    (event,) = house.sql("SELECT actor, details FROM audit_event WHERE after = 'read'")
    assert (event["actor"], event["details"]["fix"]) == ("ann", str(fix["id"]))
    undo_of(house)
    house.settle()
    assert (things(house), fixes(house)[0]["status"]) == (before, "undone")
    (kept, of_undo) = house.sql("SELECT encrypted FROM fix_image ORDER BY fix_id")
    assert b"bad" not in bytes(kept["encrypted"]) + bytes(of_undo["encrypted"])


def test_exact_rows_are_deleted_when_no_undo_may_need_them(start: Callable[..., House]) -> None:
    house = made(start)
    fix_id = fixes(house)[0]["id"]
    house.later(timedelta(hours=71))
    tidy(house.services)
    undo_of(house, dry_run=True)
    house.settle()
    house.later(timedelta(hours=1, minutes=1))
    assert "can be undone for 72 hours, and its exact rows are deleted then" in str(refused(house))
    house.later(timedelta(hours=1))
    tidy(house.services)
    assert house.sql("SELECT FROM fix_image") == []
    assert read_image(house.services, fix_id, ANN) is None
    assert fixes(house)[0]["image_sha256"] is not None, "the digest stays"


def test_an_undo_that_waited_for_too_long_changes_nothing(start: Callable[..., House]) -> None:
    house = made(start)
    after = things(house)
    undo_of(house)
    house.sql("DELETE FROM fix_image")
    house.settle()
    undo = fixes(house)[1]
    assert (undo["status"], undo["reason"]) == ("refused", "the rows that it needs are deleted")
    assert things(house) == after


def test_without_the_key_nothing_is_fixed_that_could_not_be_undone(
    start: Callable[..., House], tmp_path: Path
) -> None:
    house = start(**undoable())
    absent = Vault(Secret((f"file:{tmp_path}/absent",)))
    house.services, whole = replace(house.services, vault=absent), house.services
    house.post(alert("Thing"))
    house.settle()
    assert {fix["status"] for fix in fixes(house)} == {"refused"}
    assert "its rows could not be kept for an undo: vault.keys" in fixes(house)[0]["reason"]
    assert house.shop.rows(BAD) == [1, 2, 3]
    assert house.decision() == ("hand_over", "fix_failed")
    house.services = whole


def test_an_undo_under_another_key_says_which(
    start: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = made(start)
    monkeypatch.setenv("TEST_OTHER", new_key())
    house.services = replace(house.services, vault=Vault(Secret(("env:TEST_OTHER",))))
    assert "cannot be read: it is encrypted with the key" in str(refused(house))
    both = Vault(Secret(("env:TEST_OTHER", "env:TEST_VAULT")))
    house.services = replace(house.services, vault=both)
    undo_of(house)
    house.settle()
    assert fixes(house)[0]["status"] == "undone"


def test_rows_that_an_earlier_release_kept_in_the_open(start: Callable[..., House]) -> None:
    """They can be undone as they are, and are encrypted soon."""
    house = made(start)
    (fix,) = fixes(house)
    house.sql("UPDATE fix SET image_sha256 = NULL")
    house.sql("DELETE FROM fix_image")
    undo_of(house, dry_run=True)
    house.settle()
    assert fixes(house)[1]["reason"] == "dry run"
    house.with_settings(redact=PERSONAL)
    encrypt_images(house.services)
    hidden, _ = fixes(house)
    image = read_image(house.services, hidden["id"], ANN)
    assert image is not None and image.digest == bytes(hidden["image_sha256"])
    assert exact(image.before) == fix["before_rows"]
    assert {row["state"] for row in hidden["before_rows"]} == {"[redacted: state]"}
    (event,) = house.sql("SELECT actor_kind, actor FROM audit_event WHERE after = 'encrypted'")
    assert event == {"actor_kind": "system", "actor": "vault"}
    house.sql("UPDATE fix SET image_sha256 = NULL, ended_at = ended_at - interval '4 days'")
    house.sql("DELETE FROM fix_image")
    encrypt_images(house.services)
    assert house.sql("SELECT FROM fix_image") == [], "of an old one only the digest is kept"
