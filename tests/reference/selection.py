"""Which of the committed cases are not run yet.

An entry is a kind, or the beginning of an id, with what it waits for. `--cases FILE` runs every case of the file.
"""

from tests.reference.cases import Case

IN_ADVANCE = "charges in advance: usage that is billed as it happens"
COMMITMENT = "minimum commitments on invoices"
FIXED_CHARGES = "fixed charges on invoices"
DRAFTS = "grace periods: drafts that are finalized later or by request"
PROGRESSIVE = "progressive billing: invoices at usage thresholds"
ONE_OFF = "one-off invoices"
WALLETS = "wallets"

LATER = {
    "sc-pia-04": IN_ADVANCE,
    "sc-pia-06": IN_ADVANCE,
    "sc-pia-07": IN_ADVANCE,
    "sc-pia-09": IN_ADVANCE,
    "sc-adv-02": f"{IN_ADVANCE}, without an invoice until they are paid (regroup_paid_fees)",
    "sc-commit-03": COMMITMENT,
    "sc-commit-04": COMMITMENT,
    "sc-commit-05": COMMITMENT,
    "sc-commit-12": COMMITMENT,
    "sc-commit-16": COMMITMENT,
    "sc-cn-03": f"{ONE_OFF}; refunds",
    "sc-cn-06": "payments that are recorded",
    "sc-downgrade-fc-02": FIXED_CHARGES,
    "sc-fc-03": f"{FIXED_CHARGES}, with other units within a period",
    "sc-upgrade-fc-03": FIXED_CHARGES,
    "sc-adjust-02": f"{DRAFTS}; fees that are adjusted",
    "sc-inv-18": f"{DRAFTS}; fees that are adjusted",
    "sc-inv-21": DRAFTS,
    "sc-void-01": "credit notes of invoices that are voided",
    "sc-pb-02": f"{PROGRESSIVE}; {DRAFTS}",
    "sc-pb-05": PROGRESSIVE,
    "sc-pb-06": PROGRESSIVE,
    "sc-term-02": "refunds",
    "sc-term-04": "ends without an invoice",
    "sc-trial-06": COMMITMENT,
    "sc-inv-13": "an invoice that is both of the old and the new phase",
    "sc-oneoff-02": ONE_OFF,
    "sc-wallet": WALLETS,
    "sc-trace-01": WALLETS,
}


def is_later(case: Case) -> bool:
    return any(case.kind == entry or case.id.startswith(entry) for entry in LATER)
