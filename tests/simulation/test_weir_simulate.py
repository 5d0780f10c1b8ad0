"""`weir simulate` as a user runs it."""

import csv
import json
from datetime import date

import pytest

from cli.commands.simulated_periods import SimulatedPeriod, period_in
from cli.errors import WrongUsage
from tests.invoicing.world import Tenant
from tests.simulation.asking import simulate
from tests.simulation.test_simulate import two_plans
from tests.simulation.weir import Weir
from weir.pricing.v1.pricing_pb2 import PlanVersion


@pytest.fixture
async def month(acme: Tenant) -> None:
    await two_plans(acme)
    for number in range(3):
        await acme.customer(f"c{number}")
        await acme.subscribe(f"s{number}", f"c{number}", "classic", "2023-10-01")
        await acme.events(f"s{number}", 10 + 1200 * number, prefix=f"e{number}")


@pytest.mark.usefixtures("month")
async def test_the_chart_shows_who_pays_less_and_who_more(weir: Weir) -> None:
    code, out, err = await weir("simulate", "classic", "modern", "classic@1", "--period", "2023-11")
    assert (code, err) == (0, "")
    assert "classic in 2023-11: 3 subscriptions" in out
    assert "1 pay less" in out
    assert "2 pay more" in out
    assert "3 pay the same" in out
    assert "█" in out
    assert "c2" in out


@pytest.mark.usefixtures("month")
async def test_json_and_csv_have_every_figure(weir: Weir, acme: Tenant) -> None:
    known = await simulate(acme, "modern", plan_code="classic")
    code, out, _ = await weir("simulate", "classic", "modern", "--period", "2023-11-01", "--json")
    document = json.loads(out)
    assert (code, document["simulation"]["digest"]) == (0, known.sums.digest)
    assert [each["subscription_id"] for each in document["changes"]] == ["s0", "s1", "s2"]
    code, out, _ = await weir("simulate", "classic", "modern", "--period", "2023-11", "--csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert code == 0
    for row in rows:
        found = [int(row[name].replace(".", "")) for name in ("before", "after")]
        assert found == known.cost(row["subscription_id"])


@pytest.mark.parametrize(
    ("period", "first", "interval"),
    [
        ("2023-W47", date(2023, 11, 20), PlanVersion.BILLING_INTERVAL_WEEKLY),
        ("2024-W01", date(2024, 1, 1), PlanVersion.BILLING_INTERVAL_WEEKLY),
        ("2023-11", date(2023, 11, 1), PlanVersion.BILLING_INTERVAL_MONTHLY),
        ("2023-Q4", date(2023, 10, 1), PlanVersion.BILLING_INTERVAL_QUARTERLY),
        ("2023-H2", date(2023, 7, 1), PlanVersion.BILLING_INTERVAL_SEMIANNUAL),
        ("2023", date(2023, 1, 1), PlanVersion.BILLING_INTERVAL_YEARLY),
        ("2023-11-20", date(2023, 11, 20), PlanVersion.BILLING_INTERVAL_UNSPECIFIED),
    ],
)
def test_periods_have_their_usual_names(period: str, first: date, interval: int) -> None:
    assert period_in(period) == SimulatedPeriod(first, interval)  # type: ignore[arg-type]


@pytest.mark.parametrize("period", ["2023-Q5", "2023-W00", "2023-W54", "2023-13", "0000", "2023-02-30", "23"])
def test_what_no_calendar_has_is_no_period(period: str) -> None:
    with pytest.raises(WrongUsage):
        period_in(period)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("classic", "modern", "--period", "november"), "--period: 'november' is not a period such as 2023-11"),
        (
            ("classic", "modern", "--period", "2023-11-06"),
            "start_date is 2023-11-06; a monthly period begins",
        ),
        (("classic", "modern", "--period", "2023-11-32"), "--period: '2023-11-32' is not a period such as 2023-11"),
        (("classic", "modern@0", "--period", "2023-11"), "'modern@0' is neither a plan's code nor PLAN@VERSION"),
        (("classic", "ancient", "--period", "2023-11"), "there is no plan ancient"),
        (("classic", "modern", "--period", "2023-11", "--csv", "--json"), "--csv and --json exclude each other"),
    ],
)
@pytest.mark.usefixtures("month")
async def test_what_is_wrong_is_said_in_a_line(weir: Weir, arguments: tuple[str, ...], complaint: str) -> None:
    code, out, err = await weir("simulate", *arguments)
    assert code != 0
    assert out == ""
    assert complaint in err
    assert err.count("\n") == 1
