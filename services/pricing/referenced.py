"""What one object of the catalog may name of another: it has to be there. The caller owns the transaction.

Nothing is ever deleted from the catalog, so what is there once stays there.
"""

from collections.abc import Sequence

from libs.common.errors import NotFound
from libs.common.postgres import Conn
from services.pricing import store


async def require_taxes(conn: Conn, tenant_id: str, codes: Sequence[str], field: str) -> None:
    """Raises NotFound TAX_NOT_FOUND naming the first that is not there, as a position in `field`."""
    known = await store.known_tax_codes(conn, tenant_id, codes)
    for index, code in enumerate(codes):
        if code not in known:
            raise tax_not_found(code, f"{field}[{index}]")


async def require_plans(conn: Conn, tenant_id: str, codes: Sequence[str], field: str) -> None:
    """Raises NotFound PLAN_NOT_FOUND naming the first that is not there, as a position in `field`."""
    known = await store.known_plan_codes(conn, tenant_id, codes)
    for index, code in enumerate(codes):
        if code not in known:
            raise NotFound("PLAN_NOT_FOUND", f"there is no plan {code}", plan_code=code, field=f"{field}[{index}]")


def tax_not_found(code: str, field: str) -> NotFound:
    return NotFound("TAX_NOT_FOUND", f"there is no tax {code}", tax_code=code, field=field)
