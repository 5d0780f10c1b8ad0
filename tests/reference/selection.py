"""Which of the committed cases are not run yet.

An entry is a kind, or the beginning of an id, with what it waits for. `--cases FILE` runs every case of the file.
"""

from tests.reference.cases import Case

DRAFTS = "grace periods: drafts that are finalized later or by request"
PROGRESSIVE = "progressive billing: invoices at usage thresholds"
ONE_OFF = "one-off invoices"
WALLETS = "wallets"

LATER = {
    "sc-adv-02": "charges in advance of recurring meters; fees on an invoice when they are paid",
    "sc-commit-12": "nothing: decision 35 says why a day that has not begun commits to nothing",
    "sc-cn-03": f"{ONE_OFF}; refunds",
    "sc-upgrade-fc-03": "units paid in advance that the next plan has too",
    "sc-adjust-02": f"{DRAFTS}; fees that are adjusted",
    "sc-inv-18": f"{DRAFTS}; fees that are adjusted",
    "sc-inv-21": DRAFTS,
    "sc-void-01": "credit notes of invoices that are voided",
    "sc-pb-02": f"{PROGRESSIVE}; {DRAFTS}",
    "sc-pb-05": PROGRESSIVE,
    "sc-pb-06": PROGRESSIVE,
    "sc-oneoff-02": ONE_OFF,
    "sc-wallet": WALLETS,
    "sc-trace-01": WALLETS,
}


def is_later(case: Case) -> bool:
    return any(case.kind == entry or case.id.startswith(entry) for entry in LATER)
