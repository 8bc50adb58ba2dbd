"""What free SQL may be: one query over the published views, of known kinds of nodes, functions and types alone.

Everything is refused that is not listed here. The tree that passed is written anew with every name quoted and every
view qualified: what PostgreSQL gets is text of this module's making, never the text that came.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

from resources.errors import UsageError

try:
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import ErrorLevel, SqlglotError
except ModuleNotFoundError as missing:
    raise UsageError("free SQL needs the extra [sql]: pip install 'simsight[sql]'") from missing

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it would log what it refuses
MAX_CHARACTERS = 10_000
MAX_TOKENS = 2000
MAX_DEPTH = 40
MAX_TABLES = 8
MAX_VALUES = 200  # of IN (...)
MAX_JOINED_TEXTS = 8  # by || and concat: each may double what came before
MAX_ROWS = 1000
MAX_OFFSET = 100_000
MAX_PATTERN = 100
MAX_WILDCARDS = 5
NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
NUMBER = re.compile(r"\d{1,18}(\.\d{1,18})?")
CTE = "cte_"

_OPERATORS = (
    "And Or Not Paren EQ NEQ GT GTE LT LTE Add Sub Mul Div Mod Neg NullSafeEQ NullSafeNEQ Tuple Null Boolean Star "
    "Where Having Order From Offset Any"
)
_CALLS = (
    "Sum Avg Min Max Stddev StddevSamp StddevPop Variance VariancePop Corr RegrSlope LogicalAnd LogicalOr "
    "PercentileCont PercentileDisc Mode Nullif Abs Floor Ceil Sign Sqrt Ln Lower Upper Length Trim Left Right "
    "StartsWith RowNumber Rank DenseRank PercentRank CumeDist FirstValue LastValue CurrentDate "
    "CurrentTimestamp"
)
_TYPES = "SMALLINT INT BIGINT DECIMAL DOUBLE FLOAT TEXT VARCHAR DATE TIMESTAMP TIMESTAMPTZ INTERVAL BOOLEAN"
_UNITS = (
    "YEAR YEARS QUARTER MONTH MONTHS WEEK WEEKS DAY DAYS HOUR HOURS MINUTE MINUTES SECOND SECONDS DOW ISODOW DOY "
    "ISOYEAR EPOCH"
)
_CALL = "this expression expressions"
# kind of node: what it may have. Parts that are no nodes (NATURAL, RECURSIVE, WITH TIES, ...) are words here too
NODES: dict[str, str] = {
    **dict.fromkeys(
        _OPERATORS.split(),
        _CALL + " typed safe",
    ),
    "Select": "expressions from_ joins where group having order limit offset distinct with_ windows",
    "Union": "this expression distinct with_ order limit offset",
    "Intersect": "this expression distinct with_ order limit offset",
    "Except": "this expression distinct with_ order limit offset",
    "With": "expressions",
    "CTE": "this alias",
    "Subquery": "this alias",
    "Table": "this db alias",
    "TableAlias": "this columns",
    "Join": "this on using side kind",
    "Group": "expressions",
    "Ordered": "this desc nulls_first",
    "Limit": "expression",
    "Distinct": "expressions on",
    "Alias": "this alias",
    "Column": "this table",
    "Identifier": "this quoted",
    "Literal": "this is_string",
    "Is": "this expression negate",
    "In": "this expressions query",
    "Between": "this low high",
    "Like": "this expression negate",
    "ILike": "this expression negate",
    "DPipe": "this expression safe",
    "Case": "this ifs default",
    "If": "this true false",
    "Cast": "this to",
    "DataType": "this expressions",
    "DataTypeParam": "this",
    "Interval": "this unit",
    "Var": "this",
    "Exists": "this",
    "Filter": "this expression",
    "Window": "this partition_by order spec over alias",
    "WindowSpec": "kind start start_side end end_side",
    "WithinGroup": "this expression",
    "Extract": "this expression",
    "TimestampTrunc": "this unit",
    "AtTimeZone": "this zone",
    # functions
    "Concat": "expressions safe coalesce",
    "Count": "this big_int",
    "Coalesce": "this expressions",
    "Greatest": "this expressions ignore_nulls",
    "Least": "this expressions ignore_nulls",
    "Round": "this decimals",
    "Lag": "this offset default",
    "Lead": "this offset default",
    "Ntile": "this",
    "Substring": "this start length",
    "SplitPart": "this delimiter part_index",
    "StrPosition": "this substr",
    "TimeToStr": "this format",
    **dict.fromkeys(
        _CALLS.split(),
        "this expression",
    ),
    "Anonymous": _CALL,
}
FUNCTIONS = frozenset({"age", "make_date"})  # that sqlglot has no kind of node for
TYPES = frozenset(_TYPES.split())
UNITS = frozenset(_UNITS.split())
# what a frame or a join may say in words
WORDS = {
    "WindowSpec": frozenset({"ROWS", "CURRENT ROW", "UNBOUNDED", "PRECEDING", "FOLLOWING"}),
    "Join": frozenset({"LEFT", "RIGHT", "FULL", "INNER", "OUTER"}),
}


class SqlRefusedError(UsageError):
    """The text is not a query that free SQL runs; the message says why, and what could be done instead."""


@dataclass(frozen=True)
class Checked:
    """A query as it will run, and the rows it gives at most, one more than are shown."""

    sql: str
    rows: int


def check(text: str, views: Mapping[str, frozenset[str]]) -> Checked:
    """Write the query anew, or raise SqlRefusedError.

    views  the columns of each view that may be read, by its name with its schema
    """
    tree = _parsed(text)
    _check_nodes(tree, quoted=False)
    _check_names(tree, views)
    rows = _limit(tree)
    written = _written(tree)
    # what was written must mean what was checked: read again, it is allowed too and is written the same
    again = _parse(written)
    _check_nodes(again, quoted=True)
    if _written(again) != written:
        raise SqlRefusedError("the query is written in a way that is not understood for certain: write it more simply")
    return Checked(written, rows)


def _parsed(text: str) -> exp.Expr:
    if len(text) > MAX_CHARACTERS:
        raise SqlRefusedError(f"a query has at most {MAX_CHARACTERS:,} characters")
    if any(character in "\\$`" or not (character.isprintable() or character in "\n\t\r") for character in text):
        raise SqlRefusedError("backslash, dollar sign, backtick and control characters are not allowed")
    if not re.sub(r"'[^']*'", "", text).isascii():
        raise SqlRefusedError("letters beyond ASCII stand between single quotes only")
    depth = deepest = 0
    for character in re.sub(r"'[^']*'", "", text):
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise SqlRefusedError(f"parentheses go at most {MAX_DEPTH} deep")
    try:
        tokens = sqlglot.tokenize(text, dialect="postgres")
    except (SqlglotError, RecursionError):
        raise SqlRefusedError("this is no SQL that can be read: is a quote open?") from None
    if len(tokens) > MAX_TOKENS:
        raise SqlRefusedError(f"a query has at most {MAX_TOKENS:,} words")
    if any(token.comments for token in tokens) or "--" in text or "/*" in text:
        raise SqlRefusedError("comments are not allowed")
    if any(token.token_type.name == "SEMICOLON" for token in tokens):
        raise SqlRefusedError("one statement at a time, without a semicolon")
    return _parse(text)


def _parse(text: str) -> exp.Expr:
    try:
        statements = sqlglot.parse(text, dialect="postgres", error_level=ErrorLevel.RAISE)
    except (SqlglotError, RecursionError, ValueError, TypeError, AttributeError, IndexError, KeyError):
        raise SqlRefusedError("this is no SQL that can be read") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Select | exp.SetOperation):
        raise SqlRefusedError("one SELECT is run, and nothing else")
    return statements[0]


def _written(tree: exp.Expr) -> str:
    try:
        return tree.sql(dialect="postgres", identify=True, comments=False, unsupported_level=ErrorLevel.RAISE)
    except (SqlglotError, RecursionError):
        raise SqlRefusedError("the query says something that PostgreSQL does not have, or is too deep") from None


def _check_nodes(tree: exp.Expr, *, quoted: bool) -> None:
    texts = 0
    for node in tree.walk():
        kind = type(node).__name__
        if type(node) is not getattr(exp, kind, None) or kind not in NODES:
            raise SqlRefusedError(f"{_said(node)} is not allowed here")
        parts = NODES[kind].split()
        for part, value in node.args.items():
            if value is None or value is False or value == []:
                continue
            if part not in parts or (isinstance(value, exp.Expr) and value.parent is not node):
                raise SqlRefusedError(f"{part.strip('_').replace('_', ' ')} of {_said(node)} is not allowed here")
            if kind in WORDS and isinstance(value, str) and value.upper() not in WORDS[kind]:
                raise SqlRefusedError(f"{value} is not allowed here")
        if node.depth > 4 * MAX_DEPTH:
            raise SqlRefusedError("the query is nested too deep")
        texts += isinstance(node, exp.DPipe) + (len(node.expressions) if isinstance(node, exp.Concat) else 0)
        _check_node(node, quoted=quoted)
    if texts > MAX_JOINED_TEXTS:
        raise SqlRefusedError(f"a query joins at most {MAX_JOINED_TEXTS} texts")


def _check_node(node: exp.Expr, *, quoted: bool) -> None:  # noqa: PLR0912 - one rule a kind
    if isinstance(node, exp.Identifier):
        if (node.args.get("quoted") and not quoted) or not NAME.fullmatch(str(node.this).lower()):
            raise SqlRefusedError("names are plain: letters, digits and _, not in double quotes")
        if str(node.this).lower().startswith("pg_"):
            raise SqlRefusedError(f"{node.this} is not allowed here")
    elif isinstance(node, exp.Literal):
        if not node.is_string and not NUMBER.fullmatch(str(node.this)):
            raise SqlRefusedError("a number has at most 18 digits before and after its point")
    elif isinstance(node, exp.Anonymous):
        if not isinstance(node.this, str) or node.this.lower() not in FUNCTIONS:
            raise SqlRefusedError(f"the function {str(node.this)[:60]} is not allowed here")
    elif isinstance(node, exp.DataType):
        if getattr(node.this, "name", "") not in TYPES:
            raise SqlRefusedError(f"the type {node.sql(dialect='postgres')[:60]} is not allowed here")
    elif isinstance(node, exp.Var):
        if (
            not isinstance(node.parent, exp.Interval | exp.Extract | exp.TimestampTrunc)
            or node.name.upper() not in UNITS
        ):
            raise SqlRefusedError(f"{node.name[:60]} is not allowed here")
    elif isinstance(node, exp.In):
        if len(node.expressions) > MAX_VALUES:
            raise SqlRefusedError(f"IN lists at most {MAX_VALUES} values")
    elif isinstance(node, exp.Any):
        if not isinstance(node.this, exp.Select | exp.SetOperation | exp.Subquery):
            raise SqlRefusedError("ANY takes a query only")
    elif isinstance(node, exp.Like | exp.ILike):
        pattern = node.expression
        if not (isinstance(pattern, exp.Literal) and pattern.is_string) or len(pattern.name) > MAX_PATTERN:
            raise SqlRefusedError(f"a pattern of LIKE is a text of at most {MAX_PATTERN} characters")
        if pattern.name.count("%") > MAX_WILDCARDS:
            raise SqlRefusedError(f"a pattern of LIKE has at most {MAX_WILDCARDS} signs %")
    elif isinstance(node, exp.TimeToStr):
        form = node.args.get("format")
        if not isinstance(form, exp.Literal) or len(form.name) > MAX_PATTERN:
            raise SqlRefusedError("to_char takes a short text as its format")
    elif isinstance(node, exp.DataTypeParam):
        if not isinstance(node.this, exp.Literal) or len(node.this.name) > 2:
            raise SqlRefusedError("a type has at most 99 digits")
    elif isinstance(node, exp.Substring):
        places = [node.args[part] for part in ("start", "length") if node.args.get(part)]
        if any(not isinstance(place, exp.Literal) or place.is_string for place in places):  # a text is a pattern
            raise SqlRefusedError("substring takes plain numbers: substring(label FROM 1 FOR 3)")
    elif isinstance(node, exp.Join):
        _check_join(node)
    elif isinstance(node, exp.Table):
        if not isinstance(node.this, exp.Identifier):
            raise SqlRefusedError("a query reads views, and no function instead of one")
    elif isinstance(node, exp.Subquery) and not isinstance(node.this, exp.Select | exp.SetOperation):
        raise SqlRefusedError("only a query or a condition stands in parentheses")


def _check_join(join: exp.Join) -> None:
    """Refuse a join without an equality of a column on each side: it would pair every row with every other."""
    if join.args.get("using"):
        return
    condition = join.args.get("on")
    parts = list(condition.flatten()) if isinstance(condition, exp.And) else [condition]
    for part in parts:
        if isinstance(part, exp.EQ) and isinstance(part.left, exp.Column) and isinstance(part.right, exp.Column):
            sides = {part.left.table.lower(), part.right.table.lower()}
            if len(sides) == 2 and "" not in sides:
                return
    raise SqlRefusedError("each table is joined ON an equality of columns (a.iccid = b.iccid) or with USING")


def _check_names(tree: exp.Expr, views: Mapping[str, frozenset[str]]) -> None:
    """Qualify views, give common table expressions names that nothing else has, and refuse unknown columns."""
    own = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    tables = list(tree.find_all(exp.Table))
    if len(tables) > MAX_TABLES:
        raise SqlRefusedError(f"a query names at most {MAX_TABLES} tables")
    for table in tables:
        _qualify(table, views, own)
    for cte in tree.find_all(exp.CTE):
        cte.args["alias"].set("this", exp.to_identifier(CTE + cte.alias.lower()))
    for name in tree.find_all(exp.Identifier):
        name.set("this", str(name.this).lower())
    _check_columns(tree, views)


def _qualify(table: exp.Table, views: Mapping[str, frozenset[str]], own: set[str]) -> None:
    schema, name = table.db.lower(), table.name.lower()
    if not table.alias:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(name)))
    if not schema and name in own:
        table.set("this", exp.to_identifier(CTE + name))
        return
    found = [view for view in views if view == f"{schema}.{name}" or (not schema and view.partition(".")[2] == name)]
    if len(found) != 1:
        there = ", ".join(sorted(views))
        raise SqlRefusedError(f"{table.name[:60]} is not a view that can be read: there are {there}")
    schema, name = found[0].split(".")
    table.set("db", exp.to_identifier(schema))
    table.set("this", exp.to_identifier(name))


def _check_columns(tree: exp.Expr, views: Mapping[str, frozenset[str]]) -> None:
    """Refuse a column that is none: PostgreSQL would read `row.function` as `function(row)`."""
    named = {alias.alias for alias in tree.find_all(exp.Alias)}
    named |= {column.name for alias in tree.find_all(exp.TableAlias) for column in alias.args.get("columns") or ()}
    for name in named & FORBIDDEN_ALIASES:
        raise SqlRefusedError(f"{name} cannot name a column: choose another name")
    known = named.union(*views.values())
    for column in tree.find_all(exp.Column):
        if not isinstance(column.this, exp.Star) and column.name not in known:
            raise SqlRefusedError(f"there is no column {column.name[:60]} in the views")


# functions that take any row: as names of columns they could be called by their name alone
FORBIDDEN_ALIASES = frozenset({"row_to_json", "to_json", "to_jsonb", "record_out", "hash_record", "num_nulls"})


def _limit(tree: exp.Expr) -> int:
    """Bound the rows, by one more than are shown; returns how many are shown at most."""
    wanted = MAX_ROWS
    for part in (*tree.find_all(exp.Limit), *tree.find_all(exp.Offset)):
        if not isinstance(part.expression, exp.Literal) or not part.expression.name.isdigit():
            raise SqlRefusedError("LIMIT and OFFSET take a plain number")
    offset = tree.args.get("offset")
    if offset and int(offset.expression.name) > MAX_OFFSET:
        raise SqlRefusedError(f"OFFSET is at most {MAX_OFFSET:,}: choose rows with WHERE")
    given = tree.args.get("limit")
    if given:
        wanted = min(int(given.expression.name), MAX_ROWS)
        if int(given.expression.name) <= MAX_ROWS:
            return wanted
    tree.set("limit", exp.Limit(expression=exp.Literal.number(MAX_ROWS + 1)))
    return wanted


def _said(node: exp.Expr) -> str:
    """A short name of a kind of node: CurrentUser is said CURRENT USER."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).upper()
