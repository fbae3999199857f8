"""Which grants one statement needs, worked out from its text by a parser."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from sqlglot import Token, Tokenizer, TokenType, exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.parser import Parser

from responder.runbook.scopes import alias_of, columns_read, folded, is_relation, sources

_DIALECT = "postgres"
_PARAMETER = re.compile(r"%\(\w+\)s")
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
#: Words of the grammar that stand before a parenthesis and call nothing.
_GRAMMAR = {"coalesce", "conflict", "extract", "greatest", "least", "materialized", "nullif"}
_SYSTEM_SCHEMAS = ("pg_catalog", "information_schema")
_WORDS = """
    all analyse analyze and any array as asc asymmetric authorization binary both case cast check
    collate collation column concurrently constraint create cross current_catalog current_date
    current_role current_schema current_time current_timestamp current_user default deferrable desc
    distinct do else end except false fetch for foreign freeze from full grant group having ilike in
    initially inner intersect into is isnull join lateral leading left like limit localtime
    localtimestamp natural not notnull null offset on only or order outer overlaps placing primary
    references returning right select session_user similar some symmetric system_user table
    tablesample then to trailing true union unique user using variadic verbose when where window
    with
"""
#: Words that PostgreSQL takes for a name only in quotes.
RESERVED = frozenset(_WORDS.split())


class NotRead(Exception):
    """A statement whose needs nobody could work out."""


@dataclass(frozen=True, order=True)
class Name:
    """A table or function as PostgreSQL compares it; schema "": the search path finds it."""

    schema: str
    name: str

    def __str__(self) -> str:
        return ".".join(quote_identifier(part) for part in (self.schema, self.name) if part)

    @property
    def system(self) -> bool:
        """PostgreSQL's own or an extension's, which everybody may read."""
        return self.schema in _SYSTEM_SCHEMAS or self.name.startswith("pg_")


@dataclass
class Grant:
    """One privilege on a table or function; columns: empty is all of it; reasons: who needs it."""

    privilege: str
    on: Name
    columns: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Grants:
    """What one statement needs; locks: UPDATE of any column, the named one or another."""

    tables: list[Grant]
    locks: list[Grant]
    functions: list[Name]


def grants_of(sql: str) -> Grants:
    """What a statement with %(name)s parameters needs. NotRead."""
    bare = _PARAMETER.sub("NULL", sql).replace("%%", "%")
    try:
        tree = parse_one(bare, dialect=_DIALECT)
    except SqlglotError as error:
        raise NotRead(str(error)) from None
    if not isinstance(tree, exp.Query | exp.DML):
        raise NotRead(f"{tree.key} is neither a question nor a change of rows")
    return Grants([*_changes(tree), *_reads(tree)], list(_locks(tree)), list(_called(tree, bare)))


def quote_identifier(name: str) -> str:
    """As SQL writes it, in quotes where that is necessary."""
    plain = _PLAIN.fullmatch(name) and name not in RESERVED
    return name if plain else '"' + name.replace('"', '""') + '"'


def is_common(name: Name) -> bool:
    """Whether a function has a name that SQL itself knows; a target may still have one of it."""
    return name.name.startswith("pg_") or name.name.upper() in Parser.FUNCTIONS


def _reads(tree: exp.Expr) -> Iterator[Grant]:
    """SELECT on every table, but those that a change touches without looking at them."""
    blind = {
        id(_target(node))
        for node in tree.find_all(exp.Insert, exp.Update, exp.Delete)
        if not any(node.args.get(part) for part in ("where", "returning", "conflict"))
        and not (isinstance(node, exp.Update) and list(_values(node)))
    }
    read = columns_read(tree)
    for table in tree.find_all(exp.Table):
        if id(table) not in blind and is_relation(table):
            yield Grant("SELECT", _name(table), sorted(read.get(id(table), ())))


def _values(update: exp.Update) -> Iterator[exp.Expr]:
    """Columns that the new values are made of."""
    for each in update.expressions:
        yield from each.expression.find_all(exp.Column)


def _changes(tree: exp.Expr) -> Iterator[Grant]:
    for node in tree.find_all(exp.Insert, exp.Update, exp.Delete, exp.Merge):
        target = _target(node)
        if isinstance(target, exp.Table):
            for privilege, columns in _changed(node):
                yield Grant(privilege, _name(target), columns)


def _target(node: exp.Expr) -> exp.Expr:
    target: exp.Expr = node.this.this if isinstance(node.this, exp.Schema) else node.this
    return target


def _changed(node: exp.Expr) -> Iterator[tuple[str, list[str]]]:
    """What a change does to its table: privilege and columns, none of them for all."""
    if isinstance(node, exp.Insert) and not isinstance(node.parent, exp.When):
        yield "INSERT", _names(node.this.expressions) if isinstance(node.this, exp.Schema) else []
        conflict = node.args.get("conflict")
        if conflict is not None and conflict.expressions:
            yield "UPDATE", _set(conflict)
    elif isinstance(node, exp.Update):
        yield "UPDATE", _set(node)
    elif isinstance(node, exp.Delete):
        yield "DELETE", []
    elif isinstance(node, exp.Merge):
        said = node.args["whens"].sql(dialect=_DIALECT)
        yield from ((word, []) for word in ("INSERT", "UPDATE", "DELETE") if f"THEN {word}" in said)


def _set(node: exp.Expr) -> list[str]:
    """The columns that SET names: `a = 1`, or `(a, b) = (1, 2)`."""
    sides = [each.this for each in node.expressions if isinstance(each, exp.EQ)]
    return _names(part for side in sides for part in (side.expressions or [side]))


def _names(nodes: Iterable[exp.Expr]) -> list[str]:
    found = [node.this if isinstance(node, exp.Column) else node for node in nodes]
    return [folded(node) for node in found if isinstance(node, exp.Identifier)]


def _locks(tree: exp.Expr) -> Iterator[Grant]:
    """FOR UPDATE and its like need UPDATE of any column: of one that the statement names."""
    for select in tree.find_all(exp.Select):
        for lock in select.args.get("locks") or ():
            only = {alias_of(table) for table in lock.expressions}
            for source in sources(select):
                if only and alias_of(source) not in only:
                    continue
                for table in source.find_all(exp.Table):
                    if is_relation(table):
                        yield Grant("UPDATE", _name(table), _any_column(select, table))


def _any_column(select: exp.Select, table: exp.Table) -> list[str]:
    where = select.args.get("where")
    columns = where.find_all(exp.Column) if where else ()
    return _names([each for each in columns if each.table in ("", alias_of(table))][:1])


def _name(table: exp.Expr) -> Name:
    schema = table.args.get("db")
    return Name(folded(schema) if schema else "", folded(table.this))


def _called(tree: exp.Expr, sql: str) -> Iterator[Name]:
    """Every name before a parenthesis that is no table, alias or CTE of the statement."""
    other = {table.name.lower() for table in tree.find_all(exp.Table)}
    other |= {alias.name.lower() for alias in tree.find_all(exp.TableAlias)}
    other -= {call.name.lower() for call in tree.find_all(exp.Anonymous)}
    other |= _GRAMMAR
    tokens = Tokenizer(dialect=_DIALECT).tokenize(sql)
    for place, (token, after) in enumerate(pairwise(tokens)):
        if after.token_type != TokenType.L_PAREN:
            continue
        name = _written(sql, token)
        if place >= 2 and tokens[place - 1].token_type == TokenType.DOT:
            yield Name(_written(sql, tokens[place - 2]), name)
        elif token.token_type in (TokenType.VAR, TokenType.IDENTIFIER) and name not in other:
            yield Name("", name)


def _written(sql: str, token: Token) -> str:
    """A token as PostgreSQL folds it: in quotes it stays as it is."""
    text: str = token.text
    return text if sql[token.start] == '"' else text.lower()
