"""What one object of the catalog may name of another: it has to be there. The caller owns the transaction.

Nothing is ever deleted from the catalog, so what is there once stays there.
"""

from collections.abc import Sequence

from libs.common.errors import InvalidArgument, NotFound
from libs.common.postgres import Conn
from services.pricing import store
from services.pricing.domain.features import Entitlement, Feature
from services.pricing.domain.plans import PlanVersion
from services.pricing.store.add_ons import ADD_ONS
from services.pricing.store.features import FEATURES


async def require_taxes(conn: Conn, tenant_id: str, codes: Sequence[str], field: str) -> None:
    """Raises NotFound TAX_NOT_FOUND naming the first that is not there, as a position in `field`."""
    if not codes:
        return
    known = await store.known_tax_codes(conn, tenant_id, codes)
    for index, code in enumerate(codes):
        if code not in known:
            raise tax_not_found(code, f"{field}[{index}]")


async def require_named(conn: Conn, tenant_id: str, version: PlanVersion, field: str) -> None:
    """What a version names: taxes, add-ons, features and their privileges.

    Raises NotFound TAX_NOT_FOUND, ADD_ON_NOT_FOUND, FEATURE_NOT_FOUND or PRIVILEGE_NOT_FOUND, and InvalidArgument
    PRIVILEGE_VALUE_MISMATCHED.
    """
    minimum = version.minimum_commitment
    await require_taxes(conn, tenant_id, version.tax_codes, f"{field}.tax_codes")
    await require_taxes(conn, tenant_id, minimum.tax_codes if minimum else (), f"{field}.minimum_commitment.tax_codes")
    for index, charge in enumerate(version.charges):
        await require_taxes(conn, tenant_id, charge.tax_codes, f"{field}.charges[{index}].tax_codes")
    for index, fixed in enumerate(version.fixed_charges):
        await require_taxes(conn, tenant_id, fixed.tax_codes, f"{field}.fixed_charges[{index}].tax_codes")
    add_ons = await ADD_ONS.find(conn, tenant_id, {each.add_on_code for each in version.fixed_charges})
    for index, fixed in enumerate(version.fixed_charges):
        if fixed.add_on_code not in add_ons:
            raise ADD_ONS.not_found(fixed.add_on_code, f"{field}.fixed_charges[{index}].add_on_code")
    features = await FEATURES.find(conn, tenant_id, {each.feature_code for each in version.entitlements})
    for index, entitlement in enumerate(version.entitlements):
        path = f"{field}.entitlements[{index}]"
        if entitlement.feature_code not in features:
            raise FEATURES.not_found(entitlement.feature_code, f"{path}.feature_code")
        _require_privileges(features[entitlement.feature_code], entitlement, f"{path}.privileges")


def _require_privileges(feature: Feature, entitlement: Entitlement, field: str) -> None:
    for index, (code, value) in enumerate(entitlement.values):
        path = f"{field}[{index}]"
        if (privilege := feature.privilege(code)) is None:
            raise NotFound(
                "PRIVILEGE_NOT_FOUND",
                f"feature {feature.code} has no privilege {code}",
                feature_code=feature.code,
                privilege_code=code,
                field=f"{path}.privilege_code",
            )
        if not privilege.admits(value):
            raise InvalidArgument(
                "PRIVILEGE_VALUE_MISMATCHED",
                f"{path} is {value!r}; privilege {code} of {feature.code} is {privilege.type}"
                + (f", one of {', '.join(privilege.options)}" if privilege.options else ""),
                field=f"{path}.value",
            )


async def require_plans(conn: Conn, tenant_id: str, codes: Sequence[str], field: str) -> None:
    """Raises NotFound PLAN_NOT_FOUND naming the first that is not there, as a position in `field`."""
    known = await store.known_plan_codes(conn, tenant_id, codes)
    for index, code in enumerate(codes):
        if code not in known:
            raise NotFound("PLAN_NOT_FOUND", f"there is no plan {code}", plan_code=code, field=f"{field}[{index}]")


def tax_not_found(code: str, field: str) -> NotFound:
    return NotFound("TAX_NOT_FOUND", f"there is no tax {code}", tax_code=code, field=field)
