"""What a card's network, or the processor, advises with a decline. That it must not be tried again, or needs the
customer, counts more than the decline's own code; that it may be tried later does not soften one.

Mastercard's merchant advice codes ("mac_03"), Stripe's words, and the network's own decline code ("raw_R1") where Visa
says that it is never to be tried again (category 1).
"""

from datetime import timedelta
from enum import StrEnum


class Advice(StrEnum):
    RETRY_LATER = "RETRY_LATER"
    NEEDS_CUSTOMER = "NEEDS_CUSTOMER"
    NEVER_AGAIN = "NEVER_AGAIN"
    """With this method."""


_MEANINGS = {
    "do_not_try_again": Advice.NEVER_AGAIN,
    "confirm_card_data": Advice.NEEDS_CUSTOMER,
    "mac_01": Advice.NEEDS_CUSTOMER,
    **dict.fromkeys(["mac_03", "mac_21", "mac_40", "mac_41"], Advice.NEVER_AGAIN),
}
_CATEGORY_1 = frozenset(["04", "07", "12", "15", "41", "43", "46", "57", "R0", "R1", "R3"])
_WAITS = {
    "mac_02": timedelta(hours=72),
    "mac_24": timedelta(hours=1),
    **{f"mac_{25 + n}": timedelta(days=days) for n, days in enumerate((1, 2, 4, 6, 8, 10))},
}


def advised(network_advice: str, processors_word: str, raw: str) -> str:
    """The one that counts, "" without any. `network_advice` and `raw` may go on with words after the code, as Adyen's
    do ("03 : Do not try again").
    """
    code = f"mac_{_first(network_advice)}"
    if code in _MEANINGS or code in _WAITS:
        return code
    if processors_word in _MEANINGS:
        return processors_word
    return f"raw_{_first(raw)}" if _first(raw) in _CATEGORY_1 else ""


def meaning(advice_code: str) -> Advice | None:
    """None: the decline's own code says what to do."""
    return Advice.NEVER_AGAIN if advice_code.startswith("raw_") else _MEANINGS.get(advice_code)


def wait(advice_code: str) -> timedelta:
    """How long the network wants the card to be left alone."""
    return _WAITS.get(advice_code, timedelta(0))


def _first(text: str) -> str:
    return text.partition(":")[0].strip()
