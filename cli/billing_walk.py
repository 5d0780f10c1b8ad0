"""A test clock on its way, as it goes from one instant at which something falls due to the next."""

import asyncio
from collections.abc import AsyncIterator

from cli.connection import Connection
from weir.invoicing.v1.invoicing_pb2 import BillingRun, BillingStep, GetBillingRunRequest


async def walked(
    services: Connection, run_id: str, poll_seconds: float
) -> AsyncIterator[tuple[BillingRun, list[BillingStep]]]:
    """The run and the steps that it has finished since, until it is completed or nothing but failures is left."""
    request = GetBillingRunRequest(id=run_id)
    while True:
        answer = await services.invoicing.GetBillingRun(request)
        run, steps = answer.billing_run, list(answer.steps)
        finished = steps if run.drained else steps[:-1]
        yield run, finished
        if finished:
            request.steps_after_time.CopyFrom(finished[-1].step_time)
        elif run.state == BillingRun.STATE_COMPLETED or (run.drained and run.due_count):
            return
        else:
            await asyncio.sleep(poll_seconds)
