"""The statements of sql/queries, by name."""

from responder.domain.shipped import shipped
from responder.domain.statements import Statement, parse_statements


def _read() -> dict[str, Statement]:
    queries: dict[str, Statement] = {}
    for path in sorted((shipped("sql") / "queries").glob("*.sql")):
        found = parse_statements(path.read_text(encoding="utf-8"), path.name)
        twice = queries.keys() & found.keys()
        if twice:
            raise ValueError(f"{path.name}: named twice: {', '.join(sorted(twice))}")
        queries |= found
    return queries


QUERIES = _read()
