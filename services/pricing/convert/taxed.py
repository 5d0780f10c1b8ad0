"""The lines of an invoice whose taxes are asked for, on the wire."""

from functools import partial

from libs.common.errors import InvalidArgument, NotFound
from libs.common.wire import code_in
from services.pricing.convert.collected import read_all
from services.pricing.convert.described import tax_codes_in
from services.pricing.domain.plans import PlanVersion
from weir.pricing.v1 import taxes_pb2

MAX_LINES = 10_000


def taxable_in(request: taxes_pb2.QueryApplicableTaxesRequest) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The customer's taxes, and those told for each line."""
    if not request.lines:
        raise InvalidArgument("FIELD_MISSING", "lines is required", field="lines")
    if len(request.lines) > MAX_LINES:
        raise InvalidArgument(
            "REQUESTS_TOO_MANY", f"{len(request.lines)} lines; at most {MAX_LINES} in one call", field="lines"
        )
    told = read_all(
        partial(tax_codes_in, line.tax_codes, f"lines[{index}].tax_codes") for index, line in enumerate(request.lines)
    )
    return tax_codes_in(request.customer_tax_codes, "customer_tax_codes"), told


def add_on_code_in(line: taxes_pb2.TaxableLine, field: str) -> str:
    """Empty when the line is of no add-on."""
    return code_in(line.add_on_code, f"{field}.add_on_code") if line.WhichOneof("billed") == "add_on_code" else ""


def own_taxes(line: taxes_pb2.TaxableLine, version: PlanVersion | None, field: str) -> tuple[str, ...]:
    """Of the charge, fixed charge or minimum commitment that the line bills. Raises NotFound CHARGE_NOT_FOUND."""
    match line.WhichOneof("billed"):
        case "charge_code":
            code, charges = line.charge_code, {each.code: each.tax_codes for each in version.charges} if version else {}
        case "fixed_charge_code":
            code = line.fixed_charge_code
            charges = {each.code: each.tax_codes for each in version.fixed_charges} if version else {}
        case "minimum_commitment" if version is not None and version.minimum_commitment is not None:
            return version.minimum_commitment.tax_codes
        case _:
            return ()
    if code not in charges:
        raise NotFound("CHARGE_NOT_FOUND", f"{field} bills charge {code!r}, which is not there", field=field)
    return charges[code]
