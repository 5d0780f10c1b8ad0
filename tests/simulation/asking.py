"""Shorthand for simulations of November 2023."""

from dataclasses import dataclass

from google.type.date_pb2 import Date

from libs.common.rpc.client import typed_errors
from tests.invoicing.world import Tenant
from weir.pricing.v1.simulation_pb2 import PlanVersionName, SimulateRequest, Simulation, SubscriptionChange

NOVEMBER = Date(year=2023, month=11)


@dataclass(frozen=True, slots=True)
class Answer:
    changes: list[SubscriptionChange]
    sums: Simulation

    def cost(self, subscription_id: str) -> list[int]:
        """Minor units: before, then under each candidate."""
        [change] = [each for each in self.changes if each.subscription_id == subscription_id]
        return [each.amount.minor_units for each in (change.before, *change.after)]


async def simulate(tenant: Tenant, *candidates: str, **fields: object) -> Answer:
    """Candidates are `plan` or `plan@version`; of November unless `fields` tell a `start_date` and no month."""
    request = SimulateRequest(**{"month": NOVEMBER} | fields)  # type: ignore[arg-type]
    for each in candidates:
        code, _, version = each.partition("@")
        request.candidates.append(PlanVersionName(plan_code=code, version=int(version or 0)))
    changes: list[SubscriptionChange] = []
    sums: list[Simulation] = []
    with typed_errors():
        async for part in tenant.simulation.Simulate(request):
            changes += part.changes
            if part.HasField("simulation"):
                sums.append(part.simulation)
    [simulation] = sums
    return Answer(changes, simulation)
