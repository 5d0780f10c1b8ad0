"""TaxService."""

from typing import Any, TypeAlias

import grpc

from libs.common.postgres import Pool
from libs.common.rpc.server import caller
from libs.common.wire import code_in
from services.pricing import convert, store
from services.pricing.convert.described import batch_codes_in
from services.pricing.convert.taxed import add_on_code_in, own_taxes, taxable_in
from services.pricing.domain.tax import applicable_taxes
from services.pricing.referenced import missing, missing_taxes, named_in, require_none, tax_not_found
from services.pricing.store.add_ons import ADD_ONS
from services.pricing.versions import require_version
from weir.pricing.v1 import taxes_pb2
from weir.pricing.v1.taxes_pb2_grpc import TaxServiceServicer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class TaxServicer(TaxServiceServicer):
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def QueryApplicableTaxes(
        self, request: taxes_pb2.QueryApplicableTaxesRequest, context: Context
    ) -> taxes_pb2.QueryApplicableTaxesResponse:
        tenant_id, version = caller().tenant_id, None
        customer, told = taxable_in(request)
        add_on_codes = [add_on_code_in(line, f"lines[{index}]") for index, line in enumerate(request.lines)]
        async with self._pool.acquire() as conn:
            if request.plan_code:
                number = convert.version_number_in(request.version, "version")
                plan_code = code_in(request.plan_code, "plan_code")
                version, _ = await require_version(conn, tenant_id, plan_code, number)
            add_ons = await ADD_ONS.find(conn, tenant_id, set(filter(None, add_on_codes)))
            defaults = await store.default_tax_codes(conn, tenant_id)
            named = named_in(customer, "customer_tax_codes")
            for index, codes in enumerate(told):
                named |= named_in(codes, f"lines[{index}].tax_codes")
            taxes = await missing_taxes(conn, tenant_id, named)
        named = {f"lines[{index}].add_on_code": code for index, code in enumerate(add_on_codes) if code}
        require_none([*taxes, *missing(ADD_ONS, named, add_ons)])
        plan = version.tax_codes if version else ()
        lines = []
        for index, (line, explicit, add_on_code) in enumerate(zip(request.lines, told, add_on_codes, strict=True)):
            own = add_ons[add_on_code].tax_codes if add_on_code else own_taxes(line, version, f"lines[{index}]")
            codes = applicable_taxes(explicit, own, plan, customer, defaults)
            lines.append(taxes_pb2.ApplicableTaxes(tax_codes=codes))
        return taxes_pb2.QueryApplicableTaxesResponse(lines=lines)

    async def BatchGetTaxes(
        self, request: taxes_pb2.BatchGetTaxesRequest, context: Context
    ) -> taxes_pb2.BatchGetTaxesResponse:
        codes = batch_codes_in(request.codes, required=False)
        async with self._pool.acquire() as conn:
            taxes = await store.find_taxes(conn, caller().tenant_id, set(codes))
        named = named_in(codes, "codes")
        require_none([tax_not_found(code, path) for path, code in named.items() if code not in taxes])
        return taxes_pb2.BatchGetTaxesResponse(
            taxes=[convert.tax_out(taxes[code]) for code in codes],
            default_taxes=[convert.tax_out(tax) for tax in taxes.values() if tax.tenant_default],
        )
