"""Whether our records and a processor's say the same: charges, refunds, and what its payouts are made of."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from libs.common.money import exponent


class EntryKind(StrEnum):
    CHARGE = "CHARGE"
    REFUND = "REFUND"


class EntryState(StrEnum):
    OPEN = "OPEN"
    """It may still become either."""
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Entry:
    """A charge or a refund in somebody's books. `reference` is the processor's id, `name` ours: "pay_…/1" or "re_…",
    empty where the processor's record names none of ours. `amount` is in major units and positive. Of ours that are
    `disputed`, some processors go on to say that they have succeeded, and others that they have failed.
    """

    kind: EntryKind
    reference: str
    name: str
    amount: Decimal
    currency: str
    state: EntryState
    disputed: bool = False


class ItemKind(StrEnum):
    CHARGE = "CHARGE"
    REFUND = "REFUND"
    DISPUTE = "DISPUTE"
    """Money of a charge that was taken back, or came back; the reference is the charge."""
    FEE = "FEE"
    """Of no charge."""
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Item:
    """A part of a payout, in major units of its currency: `gross` is what was moved, negative where it was taken; of
    it `fee` was kept and `net` is in the payout. `reference` is the processor's id of the charge or refund.
    """

    kind: ItemKind
    reference: str
    gross: Decimal
    fee: Decimal
    net: Decimal


@dataclass(frozen=True, slots=True)
class Payout:
    """What the processor has sent to the bank, in major units of `currency`."""

    reference: str
    amount: Decimal
    currency: str
    items: Sequence[Item]


class DifferenceKind(StrEnum):
    """How our records and a processor's differ, each with its likely `CAUSES`."""

    MISSING_AT_PROCESSOR = "MISSING_AT_PROCESSOR"
    MISSING_HERE = "MISSING_HERE"
    UNKNOWN_CHARGE = "UNKNOWN_CHARGE"
    CHARGED_TWICE = "CHARGED_TWICE"
    AMOUNT_DIFFERS = "AMOUNT_DIFFERS"
    CURRENCY_DIFFERS = "CURRENCY_DIFFERS"
    STATE_DIFFERS = "STATE_DIFFERS"
    REFUND_MISSING_AT_PROCESSOR = "REFUND_MISSING_AT_PROCESSOR"
    REFUND_MISSING_HERE = "REFUND_MISSING_HERE"
    UNKNOWN_REFUND = "UNKNOWN_REFUND"
    PAYOUT_WITHOUT_CHARGES = "PAYOUT_WITHOUT_CHARGES"
    PAYOUT_SUM_DIFFERS = "PAYOUT_SUM_DIFFERS"
    PAID_OUT_UNKNOWN = "PAID_OUT_UNKNOWN"
    PAID_OUT_TWICE = "PAID_OUT_TWICE"
    PAID_OUT_AMOUNT_DIFFERS = "PAID_OUT_AMOUNT_DIFFERS"
    PAID_OUT_UNCOLLECTED = "PAID_OUT_UNCOLLECTED"
    NOT_PAID_OUT = "NOT_PAID_OUT"
    FEE_DIFFERS = "FEE_DIFFERS"
    DISPUTE_MISSING_HERE = "DISPUTE_MISSING_HERE"


CAUSES: Mapping[DifferenceKind, str] = {
    DifferenceKind.MISSING_AT_PROCESSOR: (
        "The credentials are of another account than the one that was charged, or our record was changed by hand."
    ),
    DifferenceKind.MISSING_HERE: (
        "Our database was restored to a time before the charge, or another deployment uses the same account."
    ),
    DifferenceKind.UNKNOWN_CHARGE: "It was made on the processor's site or by another system.",
    DifferenceKind.CHARGED_TWICE: "The same attempt was charged under two idempotency keys; give one back.",
    DifferenceKind.AMOUNT_DIFFERS: "The charge was captured in part, or changed on the processor's site.",
    DifferenceKind.CURRENCY_DIFFERS: "The processor converted the charge, or it was changed on its site.",
    DifferenceKind.STATE_DIFFERS: "A webhook was lost or is parked; it is fetched with the next poll.",
    DifferenceKind.REFUND_MISSING_AT_PROCESSOR: (
        "The credentials are of another account than the one that was refunded, or our record was changed by hand."
    ),
    DifferenceKind.REFUND_MISSING_HERE: (
        "Our database was restored to a time before the refund, or another deployment uses the same account."
    ),
    DifferenceKind.UNKNOWN_REFUND: "It was made on the processor's site; credit the invoice if it is to stay.",
    DifferenceKind.PAYOUT_WITHOUT_CHARGES: "It is not itemized yet, or an advance or a correction.",
    DifferenceKind.PAYOUT_SUM_DIFFERS: "The processor has not itemized all of it yet, or it rounds fees in a sum.",
    DifferenceKind.PAID_OUT_UNKNOWN: "It was charged or refunded on the processor's site or by another system.",
    DifferenceKind.PAID_OUT_TWICE: "A payout bounced and was made again, or the processor has made a mistake.",
    DifferenceKind.PAID_OUT_AMOUNT_DIFFERS: "The processor converted the currency, or captured a part.",
    DifferenceKind.PAID_OUT_UNCOLLECTED: "The webhook that it has succeeded was lost or is parked.",
    DifferenceKind.NOT_PAID_OUT: "It is held back: a reserve, a review of the account, or a payout that failed.",
    DifferenceKind.FEE_DIFFERS: "The processor keeps a fee that it does not name, such as for conversion or tax.",
    DifferenceKind.DISPUTE_MISSING_HERE: "The webhook about the dispute was lost, or is of a type not subscribed to.",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """`reference` is the processor's id, `name` ours; `here` and `there` are what each side says, for people."""

    kind: DifferenceKind
    reference: str
    name: str
    here: str
    there: str

    @property
    def cause(self) -> str:
        return CAUSES[self.kind]


class ReconciliationState(StrEnum):
    PENDING = "PENDING"
    DONE = "DONE"


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Of one UTC day of one account, as last looked at. Counts are of the processor's records."""

    tenant_id: str
    processor_account_id: str
    day: date
    state: ReconciliationState
    charge_count: int
    refund_count: int
    payout_count: int
    difference_count: int
    end_time: datetime | None
    tries: int
    error: str


_MISSING_THERE = {
    EntryKind.CHARGE: DifferenceKind.MISSING_AT_PROCESSOR,
    EntryKind.REFUND: DifferenceKind.REFUND_MISSING_AT_PROCESSOR,
}
_MISSING_HERE = {
    EntryKind.CHARGE: DifferenceKind.MISSING_HERE,
    EntryKind.REFUND: DifferenceKind.REFUND_MISSING_HERE,
}
_UNKNOWN = {EntryKind.CHARGE: DifferenceKind.UNKNOWN_CHARGE, EntryKind.REFUND: DifferenceKind.UNKNOWN_REFUND}


def compare(ours: Iterable[Entry], theirs: Iterable[Entry]) -> list[Difference]:
    """Both sides whole: what one has and the other lacks is a difference, unless it has failed and moved no money."""
    here = {(entry.kind, entry.reference): entry for entry in ours}
    there = list(theirs)
    known = {(entry.kind, entry.reference) for entry in there}
    found = [
        _difference(_MISSING_THERE[entry.kind], entry, _told(entry), "nothing")
        for key, entry in here.items()
        if key not in known and entry.state is not EntryState.FAILED
    ]
    for entry in there:
        mine = here.get((entry.kind, entry.reference))
        if mine is not None:
            found += _unlike(mine, entry)
        elif entry.state is not EntryState.FAILED:
            kind = _MISSING_HERE[entry.kind] if entry.name else _UNKNOWN[entry.kind]
            found.append(_difference(kind, entry, "nothing", _told(entry)))
    return found + _twice(there)


def _unlike(mine: Entry, theirs: Entry) -> list[Difference]:
    found = []
    if mine.currency != theirs.currency:
        found.append(_difference(DifferenceKind.CURRENCY_DIFFERS, mine, _told(mine), _told(theirs)))
    elif mine.amount != theirs.amount:
        found.append(_difference(DifferenceKind.AMOUNT_DIFFERS, mine, _told(mine), _told(theirs)))
    if mine.state is not theirs.state and not mine.disputed:
        found.append(_difference(DifferenceKind.STATE_DIFFERS, mine, _told(mine), _told(theirs)))
    return found


def _twice(theirs: Sequence[Entry]) -> list[Difference]:
    """Charges that succeeded for an attempt that another one has succeeded for."""
    collected = [each for each in theirs if each.kind is EntryKind.CHARGE and each.state is EntryState.SUCCEEDED]
    counts = Counter(each.name for each in collected if each.name)
    return [
        _difference(DifferenceKind.CHARGED_TWICE, each, "one attempt", f"{counts[each.name]} charges")
        for each in collected
        if counts[each.name] > 1
    ]


def compare_payout(
    payout: Payout, ours: Mapping[tuple[EntryKind, str], Entry], disputed: Collection[str], before: Collection[Item]
) -> list[Difference]:
    """Against our records of what is in it; `disputed` are charges that we know were taken back, `before` the items of
    earlier payouts.
    """
    if not payout.items:
        there = f"{payout.amount} {payout.currency}"
        return [Difference(DifferenceKind.PAYOUT_WITHOUT_CHARGES, payout.reference, "", "nothing", there)]
    found = []
    total = sum((item.net for item in payout.items), Decimal(0))
    if abs(total - payout.amount) >= Decimal(1).scaleb(-exponent(payout.currency)):  # fees may have fractions of a cent
        parts, whole = f"its parts are {total}", f"{payout.amount} {payout.currency}"
        found.append(Difference(DifferenceKind.PAYOUT_SUM_DIFFERS, payout.reference, "", parts, whole))
    seen = {(item.kind, item.reference) for item in before}
    for item in payout.items:
        found += _item_differences(item, payout, ours, disputed, (item.kind, item.reference) in seen)
        if item.kind in _ENTRIES:
            seen.add((item.kind, item.reference))
    return found


_ENTRIES = {ItemKind.CHARGE: EntryKind.CHARGE, ItemKind.REFUND: EntryKind.REFUND}


def _item_differences(
    item: Item,
    payout: Payout,
    ours: Mapping[tuple[EntryKind, str], Entry],
    disputed: Collection[str],
    is_repeated: bool,
) -> list[Difference]:
    def differ(kind: DifferenceKind, name: str, here: str, there: str) -> Difference:
        return Difference(kind, item.reference or payout.reference, name, here, there)

    found = []
    there = f"{item.gross} {payout.currency} in {payout.reference}"
    if item.gross - item.fee != item.net:
        named, kept = f"a fee of {item.fee}", f"{item.gross - item.net} {payout.currency} kept"
        found.append(differ(DifferenceKind.FEE_DIFFERS, "", named, kept))
    if item.kind is ItemKind.DISPUTE and item.reference not in disputed:
        found.append(differ(DifferenceKind.DISPUTE_MISSING_HERE, "", "nothing", there))
    if item.kind not in _ENTRIES:
        return found
    entry = ours.get((_ENTRIES[item.kind], item.reference))
    if entry is None:
        return [*found, differ(DifferenceKind.PAID_OUT_UNKNOWN, "", "nothing", there)]
    if is_repeated:
        found.append(differ(DifferenceKind.PAID_OUT_TWICE, entry.name, "once", there))
    if entry.state is not EntryState.SUCCEEDED:
        found.append(differ(DifferenceKind.PAID_OUT_UNCOLLECTED, entry.name, _told(entry), there))
    if (abs(item.gross), payout.currency) != (entry.amount, entry.currency):
        found.append(differ(DifferenceKind.PAID_OUT_AMOUNT_DIFFERS, entry.name, _told(entry), there))
    return found


def not_paid_out(entry: Entry) -> Difference:
    return _difference(DifferenceKind.NOT_PAID_OUT, entry, _told(entry), "in no payout")


def _difference(kind: DifferenceKind, entry: Entry, here: str, there: str) -> Difference:
    return Difference(kind, entry.reference, entry.name, here, there)


def _told(entry: Entry) -> str:
    return f"{entry.amount} {entry.currency} {entry.state.lower()}"
