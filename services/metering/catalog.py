"""What ingestion must know of each tenant, kept in memory; nothing is recorded by what is stale."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from libs.common.postgres import Conn
from services.metering import store
from services.metering.domain.events import EventColumns, Reading
from services.metering.domain.meters import TenantCatalog
from services.metering.domain.watching import watches

MAX_NUMBERS = 200_000
"""Series whose numbers are kept in memory, some 30 MB; beyond, all are forgotten and read again."""


class CatalogChangedError(Exception):
    """A tenant has made a meter, or moved its clock, since its catalog was read."""


class Catalog:
    """One statement for all the tenants of a write tells which of them have made meters, or moved their clocks,
    since, on whatever server.
    """

    def __init__(self) -> None:
        self._tenants: dict[str, TenantCatalog] = {}
        self._numbers = 0

    def known(self, tenant_ids: Collection[str]) -> Mapping[str, TenantCatalog] | None:
        """As they were last read; None unless all have been."""
        found = {tenant_id: self._tenants[tenant_id] for tenant_id in tenant_ids if tenant_id in self._tenants}
        return found if len(found) == len(tenant_ids) else None

    async def current(self, conn: Conn, tenant_ids: Collection[str]) -> Mapping[str, TenantCatalog]:
        """With every meter that had been made when this was called, and the clocks as they stood."""
        found = {tenant_id: TenantCatalog(tenant_id, 0, 0, {}) for tenant_id in tenant_ids}
        for tenant_id, tenant_no, version, test_now in await store.catalog_versions(conn, tenant_ids):
            known = self._tenants.get(tenant_id)
            if known is None or known.version < version:
                meters = await store.list_meters(conn, tenant_id, None)
                before = known.watches if known else {}
                known = TenantCatalog(tenant_id, tenant_no, version, watches(meters, before), test_now)
                self._tenants[tenant_id] = known
            elif known.test_now != test_now:
                self._tenants[tenant_id] = known = replace(known, test_now=test_now)
            found[tenant_id] = known
        return found

    async def number(
        self, conn: Conn, readings: Iterable[tuple[TenantCatalog, Reading]], columns: EventColumns
    ) -> None:
        """Fill in the numbers of series that `readings` found to have none in memory."""
        rows = {
            row: (catalog, (catalog.tenant_id, subscription_id, code))
            for catalog, reading in readings
            for row, subscription_id, code in reading.unnumbered
        }
        if not rows:
            return
        numbers = await store.number_series(conn, {name for _, name in rows.values()})
        if self._numbers + len(numbers) > MAX_NUMBERS:
            self._forget_numbers()
        self._numbers += len(numbers)
        for row, (catalog, name) in rows.items():
            columns.series_nos[row] = numbers[name]
            catalog.watches[name[2]].series[name[1]] = numbers[name]

    def _forget_numbers(self) -> None:
        for catalog in self._tenants.values():
            for watch in catalog.watches.values():
                watch.series.clear()
        self._numbers = 0
