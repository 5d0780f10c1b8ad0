"""Every statement of the catalog. Functions take a connection; the caller owns the transaction."""

from libs.common.postgres import Conn
from services.pricing.store.plans import (
    find_plan,
    find_version,
    insert_next_version,
    insert_plan,
    known_plan_codes,
    list_plans,
    list_versions,
    plan_exists,
    update_plan,
)
from services.pricing.store.recorded import Recorded, find_request, repeated
from services.pricing.store.states import move_version
from services.pricing.store.taxes import (
    default_tax_codes,
    find_tax,
    find_taxes,
    insert_tax,
    known_tax_codes,
    list_taxes,
    update_tax,
)

__all__ = [
    "Recorded",
    "check",
    "default_tax_codes",
    "find_plan",
    "find_request",
    "find_tax",
    "find_taxes",
    "find_version",
    "insert_next_version",
    "insert_plan",
    "insert_tax",
    "known_plan_codes",
    "known_tax_codes",
    "list_plans",
    "list_taxes",
    "list_versions",
    "move_version",
    "plan_exists",
    "repeated",
    "update_plan",
    "update_tax",
]


async def check(conn: Conn) -> None:
    """Raises unless the schema is there and can be read."""
    await conn.execute("SELECT FROM plan_version LIMIT 1")
