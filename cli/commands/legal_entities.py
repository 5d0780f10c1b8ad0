"""`weir legal-entities`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from cli.commands.parties import address_of, parts_of, tax_ids_of
from cli.connection import connected_to, new_request_id, pages
from cli.errors import CliError, WrongUsage
from cli.output import as_dict, console, print_json, print_list, print_table
from weir.invoicing.v1.legal_entities_pb2 import (
    BankAccount,
    Branding,
    CreateLegalEntityRequest,
    GetLegalEntityRequest,
    LegalEntity,
    ListLegalEntitiesRequest,
    UpdateLegalEntityRequest,
)

_BRANDING = ("logo", "accent_color", "footer", "template")
_TERMS = {"currency": "default_currency_code", "net_term": "net_payment_term_days", "tax": "tax_codes"}
_BANK = ("holder", "iban", "bic", "bank_name")


async def list_legal_entities(data: Path, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = await pages(
            lambda token: services.legal_entities.ListLegalEntities(ListLegalEntitiesRequest(page_token=token)),
            "legal_entities",
        )
    if as_json:
        print_list("legal_entities", found)
        return
    rows = [(each.code, each.name, each.address.country_code or "-", "yes" if each.default else "") for each in found]
    print_table(("code", "name", "country", "default"), rows, nothing="No legal entities yet.")


async def show_legal_entity(data: Path, code: str, *, as_json: bool) -> None:
    async with connected_to(data) as services:
        found = (await services.legal_entities.GetLegalEntity(GetLegalEntityRequest(code=code))).legal_entity
    if as_json:
        print_json({"legal_entity": as_dict(found)})
        return
    address = found.address
    rows = [
        ("name", found.name),
        (
            "address",
            ", ".join(part for part in (address.line1, address.line2, address.postal_code, address.city) if part),
        ),
        ("country", address.country_code or "-"),
        *((each.type, each.value) for each in found.tax_ids),
        ("email", found.email or "-"),
        ("IBAN", found.bank_account.iban or "-"),
        ("locale", found.locale or "-"),
        ("logo", f"{len(found.branding.logo):,} bytes" if found.branding.logo else "-"),
        ("template", "its own" if found.branding.template else "standard"),
        ("numbers", f"{found.number_prefix}-YYYYMM-NNNNNN" if found.number_prefix else "the tenant's"),
        ("currency", found.default_currency_code or "-"),
        ("days to pay", str(found.net_payment_term_days)),
        ("taxes", ", ".join(found.tax_codes) or "-"),
        ("default", "yes" if found.default else "no"),
        ("version", str(found.version)),
    ]
    print_table(("legal entity", found.code), rows, nothing="")


async def create_legal_entity(data: Path, code: str, typed: Mapping[str, Any], *, as_json: bool) -> None:
    async with connected_to(data) as services:
        request = CreateLegalEntityRequest(request_id=new_request_id(), legal_entity=_entity(code, typed))
        made = (await services.legal_entities.CreateLegalEntity(request)).legal_entity
    _say("Made", made, as_json=as_json)


async def update_legal_entity(data: Path, code: str, typed: Mapping[str, Any], *, as_json: bool) -> None:
    if not typed:
        raise WrongUsage("nothing to change: give at least one option")
    names = {"tax_id": "tax_ids", "bank": "bank_account"} | {each: f"branding.{each}" for each in _BRANDING} | _TERMS
    request = UpdateLegalEntityRequest(
        request_id=new_request_id(),
        legal_entity=_entity(code, typed),
        update_mask=FieldMask(paths=[names.get(each, each) for each in typed]),
    )
    async with connected_to(data) as services:
        changed = (await services.legal_entities.UpdateLegalEntity(request)).legal_entity
    _say("Changed", changed, as_json=as_json)


def _entity(code: str, typed: Mapping[str, Any]) -> LegalEntity:
    plain = {
        _TERMS.get(name, name): value
        for name, value in typed.items()
        if name not in {*_BRANDING, "address", "tax_id", "bank"}
    }
    branding = {name: typed[name] for name in ("accent_color", "footer") if name in typed}
    if "logo" in typed:
        branding["logo"] = _read(typed["logo"])
    if "template" in typed:
        branding["template"] = _read(typed["template"]).decode()
    return LegalEntity(
        code=code,
        address=address_of(typed.get("address")),
        tax_ids=tax_ids_of(typed.get("tax_id")),
        bank_account=BankAccount(**parts_of(typed.get("bank"), "--bank", _BANK)),
        branding=Branding(**branding),
        **plain,
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CliError(f"{path} can't be read: {error.strerror}") from None


def _say(done: str, entity: LegalEntity, *, as_json: bool) -> None:
    if as_json:
        print_json({"legal_entity": as_dict(entity)})
    else:
        console.print(f"{done} legal entity {entity.code}, version {entity.version}.", markup=False)
