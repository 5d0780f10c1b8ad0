"""The ledger."""

import json
from datetime import date

from google.type import date_pb2

from libs.common.errors import InvalidArgument
from libs.common.money import Money
from libs.common.wire import money_out, timestamp_out
from services.invoicing.convert.times import date_out
from services.invoicing.domain.ledger.account import Account
from services.invoicing.domain.ledger.closing import Closing
from services.invoicing.domain.ledger.journal import Entry
from services.invoicing.domain.ledger.proof import DailyProof, Difference
from services.invoicing.domain.ledger.trial_balance import Balance
from weir.invoicing.v1 import ledger_pb2 as pb


def date_in(value: date_pb2.Date, field: str) -> date:
    """Raises InvalidArgument DATE_MALFORMED."""
    try:
        found = date(value.year, value.month, value.day)
    except ValueError:
        found = date.min
    if not 2000 <= found.year < 2200:
        raise InvalidArgument(
            "DATE_MALFORMED",
            f"{field} is {value.year}-{value.month}-{value.day}, no day from 2000 until 2200",
            field=field,
        )
    return found


def days_in(start: date_pb2.Date, end: date_pb2.Date) -> tuple[date, date]:
    """Raises InvalidArgument DATE_MALFORMED and PERIOD_EMPTY."""
    first, last = date_in(start, "start_date"), date_in(end, "end_date")
    if last < first:
        raise InvalidArgument("PERIOD_EMPTY", f"end_date is {last}, before {first}", field="end_date")
    return first, last


def account_in(value: pb.LedgerAccount.ValueType, field: str) -> Account:
    """Raises InvalidArgument ENUM_VALUE_UNKNOWN."""
    if value == pb.LEDGER_ACCOUNT_UNSPECIFIED or value not in pb.LedgerAccount.values():
        raise InvalidArgument("ENUM_VALUE_UNKNOWN", f"{field} names no account", field=field)
    return Account[pb.LedgerAccount.Name(value).removeprefix("LEDGER_ACCOUNT_")]


def account_out(account: Account) -> pb.LedgerAccount.ValueType:
    return pb.LedgerAccount.Value(f"LEDGER_ACCOUNT_{account.name}")


def balance_out(balance: Balance) -> pb.AccountBalance:
    return pb.AccountBalance(
        legal_entity=balance.legal_entity,
        account=account_out(balance.account),
        balance=money_out(Money(balance.amount, balance.currency)),
    )


def entry_out(entry: Entry) -> pb.JournalEntry:
    return pb.JournalEntry(
        date=date_out(entry.day),
        record_time=timestamp_out(entry.recorded_time) if entry.recorded_time else None,
        legal_entity=entry.legal_entity,
        account=account_out(entry.account),
        amount=money_out(Money(entry.amount, entry.currency)),
        invoice_id=entry.invoice_id,
        invoice_number=entry.invoice_number,
        customer_id=entry.customer_id,
        source=entry.source,
    )


def entry_key_in(token: str) -> tuple[date, str, str, int]:
    """The key of `entry_key`. Raises InvalidArgument PAGE_TOKEN_INVALID."""
    try:
        match json.loads(token):
            case [str(day), str(invoice_id), str(source), int(leg)] if 0 <= leg < 2**15:
                return date.fromisoformat(day), invoice_id, source, leg
    except ValueError:
        pass
    raise InvalidArgument("PAGE_TOKEN_INVALID", "page_token is not one that an answer contained", field="page_token")


def entry_key(entry: Entry) -> str:
    return json.dumps([entry.day.isoformat(), entry.invoice_id, entry.source, entry.leg])


def closing_out(closing: Closing) -> pb.LedgerClosing:
    return pb.LedgerClosing(
        legal_entity=closing.legal_entity,
        closed_through_date=date_out(closing.closed_through),
        create_time=timestamp_out(closing.create_time),
    )


def proof_out(proof: DailyProof) -> pb.LedgerProof:
    return pb.LedgerProof(
        day=date_out(proof.day),
        create_time=timestamp_out(proof.create_time),
        complete_time=timestamp_out(proof.complete_time) if proof.complete_time else None,
        difference_count=proof.difference_count,
        differences=map(_difference_out, proof.differences),
    )


def _difference_out(difference: Difference) -> pb.LedgerDifference:
    return pb.LedgerDifference(
        invoice_id=difference.invoice_id,
        account=difference.account,
        documents_amount=money_out(Money(difference.documents, difference.currency)),
        ledger_amount=money_out(Money(difference.ledger, difference.currency)),
    )
