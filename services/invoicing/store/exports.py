"""Rows as text, made by Postgres: no object is made of a row on the way.

A chunk is the rows after one key up to another; both are found first, so that its end is known before it is sent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from io import BytesIO

from libs.common.errors import InvalidArgument
from libs.common.money import exponents
from libs.common.postgres import Conn
from services.invoicing.domain.export import Column, ColumnType, Dataset, Export, Format

TEXT, INTEGER, DECIMAL = ColumnType.TEXT, ColumnType.INTEGER, ColumnType.DECIMAL
DATE, TIME, BOOLEAN = ColumnType.DATE, ColumnType.TIME, ColumnType.BOOLEAN

_KEY_TYPES: dict[str, Callable[[str], object]] = {"text": str, "integer": int, "date": date.fromisoformat}


@dataclass(frozen=True, slots=True)
class _Source:
    """`columns`: name, type and expression; `key`: expression and Postgres type; `day` is what is asked for.

    An amount's expression is its column of minor units; the table's currency is `currency`.
    """

    columns: Sequence[tuple[str, ColumnType, str]]
    tables: str
    where: str
    key: Sequence[tuple[str, str]]
    day: str
    currency: str
    same_as_first: str = ""
    """What is joined by the first part of the key, so that of both tables only the chunk's rows are read."""


def _amount(name: str, column: str) -> tuple[str, ColumnType, str]:
    return name, DECIMAL, f"round({column} / power(10::numeric, exponent), exponent)"


_OF_INVOICE = "i.tenant_id = $1 AND i.state IN ('finalized', 'voided')"

_LINE_DISCOUNT = (
    "CASE WHEN i.discount_minor = 0 THEN 0"
    " ELSE (SELECT coalesce(trim_scale(sum(d.amount)), 0) FROM invoice_line_discount d"
    " WHERE d.tenant_id = l.tenant_id AND d.invoice_id = l.invoice_id AND d.line_position = l.position) END"
)

_SOURCES = {
    Dataset.INVOICES: _Source(
        (
            ("id", TEXT, "i.id"),
            ("number", TEXT, "i.number"),
            ("kind", TEXT, "i.kind"),
            ("state", TEXT, "i.state"),
            ("customer_id", TEXT, "i.customer_id"),
            ("issue_date", DATE, "i.issue_date"),
            ("due_date", DATE, "i.due_date"),
            ("currency_code", TEXT, "i.currency"),
            _amount("subtotal", "i.subtotal_minor"),
            _amount("discount", "i.discount_minor"),
            _amount("tax", "i.tax_minor"),
            _amount("total", "i.total_minor"),
            _amount("credits", "i.credits_minor"),
            _amount("offset", "i.offset_minor"),
            _amount("prepaid", "i.prepaid_minor"),
            _amount("amount_due", "i.amount_due_minor"),
            _amount("amount_paid", "i.amount_paid_minor"),
            ("payment_status", TEXT, "i.payment_status"),
            ("payment_overdue", BOOLEAN, "i.payment_overdue"),
            ("line_count", INTEGER, "i.line_count"),
            ("finalize_time", TIME, "i.finalize_time"),
        ),
        "invoice i",
        _OF_INVOICE,
        (("i.id", "text"),),
        "i.issue_date",
        "i.currency",
    ),
    Dataset.INVOICE_LINES: _Source(
        (
            ("invoice_id", TEXT, "l.invoice_id"),
            ("invoice_number", TEXT, "i.number"),
            ("invoice_state", TEXT, "i.state"),
            ("issue_date", DATE, "i.issue_date"),
            ("customer_id", TEXT, "i.customer_id"),
            ("line_number", INTEGER, "l.position + 1"),
            ("kind", TEXT, "l.kind"),
            ("code", TEXT, "l.code"),
            ("description", TEXT, "l.description"),
            ("subscription_id", TEXT, "l.subscription_id"),
            ("plan_code", TEXT, "l.plan_code"),
            ("plan_version", INTEGER, "l.plan_version"),
            ("meter_code", TEXT, "nullif(l.meter_code, '')"),
            ("period_start", TIME, "l.period_start"),
            ("period_end", TIME, "l.period_end"),
            ("currency_code", TEXT, "i.currency"),
            _amount("amount", "l.amount_minor"),
            ("unrounded_amount", DECIMAL, "trim_scale(l.unrounded_amount)"),
            ("discount", DECIMAL, _LINE_DISCOUNT),
            ("tax_inclusive", BOOLEAN, "l.is_tax_inclusive"),
            ("watermark", INTEGER, "l.watermark"),
        ),
        "invoice_line l JOIN invoice i ON i.tenant_id = l.tenant_id AND i.id = l.invoice_id",
        f"l.tenant_id = $1 AND {_OF_INVOICE}",
        (("l.invoice_id", "text"), ("l.position", "integer")),
        "i.issue_date",
        "i.currency",
        same_as_first="i.id",
    ),
    Dataset.CREDIT_NOTES: _Source(
        (
            ("id", TEXT, "c.id"),
            ("number", TEXT, "c.number"),
            ("invoice_id", TEXT, "c.invoice_id"),
            ("customer_id", TEXT, "c.customer_id"),
            ("kind", TEXT, "c.kind"),
            ("reason", TEXT, "c.reason"),
            ("currency_code", TEXT, "c.currency"),
            _amount("subtotal", "c.subtotal_minor"),
            _amount("tax", "c.tax_minor"),
            _amount("total", "c.total_minor"),
            _amount("balance", "c.balance_minor"),
            _amount("voided", "c.voided_minor"),
            ("create_time", TIME, "c.create_time"),
        ),
        "credit_note c",
        "c.tenant_id = $1",
        (("c.id", "text"),),
        "(c.create_time AT TIME ZONE 'UTC')::date",
        "c.currency",
    ),
    Dataset.JOURNAL: _Source(
        (
            ("effective_date", DATE, "p.effective_date"),
            ("invoice_id", TEXT, "p.invoice_id"),
            ("source", TEXT, "p.source"),
            ("leg", INTEGER, "p.leg"),
            ("legal_entity", TEXT, "p.legal_entity"),
            ("account", TEXT, "p.account"),
            ("currency_code", TEXT, "p.currency"),
            _amount("debit", "greatest(p.amount_minor, 0)"),
            _amount("credit", "greatest(-p.amount_minor, 0)"),
            ("recorded_time", TIME, "p.recorded_time"),
        ),
        "ledger_posting p",
        "p.tenant_id = $1",
        (("p.effective_date", "date"), ("p.invoice_id", "text"), ("p.source", "text"), ("p.leg", "integer")),
        "p.effective_date",
        "p.currency",
    ),
}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows after the key `after` (empty at the beginning) up to `last`: texts in the order of the key."""

    after: Sequence[str]
    last: Sequence[str]
    row_count: int


def columns(dataset: Dataset) -> Sequence[Column]:
    return [Column(name, kind) for name, kind, _ in _SOURCES[dataset].columns]


async def next_chunk(conn: Conn, tenant_id: str, export: Export, after: Sequence[str], size: int) -> Chunk | None:
    """None where nothing is left. Raises InvalidArgument where `after` is no key of the dataset."""
    source = _SOURCES[export.dataset]
    key = ", ".join(f"{expression} AS k{index}" for index, (expression, _) in enumerate(source.key))
    order = ", ".join(expression for expression, _ in source.key)
    backwards = ", ".join(f"c.k{index} DESC" for index in range(len(source.key)))
    texts = ", ".join(f"c.k{index}::text" for index in range(len(source.key)))
    bounds, values = _bounds(source, after, ">", 5)
    row = await conn.fetchrow(
        f"SELECT {texts}, count(*) OVER ()::integer FROM (SELECT {key} FROM {source.tables} WHERE {source.where}"  # noqa: S608
        f" AND {_days(source)} AND {bounds} ORDER BY {order} LIMIT $4) AS c ORDER BY {backwards} LIMIT 1",
        tenant_id,
        export.start,
        export.end,
        size,
        *values,
    )
    return None if row is None else Chunk(after, list(row)[:-1], row[-1])


async def rows_of(conn: Conn, tenant_id: str, export: Export, chunk: Chunk) -> bytes:
    """The chunk's rows, each a line."""
    source = _SOURCES[export.dataset]
    wanted = ", ".join(f'{_text(kind, expression)} AS "{name}"' for name, kind, expression in source.columns)
    order = ", ".join(expression for expression, _ in source.key)
    after, after_values = _bounds(source, chunk.after, ">", 6)
    last, last_values = _bounds(source, chunk.last, "<=", 6 + len(after_values))
    rows = (
        f"SELECT {wanted} FROM {source.tables}"  # noqa: S608
        f" JOIN unnest($4::text[], $5::integer[]) AS e (code, exponent) ON e.code = {source.currency}"
        f" WHERE {source.where} AND {_days(source)} AND {after} AND {last} ORDER BY {order}"
    )
    is_json = export.format is Format.JSON_LINES  # it has no control characters, so that nothing is quoted
    codes = exponents()
    query = f"SELECT row_to_json(r) FROM ({rows}) AS r" if is_json else rows  # noqa: S608
    values = (tenant_id, export.start, export.end, list(codes), list(codes.values()), *after_values, *last_values)
    delimiter, quote = ("\x02", "\x01") if is_json else (",", '"')
    rows_as_text = BytesIO()
    await conn.copy_from_query(query, *values, output=rows_as_text, format="csv", delimiter=delimiter, quote=quote)
    return rows_as_text.getvalue()


def _days(source: _Source) -> str:
    return f"{source.day} >= coalesce($2::date, '-infinity') AND {source.day} < coalesce($3::date, 'infinity')"


def _bounds(source: _Source, key: Sequence[str], compared: str, first: int) -> tuple[str, list[object]]:
    """A condition, and the values of its parameters from number `first` on."""
    if not key:
        return "true", []
    try:
        values = [_KEY_TYPES[kind](text) for text, (_, kind) in zip(key, source.key, strict=True)]
    except ValueError:
        raise InvalidArgument(
            "PAGE_TOKEN_INVALID", "resume_token is not one that an answer contained", field="resume_token"
        ) from None
    columns = ", ".join(expression for expression, _ in source.key)
    parameters = ", ".join(f"${first + index}::{kind}" for index, (_, kind) in enumerate(source.key))
    also = f" AND {source.same_as_first} {compared[0]}= ${first}" if source.same_as_first else ""
    return f"({columns}) {compared} ({parameters}){also}", values


def _text(kind: ColumnType, expression: str) -> str:
    match kind:
        case ColumnType.TIME:
            return f"""to_char({expression} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
        case ColumnType.DECIMAL:
            return f"({expression})::text"
        case ColumnType.BOOLEAN:
            return f"CASE WHEN {expression} THEN 'true' ELSE 'false' END"
    return expression
