"""A case from its first step to its last check."""

from collections.abc import Awaitable, Callable

from libs.common.errors import BillingError
from tests.reference.cases import Case, Fields, Json
from tests.reference.scenario import books, catalog, checks
from tests.reference.scenario.moments import moment
from tests.reference.scenario.stack import Clients, NotBilled, Stack
from tests.reference.scenario.timeline import Play, Refused
from tests.reference.selection import read_by_weir

Judge = Callable[[Clients, books.Books, Json], Awaitable[list[str]]]
"""Holds a check against the books: what differs, in sentences."""


async def run(case: Case, stack: Stack, judge: Judge = checks.wrong) -> list[str]:
    """What differs, in sentences. The case's id is its tenant's name. Raises Unsupported."""
    given, when, expect = Fields(case.given, "given"), Fields(case.when, "when"), Fields(case.expect, "expect")
    customer, steps, told = given.take("customer", {}), when.take("timeline"), expect.take("checks")
    for switch in ("premium", "features"):  # whatever costs extra there is part of Weir
        given.take(switch)
    sold = catalog.catalog_in(given)
    for fields in (given, when, expect):
        fields.close()
    wrong: list[str] = []
    async with stack.clients(case.id) as clients:
        play = Play(stack, clients, sold, moment(steps[0]["at"]))
        where = "given"
        try:
            await catalog.make(clients, sold)
            await play.begin(customer)
            for step in steps:
                where = f"step {step['id']}, {step['do']}"
                await play.step(step)
                for check in told:
                    if check["after"] == step["id"]:
                        now = await books.read(clients, play.now)
                        wrong += await judge(clients, now, read_by_weir(case, check))
        except (BillingError, NotBilled, Refused) as error:
            return [*wrong, f"{where}: {error}"]
    return wrong
