"""payment_page."""

# ruff: noqa: S608 what is interpolated is the list of columns below

from uuid import UUID

from libs.common.postgres import Conn
from services.payments.domain.page import PaymentPage

_COLUMNS = (
    "tenant_id, id, payment_id, attempt_number, processor_account_id, return_url, reference, url, expire_time,"
    " create_time"
)


async def insert(conn: Conn, page: PaymentPage, request_id: UUID, request_hash: bytes) -> None:
    """Of a locked payment; its attempt is there."""
    await conn.execute(
        """
        INSERT INTO payment_page (tenant_id, id, payment_id, attempt_number, processor_account_id, return_url,
                                  expire_time, create_time, request_id, request_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        page.tenant_id, page.id, page.payment_id, page.attempt_number, page.processor_account_id, page.return_url,
        page.expire_time, page.create_time, request_id, request_hash,
    )  # fmt: skip


async def find_request(conn: Conn, tenant_id: str, request_id: UUID) -> tuple[PaymentPage, bytes] | None:
    """The page that the request made, and the request's hash."""
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS}, request_hash FROM payment_page WHERE tenant_id = $1 AND request_id = $2",
        tenant_id,
        request_id,
    )
    return None if row is None else (PaymentPage(*row[:-1]), row["request_hash"])


async def find(conn: Conn, tenant_id: str, page_id: str) -> PaymentPage | None:
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM payment_page WHERE tenant_id = $1 AND id = $2", tenant_id, page_id
    )
    return None if row is None else PaymentPage(*row)


async def find_of_attempt(conn: Conn, tenant_id: str, payment_id: str, number: int) -> PaymentPage:
    """For attempts without a method."""
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM payment_page WHERE tenant_id = $1 AND payment_id = $2 AND attempt_number = $3",
        tenant_id,
        payment_id,
        number,
    )
    assert row is not None, "an attempt without a method is made with its page"
    return PaymentPage(*row)


async def set_answer(conn: Conn, page: PaymentPage, reference: str, url: str) -> None:
    await conn.execute(
        "UPDATE payment_page SET reference = $3, url = $4 WHERE tenant_id = $1 AND id = $2 AND reference = ''",
        page.tenant_id,
        page.id,
        reference,
        url,
    )
