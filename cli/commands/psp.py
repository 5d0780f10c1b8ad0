"""`weir psp`."""

from pathlib import Path

from cli.connection import connected_to
from cli.output import as_dict, console, instant, print_json
from weir.payments.v1.processor_checks_pb2 import GetProcessorCheckRequest


async def check(data: Path, account_id: str, *, as_json: bool) -> int:
    """Exit code 1 where something is wrong."""
    request = GetProcessorCheckRequest(processor_account_id=account_id)
    async with connected_to(data) as services:
        found = await services.processor_checks.GetProcessorCheck(request)
    if as_json:
        print_json(as_dict(found))
        return 1 if found.problems else 0
    last = instant(found.last_event_time) if found.HasField("last_event_time") else "never"
    console.print(f"{account_id}: webhooks go to {found.webhook_path}; the last one came {last}.", markup=False)
    if found.refused_webhook_count:
        when = instant(found.refused_webhook_time)
        console.print(f"{found.refused_webhook_count} were refused, the last one at {when}.", markup=False)
    for problem in found.problems:
        console.print(problem, markup=False)
    if not found.problems:
        console.print("The processor accepts its keys, and nothing is wrong.", markup=False)
    return 1 if found.problems else 0
