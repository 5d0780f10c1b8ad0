"""A line for each thing that a charge has a price for: filters, groups, transactions, limits."""

from collections.abc import Mapping

import pytest

from libs.common.errors import InvalidArgument
from libs.common.wire import timestamp_out
from tests.invoicing.world import Tenant, World, new_request_id, utc
from weir.invoicing.v1 import invoicing_pb2
from weir.metering.v1 import metering_pb2
from weir.pricing.v1 import pricing_pb2

TOKENS = pricing_pb2.Charge(
    code="tokens",
    name="Tokens",
    meter_code="tokens",
    group_keys=["model", "direction"],
    matrix=pricing_pb2.MatrixPrice(
        dimensions=["model", "direction"],
        cells=[
            pricing_pb2.MatrixCell(values=["large", "in"], unit_price="0.01"),
            pricing_pb2.MatrixCell(values=["large", "out"], unit_price="0.03"),
        ],
        default_unit_price="0.001",
    ),
    filters=[
        pricing_pb2.ChargeFilter(
            code="batch",
            name="Tokens in batches",
            properties=[pricing_pb2.PropertyFilter(property="mode", values=["batch"])],
            standard=pricing_pb2.StandardPrice(unit_price="0.0005"),
        )
    ],
)
PAYMENTS = pricing_pb2.Charge(
    code="payments",
    name="Payments",
    meter_code="volume",
    percentage=pricing_pb2.PercentagePrice(
        rate_percent="2.9", fixed_per_transaction="0.30", free_transactions=1, maximum_per_transaction="5"
    ),
)
RESALE = pricing_pb2.Charge(code="resale", name="Resale", meter_code="volume", dynamic=pricing_pb2.DynamicPrice())
VOLUME = pricing_pb2.Charge(
    code="volume",
    name="Volume",
    meter_code="volume",
    volume=pricing_pb2.VolumePrice(
        tiers=[
            pricing_pb2.PriceTier(up_to="100", unit_price="1"),
            pricing_pb2.PriceTier(unit_price="0.5", flat_fee="2"),
        ]
    ),
)
SHARE = pricing_pb2.Charge(
    code="share",
    name="Share",
    meter_code="volume",
    graduated_percentage=pricing_pb2.GraduatedPercentagePrice(
        tiers=[
            pricing_pb2.PercentageTier(up_to="100", rate_percent="1"),
            pricing_pb2.PercentageTier(rate_percent="0.5", flat_fee="0.25"),
        ]
    ),
)


def limited(code: str, **limits: str) -> pricing_pb2.Charge:
    price = pricing_pb2.StandardPrice(unit_price="1")
    return pricing_pb2.Charge(code=code, name=code.title(), meter_code="volume", standard=price, **limits)


async def meter(acme: Tenant, code: str, property_name: str, *dimensions: str) -> None:
    made = metering_pb2.Meter(
        code=code,
        aggregation=metering_pb2.Meter.AGGREGATION_SUM,
        value_property=property_name,
        dimensions=dimensions,
    )
    await acme.metering.CreateMeter(metering_pb2.CreateMeterRequest(request_id=new_request_id(), meter=made))


async def send(acme: Tenant, code: str, number: int, amount: str = "", **properties: str) -> None:
    event = metering_pb2.Event(
        transaction_id=f"{code}-{number}",
        subscription_id="globex-1",
        code=code,
        timestamp=timestamp_out(utc(f"2023-11-20T10:{number:02}")),
        properties=properties,
        amount=amount,
    )
    answer = await acme.metering.IngestEvents(metering_pb2.IngestEventsRequest(events=[event]))
    assert answer.accepted_count == 1, answer


async def billed(
    world: World, acme: Tenant, *charges: pricing_pb2.Charge, start: str = "2023-11-01"
) -> invoicing_pb2.Invoice:
    """The invoice of November, after which more usage of November has come."""
    await meter(acme, "tokens", "n", "model", "direction", "mode")
    await meter(acme, "volume", "value")
    await acme.start_clock("2023-11-01")
    await acme.plan("all", *charges, base_fee=None)
    await acme.customer("globex")
    await acme.subscribe("globex-1", "globex", "all", start)
    for number, (model, direction, mode, n) in enumerate(
        [
            ("large", "in", "live", "1000"),
            ("large", "in", "live", "234"),
            ("large", "out", "live", "100"),
            ("small", "out", "live", "5000"),
            ("small", "out", "batch", "3000"),
        ]
    ):
        await send(acme, "tokens", number, n=n, model=model, direction=direction, mode=mode)
    for number, (value, amount) in enumerate([("80", "1.111"), ("20.50", "2.222"), ("300", "")]):
        await send(acme, "volume", number, amount, value=value)
    await acme.advance("2023-12-01")
    await world.bill()
    [invoice] = await acme.invoices()
    await send(acme, "tokens", 50, n="9999", model="large", direction="in", mode="live")
    await send(acme, "volume", 50, "7", value="9999")
    return invoice


def amounts(invoice: invoicing_pb2.Invoice) -> list[tuple[str, int]]:
    return [(line.description, line.amount.minor_units) for line in invoice.lines]


async def require_reproduced(acme: Tenant, invoice: invoicing_pb2.Invoice) -> Mapping[str, list[str]]:
    """Sentences by the line's description."""
    found = {}
    for line in invoice.lines:
        request = invoicing_pb2.ExplainLineRequest(invoice_id=invoice.id, line_number=line.number)
        answer = await acme.invoicing.ExplainLine(request)
        assert answer.reproduced, line
        assert answer.line == line
        found[line.description] = list(answer.sentences)
    return found


async def test_a_charge_has_a_line_for_each_filter_and_group_that_was_used(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme, TOKENS)
    assert amounts(invoice) == [
        ("Tokens, direction in, model large", 1234),
        ("Tokens, direction out, model large", 300),
        ("Tokens, direction out, model small", 500),
        ("Tokens in batches, direction out, model small", 150),
    ]
    assert [line.number for line in invoice.lines] == [1, 2, 3, 4]
    assert invoice.subtotal.minor_units == 2184
    said = await require_reproduced(acme, invoice)
    assert (
        "In that period meter tokens measured 3,000 units that filter batch of the charge admits with direction out and"
        in said["Tokens in batches, direction out, model small"][2]
    )


async def test_prices_that_are_a_matter_of_single_events_are_billed(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme, PAYMENTS, RESALE)
    # 80 is free; 20.50 × 2.9 % + 0.30 = 0.8945; 300 × 2.9 % + 0.30 = 9.00, at most 5
    assert amounts(invoice) == [("Payments", 589), ("Resale", 333)]
    said = await require_reproduced(acme, invoice)
    assert said["Payments"][3:6] == [
        "2.9 % of 320.5 units after 80 units that cost nothing: 9.2945 USD.",
        "2 transactions after 1 free ones at 0.3 USD each: 0.6 USD.",
        "What each transaction costs at least and at most changes that by -4 USD.",
    ]
    assert said["Resale"][3] == "The events say what they cost, together 3.333 USD."


async def test_volume_and_graduated_shares_are_billed(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme, VOLUME, SHARE)
    # 400.50 × 0.5 + 2; 100 × 1 % + 300.50 × 0.5 % + 0.25
    assert amounts(invoice) == [("Volume", 20225), ("Share", 275)]
    said = await require_reproduced(acme, invoice)
    assert said["Share"][3:5] == [
        "1 % of the first 100 units: 1 USD.",
        "0.5 % of the next 300.5 units and a flat fee of 0.25 USD: 1.7525 USD.",
    ]


async def test_a_minimum_is_trued_up_and_a_maximum_kept_to(world: World, acme: Tenant) -> None:
    invoice = await billed(
        world, acme, limited("floor", minimum_amount="500"), limited("ceiling", maximum_amount="100.05")
    )
    assert amounts(invoice) == [
        ("Floor", 40050),
        ("Floor, up to the minimum", 9950),
        ("Ceiling", 40050),
        ("Ceiling, down to the maximum", -30045),
    ]
    assert invoice.total.minor_units == 60005
    said = await require_reproduced(acme, invoice)
    assert said["Floor, up to the minimum"][2] == (
        "The charge came to 400.5 USD, and its minimum for these days is 500 USD: 99.5 USD."
    )


async def test_of_a_minimum_only_the_days_of_a_partial_month_are_owed(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme, limited("floor", minimum_amount="1000"), start="2023-11-16")
    assert amounts(invoice) == [("Floor", 40050), ("Floor, up to the minimum", 9950)]
    await require_reproduced(acme, invoice)


async def test_a_code_of_several_lines_needs_the_line_s_number(world: World, acme: Tenant) -> None:
    invoice = await billed(world, acme, TOKENS)
    with pytest.raises(InvalidArgument) as refused:
        await acme.invoicing.ExplainLine(invoicing_pb2.ExplainLineRequest(invoice_id=invoice.id, line_code="tokens"))
    assert refused.value.reason == "LINE_AMBIGUOUS"
