"""A made-up trace: a month of requests to an LLM API, the same at every call."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

SEED = 20231101
REQUESTS = 20_000
START = datetime(2023, 11, 1, tzinfo=UTC)
DAYS = 30
BUSY_HOURS = (1, 1, 1, 1, 1, 2, 3, 5, 8, 10, 11, 11, 10, 11, 11, 10, 9, 7, 5, 4, 3, 2, 2, 1)
"""How busy each hour of the day is, relative to the others."""

PROMPT_BITS = dict(zip(range(5, 15), (1, 2, 4, 8, 12, 14, 12, 7, 3, 1), strict=True))
ANSWER_BITS = dict(zip(range(2, 11), (3, 7, 10, 12, 10, 6, 3, 2, 1), strict=True))
"""How many tokens, as the length of the number in bits, and how frequent that is: most are short, a few very long."""

HEADER = b"TIMESTAMP,ContextTokens,GeneratedTokens\r\n"


def generate(requests: int = REQUESTS, seed: int = SEED) -> Iterator[bytes]:
    """Lines of a trace file, in order of time."""
    source = random.Random(seed)  # noqa: S311 the figures must be the same every time
    instants = sorted(_instant(source) for _ in range(requests))
    yield HEADER
    for instant in instants:
        prompt, answer = _tokens(source, PROMPT_BITS), _tokens(source, ANSWER_BITS)
        yield f"{instant:%Y-%m-%d %H:%M:%S.%f}0,{prompt},{answer}\r\n".encode()


def _instant(source: random.Random) -> datetime:
    day = source.randrange(DAYS)
    [hour] = source.choices(range(24), BUSY_HOURS)
    return START + timedelta(days=day, hours=hour, microseconds=source.randrange(3_600_000_000))


def _tokens(source: random.Random, frequencies: dict[int, int]) -> int:
    [bits] = source.choices(list(frequencies), list(frequencies.values()))
    return source.randrange(1 << (bits - 1), 1 << bits)
