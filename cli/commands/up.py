"""`weir up`."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from cli.output import console, print_json
from cli.stack.endpoint import home
from cli.stack.stack import Stack, running


async def run_stack(data: Path, *, as_json: bool) -> None:
    """Until cancelled."""
    if not as_json:
        console.print(f"Starting weir on {data.resolve()} …")
    async with running(data, _report, usual_ports=True) as stack:
        if as_json:
            print_json(_document(stack))
        else:
            _print_welcome(stack)
        try:
            await asyncio.Event().wait()
        finally:
            if not as_json:
                console.print("\nStopping …")


def _report(line: str) -> None:
    print(f"weir: {line}", file=sys.stderr, flush=True)


def _document(stack: Stack) -> dict[str, Any]:
    endpoint = stack.endpoint
    return {
        "tenant_id": endpoint.tenant_id,
        "api_key": endpoint.api_key,
        "services": dict(endpoint.services),
        "webhooks_url": endpoint.webhooks_url,
        "sandbox_url": endpoint.sandbox_url,
        "data": str(stack.data),
        "moved_ports": list(stack.ports.moved),
        "process_ids": {name: child.pid for name, child in stack.children.items()},
        "seconds": stack.seconds,
    }


def _print_welcome(stack: Stack) -> None:
    endpoint = stack.endpoint
    console.print(f"Ready after {stack.seconds['total']:.1f} s.\n")
    for service, target in endpoint.services.items():
        console.print(f"  {service:<10} grpc://{target}")
    console.print(f"  {'webhooks':<10} {endpoint.webhooks_url}   for payment processors")
    console.print(f"  {'sandbox':<10} {endpoint.sandbox_url}   plays the part of Stripe")
    if stack.ports.moved:
        console.print(f"\nThe usual ports of {', '.join(stack.ports.moved)} are taken; these are others.")
    console.print(f"\nTest key of tenant {endpoint.tenant_id}, sent as metadata `authorization: Bearer KEY`:\n")
    console.print(f"  {endpoint.api_key}\n", soft_wrap=True)
    option = "" if stack.data == home().resolve() else f" --data {stack.data}"
    console.print("In another terminal:\n")
    console.print(f"  weir apply{option} -f catalog.yaml", soft_wrap=True)
    console.print(f"  weir invoices list{option}", soft_wrap=True)
    console.print(f"\nLogs are in {stack.data / 'logs'}. Ctrl-C stops everything.", soft_wrap=True)
