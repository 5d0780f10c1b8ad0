"""Every SQL statement of invoicing. Functions take a Conn; the caller owns the transaction."""

from libs.common.postgres import Conn
from services.invoicing.store import clocks, customers, invoices, runs, subscriptions

__all__ = ["check", "clocks", "customers", "invoices", "runs", "subscriptions"]


async def check(conn: Conn) -> None:
    """Raises when the database does not answer, or has not been migrated."""
    await conn.execute("SELECT FROM billing_clock LIMIT 1")
