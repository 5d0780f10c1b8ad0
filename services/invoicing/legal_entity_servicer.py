"""The RPCs of LegalEntityService."""

from libs.common.clock import Clock
from libs.common.errors import Conflict, InvalidArgument
from libs.common.idempotency import fingerprint, require_same
from libs.common.paging import page_in
from libs.common.postgres import Conn, Pool
from libs.common.rpc.server import caller
from libs.common.wire import code_in, request_id_in
from services.invoicing import convert, store
from services.invoicing.documents.press import Press
from services.invoicing.documents.sample import sample
from services.invoicing.documents.typesetting import Unprintable
from services.invoicing.domain.legal_entity import LegalEntity
from services.invoicing.issuing import found_legal_entity
from services.invoicing.peers import Peers
from services.invoicing.subscribing import Context
from weir.invoicing.v1 import legal_entities_pb2 as pb
from weir.invoicing.v1.legal_entities_pb2_grpc import LegalEntityServiceServicer


class LegalEntityServicer(LegalEntityServiceServicer):
    def __init__(self, pool: Pool, peers: Peers, press: Press, clock: Clock) -> None:
        self._pool = pool
        self._peers = peers
        self._press = press
        self._clock = clock

    async def CreateLegalEntity(
        self, request: pb.CreateLegalEntityRequest, context: Context
    ) -> pb.CreateLegalEntityResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        entity = convert.legal_entity_in(request.legal_entity, self._clock())
        await self._require_printable(entity)
        await self._require_taxes(tenant_id, entity)
        async with self._pool.acquire() as conn, conn.transaction():
            await store.legal_entities.lock_all(conn, tenant_id)
            made = await store.legal_entities.made_by(conn, tenant_id, request_id)
            if made is not None:
                require_same(made[1], request_hash, request.request_id)
            elif not await store.legal_entities.insert(conn, tenant_id, entity):
                raise Conflict(
                    "LEGAL_ENTITY_EXISTS", f"there is a legal entity {entity.code} already", code=entity.code
                )
            else:
                await _require_own_prefix(conn, tenant_id, entity)
                await store.legal_entities.insert_version(conn, tenant_id, entity, request_id, request_hash)
                if request.legal_entity.default or await store.legal_entities.default(conn, tenant_id) is None:
                    await store.legal_entities.make_default(conn, tenant_id, entity.code)
            entity = await found_legal_entity(conn, tenant_id, entity.code)
        return pb.CreateLegalEntityResponse(legal_entity=convert.legal_entity_out(entity))

    async def UpdateLegalEntity(
        self, request: pb.UpdateLegalEntityRequest, context: Context
    ) -> pb.UpdateLegalEntityResponse:
        """What is changed is tried out with no transaction open; who comes second finds it changed and tries again."""
        tenant_id, code = caller().tenant_id, code_in(request.legal_entity.code, "legal_entity.code")
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        while True:
            async with self._pool.acquire() as conn:
                old = await found_legal_entity(conn, tenant_id, code)
            new = convert.legal_entity_change_in(request.legal_entity, request.update_mask, old, self._clock())
            if new.branding != old.branding:
                await self._require_printable(new)
            if new.tax_codes != old.tax_codes:
                await self._require_taxes(tenant_id, new)
            async with self._pool.acquire() as conn, conn.transaction():
                await store.legal_entities.lock_all(conn, tenant_id)
                made = await store.legal_entities.made_by(conn, tenant_id, request_id)
                current = await found_legal_entity(conn, tenant_id, code)
                if made is not None:
                    require_same(made[1], request_hash, request.request_id)
                    return pb.UpdateLegalEntityResponse(legal_entity=convert.legal_entity_out(current))
                if current.version != old.version:
                    continue
                await _require_own_prefix(conn, tenant_id, new)
                await store.legal_entities.insert_version(conn, tenant_id, new, request_id, request_hash)
                if "default" in request.update_mask.paths:
                    await store.legal_entities.make_default(conn, tenant_id, code)
                current = await found_legal_entity(conn, tenant_id, code)
            return pb.UpdateLegalEntityResponse(legal_entity=convert.legal_entity_out(current))

    async def GetLegalEntity(self, request: pb.GetLegalEntityRequest, context: Context) -> pb.GetLegalEntityResponse:
        code = code_in(request.code, "code")
        async with self._pool.acquire() as conn:
            entity = await found_legal_entity(conn, caller().tenant_id, code)
        return pb.GetLegalEntityResponse(legal_entity=convert.legal_entity_out(entity))

    async def ListLegalEntities(
        self, request: pb.ListLegalEntitiesRequest, context: Context
    ) -> pb.ListLegalEntitiesResponse:
        page = page_in(request.page_size, request.page_token)
        async with self._pool.acquire() as conn:
            found = await store.legal_entities.page(conn, caller().tenant_id, page)
        entities, token = page.cut(found, lambda each: each.code)
        return pb.ListLegalEntitiesResponse(
            legal_entities=[convert.legal_entity_out(each, whole=False) for each in entities], next_page_token=token
        )

    async def _require_taxes(self, tenant_id: str, entity: LegalEntity) -> None:
        """Raises NotFound TAX_NOT_FOUND."""
        if entity.tax_codes:
            await self._peers.pricing.taxes(tenant_id, entity.tax_codes)

    async def _require_printable(self, entity: LegalEntity) -> None:
        """Raises InvalidArgument TEMPLATE_INVALID."""
        if not entity.branding.template and not entity.branding.logo:
            return
        try:
            await self._press.pdf(sample(entity))
        except Unprintable as error:
            raise InvalidArgument(
                "TEMPLATE_INVALID", f"no document can be made: {error}", field="legal_entity.branding"
            ) from None


async def _require_own_prefix(conn: Conn, tenant_id: str, entity: LegalEntity) -> None:
    """Nobody else makes or changes any now. Raises Conflict NUMBER_PREFIX_TAKEN."""
    prefix = entity.number_prefix
    if prefix and (other := await store.legal_entities.other_with_prefix(conn, tenant_id, entity.code, prefix)):
        raise Conflict(
            "NUMBER_PREFIX_TAKEN",
            f"invoices of legal entity {other} are or were numbered {prefix}",
            field="legal_entity.number_prefix",
        )
