"""Compares a catalog with what the services have, and applies the changes.

Nothing is changed before the services have said that they would take every element. Request ids are derived from what
is asked, so an `apply` that ended half way is simply repeated.
"""

import asyncio
import uuid
from collections.abc import Sequence
from typing import TypeGuard

from google.protobuf.message import Message

from cli.catalog.difference import Change, Existing, Messages, changes, require_known_names
from cli.catalog.kinds import KINDS, PLAN
from cli.catalog.nodes import CatalogError, Problem
from cli.catalog.reader import Catalog, Element
from cli.catalog.services import SIDES
from cli.connection import Connection
from libs.common.errors import BillingError
from weir.pricing.v1.pricing_pb2 import PlanVersion

_NAMESPACE = uuid.UUID("6f7a3c1e-0d5b-5a43-9a57-6d1f2b8c4e90")


async def read_existing(services: Connection) -> Existing:
    """Everything of the tenant's catalog."""
    found = await asyncio.gather(*(SIDES[kind].existing(services) for kind in KINDS))
    return dict(zip(KINDS, found, strict=True))


async def find_changes(services: Connection, catalog: Catalog) -> list[Change]:
    """One for each element, in their order. Raises CatalogError with everything that is wrong with them."""
    existing = await read_existing(services)
    require_known_names(catalog, existing)
    normal: list[Messages] = []
    problems: list[Problem] = []
    planned = {
        element.code: version for element in catalog.of(PLAN) for version in element.messages if _is_version(version)
    }
    for element in catalog.elements:
        try:
            normal.append(await SIDES[element.kind].checked(services, element.messages, planned))
        except BillingError as error:
            problems += _problems(catalog, element, error)
    if problems:
        raise CatalogError(catalog.file, *problems)
    return changes(catalog, normal, existing)


async def apply_changes(services: Connection, catalog: Catalog, found: Sequence[Change]) -> None:
    """Apply what `find_changes` found."""
    for element, change in zip(catalog.elements, found, strict=True):
        if change.action != "unchanged":
            request_id = _request_id(f"{change.kind}:{change.code}:{change.action}:{change.version}", element.messages)
            await SIDES[element.kind].apply(services, change, element.messages, request_id)


def _is_version(message: Message) -> TypeGuard[PlanVersion]:
    return isinstance(message, PlanVersion)


def _problems(catalog: Catalog, element: Element, error: BillingError) -> list[Problem]:
    """Most fields of a request begin with the name of the message, which a file does not have."""
    if not error.violations:
        return [catalog.problem(element.path, error.message)]
    places = [(each.field.partition(".")[2] or each.field, each.message) for each in error.violations]
    return [catalog.problem(f"{element.path}.{place}" if place else element.path, text) for place, text in places]


def _request_id(kind: str, contents: Messages) -> str:
    text = kind + ":" + ":".join(each.SerializeToString(deterministic=True).hex() for each in contents)
    return str(uuid.uuid5(_NAMESPACE, text))
