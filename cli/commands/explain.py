"""`weir explain`."""

from collections.abc import Sequence
from pathlib import Path

from rich.padding import Padding
from rich.text import Text

from cli.commands.plan_versions import version_name
from cli.connection import Connection, connected_to
from cli.errors import WrongUsage
from cli.output import amount, as_dict, console, print_json
from weir.pricing.v1.explanation_pb2 import ExplainRequest, ExplainResponse
from weir.pricing.v1.pricing_pb2 import ChargeQuantity, GetPlanRequest, RateRequest


async def explain_quantities(data: Path, plan: str, quantities: Sequence[str], *, as_json: bool) -> None:
    name = version_name(plan)
    told = [_quantity(text) for text in quantities]
    async with connected_to(data) as services:
        version = name.version or await _newest(services, name.plan_code)
        request = RateRequest(plan_code=name.plan_code, version=version, quantities=told)
        found = await services.explanation.Explain(ExplainRequest(rate=request))
    if as_json:
        print_json({"plan_code": name.plan_code, "version": version, **as_dict(found)})
    else:
        _print(f"{name.plan_code}@{version}", found)


async def _newest(services: Connection, plan_code: str) -> int:
    return (await services.pricing.GetPlan(GetPlanRequest(code=plan_code))).plan.latest_version.version


def _quantity(text: str) -> ChargeQuantity:
    code, equals, quantity = text.partition("=")
    if not equals:
        raise WrongUsage(f"{text!r} is not CHARGE=QUANTITY")
    return ChargeQuantity(charge_code=code, quantity=quantity)


def _print(title: str, found: ExplainResponse) -> None:
    for each in found.charges:
        console.print(f"{each.rated.charge_code}: {amount(each.rated.amount)}", style="bold", markup=False)
        for line in each.lines:
            console.print(Padding(Text(line.text), (0, 0, 0, 2)))
        console.print()
    console.print(f"{title}: {amount(found.amount)}, without base fee and taxes", style="bold", markup=False)
