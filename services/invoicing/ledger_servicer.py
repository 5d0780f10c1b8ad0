"""The RPCs on the ledger."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from libs.common.clock import Clock
from libs.common.idempotency import fingerprint, require_same
from libs.common.money import Money
from libs.common.paging import Page, page_in
from libs.common.postgres import Conn, Pool
from libs.common.rpc.server import caller
from libs.common.wire import currency_in, money_out, request_id_in, text_in, timestamp_in
from services.invoicing import ledger_reading, store
from services.invoicing.convert import ledger as convert
from services.invoicing.convert.times import date_out
from services.invoicing.domain.ledger.booking import DEFAULT_ENTITY
from services.invoicing.domain.ledger.closing import Closing, require_closable
from services.invoicing.domain.ledger.journal import ONE_DAY, Asked, Entry
from services.invoicing.subscribing import Context
from weir.invoicing.v1 import ledger_pb2 as pb
from weir.invoicing.v1.ledger_pb2_grpc import LedgerServiceServicer


@dataclass(frozen=True, slots=True)
class LedgerServicer(LedgerServiceServicer):
    pool: Pool
    clock: Clock

    async def GetTrialBalance(self, request: pb.GetTrialBalanceRequest, context: Context) -> pb.GetTrialBalanceResponse:
        tenant_id = caller().tenant_id
        legal_entity = text_in(request.legal_entity, "legal_entity", required=False) or None
        async with self._moment() as conn:
            if request.HasField("date"):
                day = convert.date_in(request.date, "date")
            else:
                day = (await store.clocks.get(conn, tenant_id)).now(self.clock()).astimezone(UTC).date()
            found = await ledger_reading.balances(conn, tenant_id, day, _known_time(request), legal_entity)
        return pb.GetTrialBalanceResponse(balances=map(convert.balance_out, found), date=date_out(day))

    async def GetAccountStatement(
        self, request: pb.GetAccountStatementRequest, context: Context
    ) -> pb.GetAccountStatementResponse:
        tenant_id, page = caller().tenant_id, page_in(request.page_size, request.page_token)
        currency = currency_in(request.currency_code, "currency_code")
        legal_entity = text_in(request.legal_entity, "legal_entity", required=False) or DEFAULT_ENTITY
        account = convert.account_in(request.account, "account")
        first, last = convert.days_in(request.start_date, request.end_date)
        asked = Asked(first, last, _known_time(request), legal_entity, currency, account)
        async with self._moment() as conn:
            opening = await ledger_reading.balance(conn, tenant_id, first - ONE_DAY, asked)
            closing = await ledger_reading.balance(conn, tenant_id, last, asked)
            entries, token = await _entries(conn, tenant_id, asked, page)
        return pb.GetAccountStatementResponse(
            opening_balance=money_out(Money(opening, currency)),
            entries=map(convert.entry_out, entries),
            closing_balance=money_out(Money(closing, currency)),
            next_page_token=token,
        )

    async def ListJournalEntries(
        self, request: pb.ListJournalEntriesRequest, context: Context
    ) -> pb.ListJournalEntriesResponse:
        page = page_in(request.page_size, request.page_token)
        legal_entity = text_in(request.legal_entity, "legal_entity", required=False) or None
        first, last = convert.days_in(request.start_date, request.end_date)
        asked = Asked(first, last, _known_time(request), legal_entity)
        async with self._moment() as conn:
            entries, token = await _entries(conn, caller().tenant_id, asked, page)
        return pb.ListJournalEntriesResponse(entries=map(convert.entry_out, entries), next_page_token=token)

    async def CloseLedgerPeriod(
        self, request: pb.CloseLedgerPeriodRequest, context: Context
    ) -> pb.CloseLedgerPeriodResponse:
        tenant_id = caller().tenant_id
        request_id, request_hash = request_id_in(request.request_id), fingerprint(request)
        closing = Closing(
            text_in(request.legal_entity, "legal_entity", required=False) or DEFAULT_ENTITY,
            convert.date_in(request.closed_through_date, "closed_through_date"),
            self.clock(),
        )
        async with self.pool.acquire() as conn, conn.transaction():
            closed_through = await store.ledger_closings.lock(conn, tenant_id, closing.legal_entity)
            if (made := await store.ledger_closings.made_by(conn, tenant_id, request_id)) is not None:
                closing, before = made
                require_same(before, request_hash, request.request_id)
            else:
                today = (await store.clocks.get(conn, tenant_id)).now(self.clock()).astimezone(UTC).date()
                require_closable(closing, closed_through, today)
                await store.ledger_closings.insert(conn, tenant_id, closing, request_id, request_hash)
        return pb.CloseLedgerPeriodResponse(closing=convert.closing_out(closing))

    async def ListLedgerClosings(
        self, request: pb.ListLedgerClosingsRequest, context: Context
    ) -> pb.ListLedgerClosingsResponse:
        page = page_in(request.page_size, request.page_token)
        async with self.pool.acquire() as conn:
            found = await store.ledger_closings.page(conn, caller().tenant_id, page)
        closings, token = page.cut(found, lambda each: each[0])
        return pb.ListLedgerClosingsResponse(
            closings=(convert.closing_out(each) for _, each in closings), next_page_token=token
        )

    async def ListLedgerProofs(
        self, request: pb.ListLedgerProofsRequest, context: Context
    ) -> pb.ListLedgerProofsResponse:
        page = page_in(request.page_size, request.page_token)
        async with self.pool.acquire() as conn:
            found = await store.ledger_proofs.page(conn, caller().tenant_id, page)
        proofs, token = page.cut(found, lambda each: each.day.isoformat())
        return pb.ListLedgerProofsResponse(proofs=map(convert.proof_out, proofs), next_page_token=token)

    @asynccontextmanager
    async def _moment(self) -> AsyncIterator[Conn]:
        """A connection that sees the ledger as it is at one moment."""
        async with self.pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
            yield conn


async def _entries(conn: Conn, tenant_id: str, asked: Asked, page: Page) -> tuple[Sequence[Entry], str]:
    """A page of what was booked; the last one ends with what was earned."""
    after = None if page.after is None else convert.entry_key_in(page.after)
    found = await store.ledger_journal.entries(conn, tenant_id, asked, after, page.size + 1)
    entries, token = page.cut(found, convert.entry_key)
    return (entries, token) if token else ([*entries, *await ledger_reading.earned(conn, tenant_id, asked)], "")


def _known_time(
    request: pb.GetTrialBalanceRequest | pb.GetAccountStatementRequest | pb.ListJournalEntriesRequest,
) -> datetime | None:
    if not request.HasField("known_time"):
        return None
    return timestamp_in(request.known_time, True, "known_time")
