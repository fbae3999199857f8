"""The migration on a database that is full of data: what was there is found, and is sealed, too."""

from pathlib import Path
from shutil import copy

import psycopg
import pytest

from responder import __version__
from responder.domain.settings import SealSettings
from responder.domain.shipped import shipped
from responder.domain.witnessed import ROWS
from responder.pipeline.audit.verify import verify_all
from responder.store import Store
from responder.store.migrations import migrate
from tests.audit.conftest import make_settings

INDEXES = """
SELECT c.relname FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
WHERE t.relname ~ '^audit_event_\\d+$' AND c.relname ~ '_(at|actor|what|subject)$' AND i.indisvalid
"""
PARENTS = """
SELECT bool_and(i.indisvalid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relname ~ '^audit_event_(at|actor|what|subject)$'
"""
FILL = """
INSERT INTO responder.audit_event (filed_at, id, at, actor_kind, actor, what, subject, details,
    code_version)
SELECT now(), gen_random_uuid(), now(), 'person', 'ann', 'old', n::text, '{}', '0'
FROM generate_series(1, 50) n
"""


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """The migrations of the release before there were seals."""
    folder = tmp_path / "before"
    folder.mkdir()
    for path in (shipped("sql") / "migrations").glob("*.sql"):
        if path.stem < "0017_seal":
            copy(path, folder)
    return folder


def test_what_was_there_before_is_found_and_waits_for_its_seal(
    empty_database: str, before: Path, tmp_path: Path
) -> None:
    migrate(empty_database, before)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(FILL)
        migrate(empty_database)
        assert len(connection.execute(INDEXES).fetchall()) == 3 * 4
        assert connection.execute(PARENTS).fetchall() == [(True,)]
        connection.execute("DROP INDEX responder.audit_event_actor")
        connection.execute(
            "CREATE INDEX audit_event_actor ON ONLY responder.audit_event (actor, at, id)"
        )
        migrate(empty_database)
        assert connection.execute(PARENTS).fetchall() == [(True,)], "it goes on where it stopped"
    settings: SealSettings = make_settings(tmp_path)
    store = Store(empty_database, 1, __version__)
    with store.snapshot() as tx:
        report = verify_all(tx, settings)
    assert report.ok and report.backlog == 50


def test_the_triggers_witness_the_columns_that_verifying_looks_at(database: str) -> None:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT tgrelid::regclass::text, tgargs FROM pg_trigger WHERE tgname ~ '_witness$'"
        ).fetchall()
    told = {table.split(".")[-1]: bytes(given).decode().split("\0") for table, given in rows}
    assert told.keys() == ROWS.keys()
    for table, (version, _, columns, *_) in told.items():
        assert ROWS[table][int(version)] == tuple(columns.split()), table
