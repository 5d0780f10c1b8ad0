"""Legal entities."""

import re
from dataclasses import replace
from datetime import datetime

from google.protobuf.field_mask_pb2 import FieldMask
from stdnum import bic, iban

from libs.common.errors import InvalidArgument
from libs.common.wire import code_in, currency_in, text_in, timestamp_out
from services.invoicing.convert.parties import address_in, address_out, locale_in, tax_ids_in, tax_ids_out
from services.invoicing.convert.terms import days_in, number_prefix_in, tax_codes_in
from services.invoicing.domain.legal_entity import BankAccount, Branding, LegalEntity
from weir.invoicing.v1 import legal_entities_pb2 as pb

MAX_TEXT = 1000
MAX_LOGO_BYTES = 200_000
MAX_TEMPLATE = 64 * 1024

_COLOR = re.compile(r"#[0-9a-fA-F]{6}", re.ASCII)
_LOGOS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"<svg", b"<?xml")
_FIELDS = (
    "name",
    "address",
    "tax_ids",
    "email",
    "phone",
    "website",
    "registration",
    "locale",
    "bank_account",
    "payment_instructions",
    "branding",
    "number_prefix",
    "default_currency_code",
    "net_payment_term_days",
    "tax_codes",
)
_BRANDING = ("logo", "accent_color", "footer", "template")


def legal_entity_in(message: pb.LegalEntity, now: datetime) -> LegalEntity:
    """A new one."""
    return LegalEntity(
        code=code_in(message.code, "legal_entity.code"),
        name=text_in(message.name, "legal_entity.name"),
        create_time=now,
        update_time=now,
        email=text_in(message.email, "legal_entity.email", required=False),
        phone=text_in(message.phone, "legal_entity.phone", required=False),
        website=text_in(message.website, "legal_entity.website", required=False),
        registration=text_in(message.registration, "legal_entity.registration", required=False),
        locale=locale_in(message.locale, "legal_entity.locale"),
        address=address_in(message.address, "legal_entity.address"),
        tax_ids=tax_ids_in(message.tax_ids, "legal_entity.tax_ids"),
        bank_account=_bank_account_in(message.bank_account),
        payment_instructions=text_in(
            message.payment_instructions, "legal_entity.payment_instructions", most=MAX_TEXT, required=False
        ),
        branding=_branding_in(message.branding),
        number_prefix=number_prefix_in(message.number_prefix, "legal_entity.number_prefix"),
        default_currency_code=currency_in(message.default_currency_code, "legal_entity.default_currency_code")
        if message.default_currency_code
        else "",
        net_payment_term_days=days_in(message.net_payment_term_days, "legal_entity.net_payment_term_days"),
        tax_codes=tax_codes_in(message.tax_codes, "legal_entity.tax_codes"),
    )


def legal_entity_change_in(message: pb.LegalEntity, mask: FieldMask, old: LegalEntity, now: datetime) -> LegalEntity:
    """`old` with what `mask` names, or all that a caller sets but `default`: the next version."""
    known = {*_FIELDS, *(f"branding.{each}" for each in _BRANDING), "default"}
    if unknown := [path for path in mask.paths if path not in known]:
        raise InvalidArgument(
            "MASK_PATH_UNKNOWN",
            f"update_mask names {unknown[0]!r}; only {', '.join(sorted(known))} can change",
            field="update_mask",
        )
    paths = list(mask.paths) or list(_FIELDS)
    if "default" in paths and not message.default:
        raise InvalidArgument(
            "DEFAULT_REQUIRED", "make another legal entity the default instead", field="legal_entity.default"
        )
    complete = pb.LegalEntity()
    complete.CopyFrom(message)
    if "name" not in paths:
        complete.name = old.name
    new = legal_entity_in(complete, old.create_time)
    kept = {each: getattr(new, each) for each in paths if each in _FIELDS}
    branding = kept.get("branding", old.branding)
    branding = replace(
        branding, **{each: getattr(new.branding, each) for each in _BRANDING if f"branding.{each}" in paths}
    )
    return replace(old, **kept | {"branding": branding, "version": old.version + 1, "update_time": now})


def legal_entity_out(entity: LegalEntity, *, whole: bool = True) -> pb.LegalEntity:
    """Without logo and template unless `whole`."""
    branding = entity.branding
    return pb.LegalEntity(
        code=entity.code,
        name=entity.name,
        address=address_out(entity.address),
        tax_ids=tax_ids_out(entity.tax_ids),
        default=entity.is_default,
        email=entity.email,
        phone=entity.phone,
        website=entity.website,
        registration=entity.registration,
        locale=entity.locale,
        bank_account=_bank_account_out(entity.bank_account),
        payment_instructions=entity.payment_instructions,
        branding=pb.Branding(
            logo=branding.logo if whole else b"",
            accent_color=branding.accent_color,
            footer=branding.footer,
            template=branding.template if whole else "",
        ),
        number_prefix=entity.number_prefix,
        default_currency_code=entity.default_currency_code,
        net_payment_term_days=entity.net_payment_term_days,
        tax_codes=entity.tax_codes,
        version=entity.version,
        create_time=timestamp_out(entity.create_time),
        update_time=timestamp_out(entity.update_time),
    )


def _bank_account_in(message: pb.BankAccount) -> BankAccount:
    field = "legal_entity.bank_account"
    if message.iban and not iban.is_valid(message.iban):
        raise InvalidArgument("IBAN_MALFORMED", f"{message.iban[:64]!r} is not an IBAN", field=f"{field}.iban")
    if message.bic and not bic.is_valid(message.bic):
        raise InvalidArgument("BIC_MALFORMED", f"{message.bic[:64]!r} is not a BIC", field=f"{field}.bic")
    return BankAccount(
        holder=text_in(message.holder, f"{field}.holder", required=False),
        iban=iban.compact(message.iban),
        bic=bic.compact(message.bic),
        bank_name=text_in(message.bank_name, f"{field}.bank_name", required=False),
    )


def _bank_account_out(account: BankAccount) -> pb.BankAccount | None:
    if account == BankAccount():
        return None
    return pb.BankAccount(holder=account.holder, iban=account.iban, bic=account.bic, bank_name=account.bank_name)


def _branding_in(message: pb.Branding) -> Branding:
    field = "legal_entity.branding"
    if len(message.logo) > MAX_LOGO_BYTES:
        raise InvalidArgument(
            "LOGO_TOO_LARGE", f"the logo has {len(message.logo)} bytes, {MAX_LOGO_BYTES} at most", field=f"{field}.logo"
        )
    if message.logo and not message.logo.startswith(_LOGOS):
        raise InvalidArgument("LOGO_MALFORMED", "the logo is no SVG, PNG or JPEG file", field=f"{field}.logo")
    if message.accent_color and not _COLOR.fullmatch(message.accent_color):
        raise InvalidArgument(
            "COLOR_MALFORMED",
            f"{message.accent_color[:64]!r} is not a colour such as #0f5e6b",
            field=f"{field}.accent_color",
        )
    return Branding(
        logo=message.logo,
        accent_color=message.accent_color,
        footer=text_in(message.footer, f"{field}.footer", most=MAX_TEXT, required=False),
        template=text_in(message.template, f"{field}.template", most=MAX_TEMPLATE, required=False),
    )
