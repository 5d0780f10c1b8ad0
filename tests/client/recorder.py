"""`python -m tests.client.recorder TARGET API_KEY DIRECTORY PREFIX [COUNT]`: a product's process, to be killed.

It records events one by one, COUNT of them or for ever, and says the id of each on a line once `record` has returned.
"""

import asyncio
import itertools
import sys
from pathlib import Path

from libs.client import UsageClient
from tests.metering.requests import event


async def main(target: str, api_key: str, directory: str, prefix: str, count: str = "") -> None:
    numbers = range(int(count)) if count else itertools.count()
    async with UsageClient(target, api_key, Path(directory)) as usage:
        for number in numbers:
            print(usage.record(event(f"{prefix}-{number}", tokens="1")), flush=True)
            await asyncio.sleep(0)
        await usage.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
