"""`weir demo` as a user runs it, against figures computed without Weir."""

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tests.e2e.expectation import Expected, expected

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
REAL_TRACE = Path(__file__).parents[3] / "shared" / "data" / "azure-llm-2023" / "code.csv"
"""Read where somebody has put it beside the checkout; it is not ours to ship."""


def demo(*arguments: str, tmp_path: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "cli.main", "demo", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=_environ(tmp_path), check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.glob("weir-demo-*")) == [], "the temporary data directory is removed"
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _environ(tmp_path: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}


def trace(count: int) -> list[str]:
    source = random.Random(7)
    rows = []
    for _ in range(count):
        day, tokens = source.randint(1, 30), source.randint(0, 9_000)
        rows.append(f"2023-11-{day:02} 23:59:59.{source.randrange(10**7):07},{tokens},{source.randint(0, 300)}")
    return rows


def test_a_month_is_billed_exactly(tmp_path: Path) -> None:
    rows = trace(2_500)
    rows[100] = '"2023-11-01 00:00:00.0000000","1000001","0"'
    rows[200] = "2023-10-31 23:59:59.9999999,777,7"
    rows[300] = "2023-12-01 00:00:00.0000000,888,8"
    file = tmp_path / "trace.csv"
    file.write_bytes(("\ufeff" + "\n".join([HEADER, *rows])).encode())

    found = demo("--trace", str(file), tmp_path=tmp_path)

    assert found["events"] == {"sent": 5_000, "accepted": 2_500, "duplicates": 2_500}
    assert list(found["customers"]) == ["customer-0", "customer-1", "customer-2"]
    for customer, billed in zip(expected(file.read_bytes()), found["customers"].values(), strict=True):
        customer.require(billed)
    assert len({customer["invoice"]["number"] for customer in found["customers"].values()}) == 3
    assert set(found) == {"events", "customers", "seconds"}
    paid_by = [customer["paid_by"] for customer in found["customers"].values()]
    assert [each["processor"] for each in paid_by] == ["stripe", "adyen", "gocardless"]
    assert [each["method"] for each in paid_by] == [
        "visa ending in 4242",
        "visa ending in 1111",
        "BARCLAYS BANK PLC ending in 11",
    ]


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cli.main", "demo"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=_environ(tmp_path), text=True) as process:
        deadline = monotonic() + 30
        while not list(tmp_path.glob("weir-demo-*/logs/metering.log")):
            assert monotonic() < deadline
            sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert list(tmp_path.glob("weir-demo-*")) == []


def test_customers_without_usage_owe_the_base_fee_and_who_does_not_pay_it_is_dunned(tmp_path: Path) -> None:
    file = tmp_path / "empty.csv"
    file.write_text(HEADER)
    found = demo("--trace", str(file), "--declines", tmp_path=tmp_path)
    assert found["events"] == {"sent": 0, "accepted": 0, "duplicates": 0}
    for customer in found["customers"].values():
        Expected(0, 0, 0).require(customer)
        assert customer["invoice"]["total_minor"] == 2178
    story = found["declines"]
    assert [(each["day"], each["what"]) for each in story["events"]] == [
        (0, "charged"),
        (0, "remind"),
        (1, "charged again"),
        (2, "remind"),
        (3, "charged again"),
        (5, "charged again"),
        (6, "remind"),
        (7, "the end"),
    ]
    assert (story["campaign"], story["invoice"]) == ("exhausted", "finalized, its payment failed")
    assert story["subscription"].startswith("ends ")


if REAL_TRACE.exists():

    def test_an_hour_of_real_requests_comes_to_the_known_cents(tmp_path: Path) -> None:
        found = demo("--trace", str(REAL_TRACE), tmp_path=tmp_path)
        assert found["events"] == {"sent": 17_638, "accepted": 8_819, "duplicates": 8_819}
        for customer, billed in zip(expected(REAL_TRACE.read_bytes()), found["customers"].values(), strict=True):
            customer.require(billed)
        assert [each["invoice"]["total_minor"] for each in found["customers"].values()] == [3898, 3921, 3891]
