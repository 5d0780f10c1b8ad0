"""The plan that the tests sell, and requests that make it."""

from uuid import uuid4

from weir.common.v1.money_pb2 import Money
from weir.pricing.v1.pricing_pb2 import (
    Charge,
    ChargeFilter,
    ChargeQuantity,
    CreatePlanRequest,
    CreatePlanVersionRequest,
    CreateTaxRequest,
    DynamicPrice,
    GraduatedPercentagePrice,
    GraduatedPrice,
    MatrixCell,
    MatrixPrice,
    PackagePrice,
    PercentagePrice,
    PercentageTier,
    Plan,
    PlanVersion,
    PriceTier,
    PropertyFilter,
    RateRequest,
    StandardPrice,
    Tax,
    VolumePrice,
)


def llm_api() -> PlanVersion:
    return PlanVersion(
        currency_code="USD",
        billing_interval=PlanVersion.BILLING_INTERVAL_MONTHLY,
        base_fee=Money(currency_code="USD", minor_units=2000),
        charges=[
            Charge(
                code="requests",
                name="API requests",
                meter_code="requests",
                package=PackagePrice(package_size="1000", package_price="1", free_units="500"),
            ),
            Charge(
                code="input_tokens",
                name="Input tokens",
                meter_code="input_tokens",
                graduated=GraduatedPrice(
                    tiers=[
                        PriceTier(up_to="1000000", unit_price="0.0000025", flat_fee="0"),
                        PriceTier(up_to="5000000", unit_price="0.000002", flat_fee="0"),
                        PriceTier(unit_price="0.0000015", flat_fee="0"),
                    ]
                ),
            ),
            Charge(code="output_tokens", meter_code="output_tokens", standard=StandardPrice(unit_price="0.00001")),
        ],
        tax_codes=["ny-sales"],
    )


def marketplace() -> PlanVersion:
    """The charge models that `llm_api` does not have."""
    return PlanVersion(
        currency_code="USD",
        billing_interval=PlanVersion.BILLING_INTERVAL_MONTHLY,
        charges=[
            Charge(
                code="seats",
                meter_code="seats",
                volume=VolumePrice(tiers=[PriceTier(up_to="10", unit_price="20"), PriceTier(unit_price="15")]),
                minimum_amount="100",
                maximum_amount="1000",
            ),
            Charge(
                code="payments",
                name="Card payments",
                meter_code="payments",
                percentage=PercentagePrice(rate_percent="2.9", fixed_per_transaction="0.3"),
                filters=[
                    ChargeFilter(
                        code="amex",
                        name="American Express",
                        properties=[PropertyFilter(property="scheme", values=["amex"])],
                        percentage=PercentagePrice(
                            rate_percent="3.5",
                            free_transactions=1,
                            free_amount="1000",
                            minimum_per_transaction="0.5",
                            maximum_per_transaction="20",
                        ),
                    )
                ],
            ),
            Charge(
                code="sales",
                meter_code="sales",
                graduated_percentage=GraduatedPercentagePrice(
                    tiers=[
                        PercentageTier(up_to="1000", rate_percent="5", flat_fee="1"),
                        PercentageTier(rate_percent="2.5"),
                    ]
                ),
            ),
            Charge(code="resale", meter_code="resale", dynamic=DynamicPrice()),
            Charge(
                code="tokens",
                meter_code="tokens",
                matrix=MatrixPrice(
                    dimensions=["model", "direction"],
                    cells=[MatrixCell(values=["large", "out"], unit_price="0.00006")],
                    default_unit_price="0.00001",
                ),
                group_keys=["direction", "model"],
            ),
        ],
    )


def create_tax(code: str = "ny-sales", name: str = "Sales tax", rate_percent: str = "8.875") -> CreateTaxRequest:
    return CreateTaxRequest(request_id=str(uuid4()), tax=Tax(code=code, name=name, rate_percent=rate_percent))


def create_plan(code: str = "llm-api", *, taxed: bool = False) -> CreatePlanRequest:
    request = CreatePlanRequest(
        request_id=str(uuid4()),
        plan=Plan(code=code, name="LLM API", description="Tokens by the million."),
        version=llm_api(),
    )
    if not taxed:
        request.version.ClearField("tax_codes")
    return request


def create_version(
    plan_code: str = "llm-api", base_version: int = 1, unit_price: str = "1"
) -> CreatePlanVersionRequest:
    """A version that has one charge, `output_tokens`."""
    version = create_plan().version
    del version.charges[:2]
    version.charges[0].standard.unit_price = unit_price
    return CreatePlanVersionRequest(
        request_id=str(uuid4()), plan_code=plan_code, base_version=base_version, version=version
    )


def rate(plan_code: str = "llm-api", version: int = 1, **quantities: str) -> RateRequest:
    return RateRequest(
        plan_code=plan_code,
        version=version,
        quantities=[ChargeQuantity(charge_code=code, quantity=quantity) for code, quantity in quantities.items()],
    )
