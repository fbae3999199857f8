"""Our migration of the job engine is the installed version's own schema, unchanged."""

import re
from importlib.metadata import version

from procrastinate.schema import SchemaManager

from responder.domain.shipped import shipped

MIGRATION = (shipped("sql") / "migrations" / "0002_procrastinate.sql").read_text(encoding="utf-8")


def test_it_is_in_it_unchanged() -> None:
    ours, schema, rest = MIGRATION.partition(SchemaManager.get_schema().strip())
    assert schema, "the installed procrastinate has another schema: a new migration is needed"
    assert rest.strip() == ""
    # Only where it goes is ours.
    code = [line for line in ours.splitlines() if line and not line.startswith("--")]
    assert code == ["CREATE SCHEMA responder_jobs;", "SET LOCAL search_path = responder_jobs;"]


def test_it_says_which_version_it_is_of() -> None:
    (said,) = re.findall(r"procrastinate (\d+\.\d+)'s schema", MIGRATION)
    assert version("procrastinate").startswith(f"{said}.")
