"""Reads what the services have and applies a catalog's changes to them.

Request ids are derived from what is asked, so an `apply` that ended half way is simply repeated.
"""

import asyncio
import uuid
from collections.abc import Sequence

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from cli.catalog.difference import Change, Existing, by_code
from cli.catalog.reader import Catalog, PlanSource
from cli.connection import Connection, pages
from weir.metering.v1 import metering_pb2
from weir.pricing.v1 import pricing_pb2

_NAMESPACE = uuid.UUID("6f7a3c1e-0d5b-5a43-9a57-6d1f2b8c4e90")


async def read_existing(services: Connection) -> Existing:
    """Every meter, tax and plan of the tenant."""
    metering, pricing = services.metering, services.pricing
    meters, taxes, plans = await asyncio.gather(
        pages(lambda token: metering.ListMeters(metering_pb2.ListMetersRequest(page_token=token)), "meters"),
        pages(lambda token: pricing.ListTaxes(pricing_pb2.ListTaxesRequest(page_token=token)), "taxes"),
        pages(lambda token: pricing.ListPlans(pricing_pb2.ListPlansRequest(page_token=token)), "plans"),
    )
    return Existing(by_code(meters), by_code(taxes), by_code(plans))


async def apply_changes(services: Connection, catalog: Catalog, found: Sequence[Change]) -> None:
    """Apply what `changes` found, in its order: meters and taxes before the plans that name them."""
    meters, taxes, plans = by_code(catalog.meters), by_code(catalog.taxes), by_code(catalog.plans)
    for change in found:
        if change.action == "unchanged":
            continue
        match change.kind:
            case "meter":
                await _apply_meter(services, change, meters[change.code])
            case "tax":
                await _apply_tax(services, change, taxes[change.code])
            case "plan":
                await _apply_plan(services, change, plans[change.code])


async def _apply_meter(services: Connection, change: Change, meter: metering_pb2.Meter) -> None:
    if change.action == "create":
        create = metering_pb2.CreateMeterRequest(request_id=_request_id("meter", meter), meter=meter)
        await services.metering.CreateMeter(create)
    else:
        update = metering_pb2.UpdateMeterRequest(meter=meter, update_mask=_mask(change))
        await services.metering.UpdateMeter(update)


async def _apply_tax(services: Connection, change: Change, tax: pricing_pb2.Tax) -> None:
    if change.action == "create":
        create = pricing_pb2.CreateTaxRequest(request_id=_request_id("tax", tax), tax=tax)
        await services.pricing.CreateTax(create)
    else:
        await services.pricing.UpdateTax(pricing_pb2.UpdateTaxRequest(tax=tax, update_mask=_mask(change)))


async def _apply_plan(services: Connection, change: Change, source: PlanSource) -> None:
    if change.action == "create":
        request_id = _request_id("plan", source.plan, source.version)
        create = pricing_pb2.CreatePlanRequest(request_id=request_id, plan=source.plan, version=source.version)
        await services.pricing.CreatePlan(create)
    else:
        base_version = change.version - 1
        request_id = _request_id(f"plan_version:{source.code}:{base_version}", source.version)
        await services.pricing.CreatePlanVersion(
            pricing_pb2.CreatePlanVersionRequest(
                request_id=request_id, plan_code=source.code, base_version=base_version, version=source.version
            )
        )


def _mask(change: Change) -> FieldMask:
    return FieldMask(paths=[each.field for each in change.fields])


def _request_id(kind: str, *contents: Message) -> str:
    text = kind + ":" + ":".join(each.SerializeToString(deterministic=True).hex() for each in contents)
    return str(uuid.uuid5(_NAMESPACE, text))
