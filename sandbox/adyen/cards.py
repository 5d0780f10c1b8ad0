"""Test cards, chosen by the card holder's name as on Adyen's test platform, and how each is answered when charged."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """`code` is the refusalReasonCode, "" where the charge is not refused."""

    result_code: str
    code: str = ""
    reason: str = ""
    raw: str = ""


APPROVED = Result("Authorised")
_REFUSALS = {
    "DECLINED": ("2", "Refused", "05 : Do not honor"),
    "BLOCK_CARD": ("5", "Blocked Card", "43 : Stolen card, pick up"),
    "CARD_EXPIRED": ("6", "Expired Card", "54 : Expired card"),
    "ISSUER_UNAVAILABLE": ("9", "Issuer Unavailable", "91 : Issuer unavailable"),
    "NOT_ENOUGH_BALANCE": ("12", "Not enough balance", "51 : Insufficient funds"),
    "ACQUIRER_FRAUD": ("14", "Acquirer Fraud", "59 : Suspected fraud"),
    "FRAUD": ("20", "FRAUD", "FRAUD"),
    "NOT_SUBMITTED": ("21", "Not Submitted", "96 : System malfunction"),
    "TRANSACTION_NOT_PERMITTED": ("23", "Transaction Not Permitted", "57 : Transaction not permitted"),
    "CVC_DECLINED": ("24", "CVC Declined", "N7 : CVC declined"),
    "RESTRICTED_CARD": ("25", "Restricted Card", "62 : Restricted card"),
    "REVOCATION_OF_AUTH": ("26", "Revocation Of Auth", "R1 : Revocation of authorisation"),
    "DECLINED_NON_GENERIC": ("27", "Declined Non Generic", "05 : Do not honor"),
    "WITHDRAWAL_AMOUNT_EXCEEDED": ("28", "Withdrawal amount exceeded", "61 : Exceeds withdrawal limit"),
    "ISSUER_SUSPECTED_FRAUD": ("31", "Issuer Suspected Fraud", "59 : Suspected fraud"),
    "AVS_DECLINED": ("32", "AVS Declined", "05 : AVS declined"),
    "AUTHENTICATION_REQUIRED": ("38", "Authentication required", "1A : Authentication required"),
    "RREQ_NOT_RECEIVED": ("39", "RReq not received from DS", "RReq not received"),
    "THREED_SECURE_ERROR": ("42", "3DS Authentication Error", "3DS authentication error"),
    "ERPS_BLOCK": ("46", "Blocked by Adyen to prevent excessive retry fees", "Blocked by Adyen"),
}
HOLDERS = {
    "APPROVED": APPROVED,
    "PENDING": Result("Received"),
    **{name: Result("Refused", *refusal) for name, refusal in _REFUSALS.items()},
}


def result(holder_name: str) -> Result:
    """Any other name is approved."""
    return HOLDERS.get(holder_name, APPROVED)
