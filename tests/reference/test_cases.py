from collections.abc import Awaitable, Callable

import pytest

from tests.reference import aggregation, charge_model, coupon_amount, day_count, threshold_check, usage_alert
from tests.reference.cases import DEFAULT_FILE, Case, Unsupported, World, read_cases
from tests.reference.conftest import cases_file

RUNNERS: dict[str, Callable[[Case, World], Awaitable[list[str]]]] = {
    "aggregation": aggregation.run,
    "charge_model": charge_model.run,
    "coupons.amount": coupon_amount.run,
    "progressive_billing.threshold_check": threshold_check.run,
    "proration.day_count": day_count.run,
    "usage_alert.thresholds_crossed": usage_alert.run,
}
"""By area or kind: plays a case and returns what differs from the expected figures."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = read_cases(cases_file(metafunc.config) or DEFAULT_FILE)
    alone = [case for case in cases if case.kind != "scenario"]
    metafunc.parametrize("case", alone, ids=[case.id for case in alone])


async def test_reference(case: Case, world: World) -> None:
    run = RUNNERS.get(case.area) or RUNNERS.get(case.kind)
    if run is None:
        pytest.fail(f"no runner for cases of the kind {case.kind!r}", pytrace=False)
    try:
        wrong = await run(case, world)
    except Unsupported as unsupported:
        pytest.fail(f"the runner of {case.kind} does not support {unsupported}", pytrace=False)
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)
