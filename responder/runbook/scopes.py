"""Which columns of which table a statement reads, as far as its text alone can tell."""

from collections.abc import Iterator

from sqlglot import exp

_SCOPES = (exp.Select, exp.Update, exp.Delete, exp.Insert, exp.Merge)


def columns_read(tree: exp.Expr) -> dict[int, set[str]]:
    """By the id of a table's node the columns that are read of it; none stands for all of them.

    A column without the name of its table, where several could have it, makes all of them be
    needed: what columns they have is known to the target alone.
    """
    read: dict[int, set[str]] = {}
    whole: set[int] = set()
    for column in tree.find_all(exp.Column, exp.Star):
        if isinstance(column, exp.Star) and isinstance(column.parent, exp.Count | exp.Column):
            continue  # count(*) names no column; that of `t.*` is looked at as a column
        if _is_set(column):
            continue
        found, certain = _owners(column)
        for table in found:
            if certain and not isinstance(column.this, exp.Star):
                read.setdefault(id(table), set()).add(folded(column.this))
            else:
                whole.add(id(table))
    for using in (join.args["using"] for join in tree.find_all(exp.Join) if join.args.get("using")):
        whole |= {id(table) for table in using[0].find_ancestor(*_SCOPES).find_all(exp.Table)}
    return {table: columns for table, columns in read.items() if table not in whole}


def sources(scope: exp.Expr) -> list[exp.Expr]:
    """What a query reads from side by side, or the table that it changes and what helps it."""
    args = scope.args
    found = [] if isinstance(scope, exp.Select) else [scope.this]
    found += [args["from_"].this] if args.get("from_") else []
    found += [join.this for join in args.get("joins") or ()]
    found += args.get("laterals") or []
    found += args.get("using") or [] if isinstance(args.get("using"), list) else []
    nested = [each for one in found for each in _joined(one)]
    return [one.this if isinstance(one, exp.Schema) else one for one in (*found, *nested)]


def is_relation(table: exp.Expr) -> bool:
    """No function in FROM, no name of a CTE, and no second mention behind FOR UPDATE OF."""
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
        return False
    if isinstance(table.parent, exp.Lock):
        return False
    return bool(table.db) or not any(_is_cte(table, above) for above in _above(table))


def folded(identifier: exp.Expr) -> str:
    """A name as PostgreSQL compares it."""
    return identifier.name if identifier.args.get("quoted") else identifier.name.lower()


def alias_of(source: exp.Expr) -> str:
    alias = source.args.get("alias")
    named = alias.this if alias is not None and alias.this is not None else source.this
    return folded(named) if isinstance(named, exp.Identifier) else ""


def _owners(column: exp.Expr) -> tuple[list[exp.Expr], bool]:
    """The tables that a column may belong to, and whether it is certain that it does."""
    table = column.args.get("table")
    scopes = [sources(scope) for scope in _visible(column)]
    if table is not None:
        for found in scopes:
            named = [source for source in found if alias_of(source) == folded(table)]
            if named:
                return _relations(named), True
        if folded(table) == "excluded":  # the row that was proposed has the columns of its table
            return _relations(scopes[0]), True
        return _relations([source for found in scopes for source in found]), False
    if isinstance(column, exp.Star):
        return _relations(scopes[0] if scopes else []), False
    candidates = [source for found in scopes for source in found]
    if isinstance(column.this, exp.Identifier):
        if _is_output(column):
            return (
                ([], True)
                if isinstance(column.parent, exp.Ordered)
                else (_relations(candidates), False)
            )
        rows = [each for each in candidates if alias_of(each) == folded(column.this)]
        if rows:  # the whole row as a value, or a column of that name
            return _relations(candidates), False
    return _relations(candidates), len(candidates) == 1


def _is_set(column: exp.Expr) -> bool:
    """Whether SET gives the column its value: `a = 1`, or `(a, b) = (1, 2)`."""
    side = column.parent if isinstance(column.parent, exp.Tuple) else column
    return (
        side.arg_key == "this"
        and isinstance(side.parent, exp.EQ)
        and side.parent.arg_key == "expressions"
        and isinstance(side.parent.parent, exp.Update | exp.OnConflict)
    )


def _is_output(column: exp.Expr) -> bool:
    """Whether ORDER BY or GROUP BY may mean a column of the result."""
    clause = column.find_ancestor(exp.Order, exp.Group, *_SCOPES)
    if not isinstance(clause, exp.Order | exp.Group) or not isinstance(clause.parent, exp.Select):
        return False
    return column.name in {
        each.alias for each in clause.parent.expressions if isinstance(each, exp.Alias)
    }


def _relations(found: list[exp.Expr]) -> list[exp.Expr]:
    return [source for source in found if is_relation(source)]


def _visible(node: exp.Expr) -> Iterator[exp.Expr]:
    """The queries whose tables an expression can name, the innermost first."""
    child, hidden = node, False
    for above in _above(node):
        beside = isinstance(above, exp.From | exp.Join) and child.arg_key == "this"
        if (beside and not isinstance(child, exp.Lateral)) or isinstance(above, exp.With):
            hidden = True  # what stands in FROM or WITH does not see its neighbours
        if isinstance(above, exp.Insert) and child.arg_key == "expression":
            hidden = True
        if isinstance(above, _SCOPES):
            if not hidden:
                yield above
            hidden = False
        child = above


def _joined(source: exp.Expr) -> Iterator[exp.Expr]:
    """Further tables that sqlglot hangs under a table: `FROM a, b` or (a JOIN b)."""
    for join in source.args.get("joins") or ():
        yield join.this


def _above(node: exp.Expr) -> Iterator[exp.Expr]:
    while node.parent is not None:
        node = node.parent
        yield node


def _is_cte(table: exp.Expr, query: exp.Expr) -> bool:
    """Whether a WITH of this query is what the name means there."""
    clause = query.args.get("with_")
    if clause is None:
        return False
    names = [folded(cte.args["alias"].this) for cte in clause.expressions]
    inside = [any(above is cte for above in _above(table)) for cte in clause.expressions]
    if True in inside and not clause.args.get("recursive"):
        names = names[: inside.index(True)]  # a CTE sees those before it, not itself
    return folded(table.this) in names
