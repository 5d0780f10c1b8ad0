"""Which amounts Stripe charges: known currencies, smallest charge, and the ones with unusual units.

From Stripe's pages on supported currencies, minimum charge amounts and special cases.
"""

from sandbox.stripe import errors

_CODES = """
aed afn all amd ang aoa ars aud awg azn bam bbd bdt bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf clp cny
cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr isk
jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr
mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos
srd std szl thb tjs tnd top try ttd twd tzs uah ugx usd uyu uzs vnd vuv wst xaf xcd xcg xof xpf yer zar zmw
"""
CURRENCIES = frozenset(_CODES.split())
MINIMUM_CHARGE = {
    "aed": 200, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50, "gbp": 30, "hkd": 400,
    "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "pln": 200, "ron": 200,
    "sek": 300, "sgd": 50, "thb": 1000, "usd": 50,
}  # fmt: skip
MAXIMUM_CHARGE = 99_999_999
MULTIPLES = {"isk": 100, "ugx": 100, "bhd": 10, "jod": 10, "kwd": 10, "omr": 10, "tnd": 10}


def check_charge(amount: int, currency: str) -> None:
    """`amount` in the currency's smallest unit, `currency` in lower case. Raises StripeError."""
    if currency not in CURRENCIES:
        raise errors.refused(f"Invalid currency: {currency}.", "currency")
    if amount < 1:
        raise errors.refused("This value must be greater than or equal to 1.", "amount", "parameter_invalid_integer")
    smallest = MINIMUM_CHARGE.get(currency, 1)
    if amount < smallest:
        raise errors.refused(f"Amount must be at least {smallest} {currency}", "amount", "amount_too_small")
    if amount > MAXIMUM_CHARGE:
        raise errors.refused(f"Amount must be no more than {MAXIMUM_CHARGE} {currency}", "amount", "amount_too_large")
    step = MULTIPLES.get(currency, 1)
    if amount % step:
        raise errors.refused(
            f"Amounts in {currency} must be a multiple of {step}.",
            "amount",
            "invalid_charge_amount_no_decimal_compatible",
        )
