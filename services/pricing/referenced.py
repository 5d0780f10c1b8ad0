"""What one object of the catalog may name of another: it has to be there. The caller owns the transaction.

Nothing is ever deleted from the catalog, so what is there once stays there. Everything that is missing is named in one
error, each by its field.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from libs.common.errors import BillingError, InvalidArgument, NotFound
from libs.common.postgres import Conn
from services.pricing import store
from services.pricing.domain.features import Entitlement, Feature
from services.pricing.domain.plans import PlanVersion
from services.pricing.store.add_ons import ADD_ONS
from services.pricing.store.features import FEATURES
from services.pricing.store.objects import Objects

Named: TypeAlias = Mapping[str, str]
"""Codes by the fields that name them."""


def named_in(codes: Sequence[str], field: str) -> dict[str, str]:
    return {f"{field}[{index}]": code for index, code in enumerate(codes)}


async def require_taxes(conn: Conn, tenant_id: str, codes: Sequence[str], field: str) -> None:
    """Raises NotFound TAX_NOT_FOUND."""
    require_none(await missing_taxes(conn, tenant_id, named_in(codes, field)))


async def require_plans(conn: Conn, tenant_id: str, codes: Sequence[str], field: str) -> None:
    """Raises NotFound PLAN_NOT_FOUND."""
    known = await store.known_plan_codes(conn, tenant_id, codes)
    require_none(
        [
            NotFound("PLAN_NOT_FOUND", f"there is no plan {code}", plan_code=code, field=path)
            for path, code in named_in(codes, field).items()
            if code not in known
        ]
    )


async def require_named(conn: Conn, tenant_id: str, version: PlanVersion, field: str) -> None:
    """What a version names: taxes, add-ons, features and their privileges.

    Raises NotFound TAX_NOT_FOUND, ADD_ON_NOT_FOUND, FEATURE_NOT_FOUND or PRIVILEGE_NOT_FOUND, and InvalidArgument
    PRIVILEGE_VALUE_MISMATCHED.
    """
    add_ons = {
        f"{field}.fixed_charges[{index}].add_on_code": each.add_on_code
        for index, each in enumerate(version.fixed_charges)
    }
    entitled = {f"{field}.entitlements[{index}]": each for index, each in enumerate(version.entitlements)}
    features = await FEATURES.find(conn, tenant_id, {each.feature_code for each in entitled.values()})
    wrong: list[BillingError] = []
    wrong += await missing_taxes(conn, tenant_id, _tax_codes(version, field))
    wrong += missing(ADD_ONS, add_ons, await ADD_ONS.find(conn, tenant_id, set(add_ons.values())))
    wrong += missing(FEATURES, {f"{path}.feature_code": each.feature_code for path, each in entitled.items()}, features)
    for path, entitlement in entitled.items():
        if (feature := features.get(entitlement.feature_code)) is not None:
            wrong += _wrong_privileges(feature, entitlement, f"{path}.privileges")
    require_none(wrong)


async def missing_taxes(conn: Conn, tenant_id: str, named: Named) -> list[NotFound]:
    if not named:
        return []
    known = await store.known_tax_codes(conn, tenant_id, set(named.values()))
    return [tax_not_found(code, path) for path, code in named.items() if code not in known]


def missing(objects: Objects[Any], named: Named, found: Mapping[str, object]) -> list[NotFound]:
    return [objects.not_found(code, path) for path, code in named.items() if code not in found]


def require_none(wrong: Sequence[BillingError]) -> None:
    """Raises the first NotFound, or else the first error, with the fields of all."""
    if not wrong:
        return
    first = next((error for error in wrong if isinstance(error, NotFound)), wrong[0])
    first.violations = tuple(violation for error in wrong for violation in error.violations)
    raise first


def tax_not_found(code: str, field: str) -> NotFound:
    return NotFound("TAX_NOT_FOUND", f"there is no tax {code}", tax_code=code, field=field)


def _tax_codes(version: PlanVersion, field: str) -> dict[str, str]:
    minimum = version.minimum_commitment
    named = named_in(version.tax_codes, f"{field}.tax_codes")
    named |= named_in(minimum.tax_codes if minimum else (), f"{field}.minimum_commitment.tax_codes")
    for index, charge in enumerate(version.charges):
        named |= named_in(charge.tax_codes, f"{field}.charges[{index}].tax_codes")
    for index, fixed in enumerate(version.fixed_charges):
        named |= named_in(fixed.tax_codes, f"{field}.fixed_charges[{index}].tax_codes")
    return named


def _wrong_privileges(feature: Feature, entitlement: Entitlement, field: str) -> Iterator[BillingError]:
    for index, (code, value) in enumerate(entitlement.values):
        path = f"{field}[{index}]"
        if (privilege := feature.privilege(code)) is None:
            yield NotFound(
                "PRIVILEGE_NOT_FOUND",
                f"feature {feature.code} has no privilege {code}",
                feature_code=feature.code,
                privilege_code=code,
                field=f"{path}.privilege_code",
            )
        elif not privilege.admits(value):
            yield InvalidArgument(
                "PRIVILEGE_VALUE_MISMATCHED",
                f"{path} is {value!r}; privilege {code} of {feature.code} is {privilege.type}"
                + (f", one of {', '.join(privilege.options)}" if privilege.options else ""),
                field=f"{path}.value",
            )
