"""Who bills."""

from libs.common.errors import InvalidArgument, NotFound
from libs.common.postgres import Conn
from services.invoicing import store
from services.invoicing.domain.customer import Customer
from services.invoicing.domain.legal_entity import LegalEntity


async def require_legal_entity(conn: Conn, tenant_id: str, customer: Customer) -> None:
    """Raises InvalidArgument LEGAL_ENTITY_UNKNOWN when the customer names one that there is not."""
    code = customer.legal_entity_code
    if code and await store.legal_entities.get(conn, tenant_id, code) is None:
        raise InvalidArgument(
            "LEGAL_ENTITY_UNKNOWN", f"there is no legal entity {code}", field="customer.legal_entity_code"
        )


async def found_legal_entity(conn: Conn, tenant_id: str, code: str) -> LegalEntity:
    """Raises NotFound LEGAL_ENTITY_NOT_FOUND."""
    if (entity := await store.legal_entities.get(conn, tenant_id, code)) is None:
        raise NotFound("LEGAL_ENTITY_NOT_FOUND", f"there is no legal entity {code}", code=code)
    return entity
