"""`weir alerts`, `weir dead-letters` and `weir usage --follow`, as processes of their own against a running server."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.stack.endpoint import SERVICES, Endpoint, write_endpoint
from libs.common.ids import new_id
from libs.common.postgres import Pool, create_pool
from libs.common.rpc.client import channel
from services.metering.alerting import Alerter
from services.metering.connectors.records import Record, Refusal
from services.metering.connectors.store import insert_dead_letters
from services.metering.main import Settings, running
from tests.conftest import Database, Keys
from tests.metering.requests import NOW, event, ingest, make_meters
from weir.metering.v1.metering_pb2_grpc import MeteringServiceStub

NOVEMBER = ("--from", "2023-11-01")


@dataclass(frozen=True, slots=True)
class Weir:
    """A metering server, and commands that find it."""

    data: Path
    port: int
    pool: Pool
    metering: Any

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli.main", *arguments, "--data", str(self.data),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip

    async def __call__(self, *arguments: str) -> tuple[int | None, str, str]:
        process = await self.start(*arguments)
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    async def json(self, *arguments: str) -> Any:
        code, out, err = await self(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)


@pytest.fixture
async def weir(database: Database, keys: Keys, tmp_path: Path) -> AsyncIterator[Weir]:
    dsn = database.dsns["metering"]
    async with (
        running(Settings(dsn, keys.public_pem, "127.0.0.1:0"), lambda: NOW) as port,
        channel(f"127.0.0.1:{port}", keys.api_key()) as opened,
        await create_pool(dsn) as pool,
    ):
        endpoint = Endpoint("acme", keys.api_key(), dict.fromkeys(SERVICES, f"127.0.0.1:{port}"))
        write_endpoint(tmp_path, endpoint)
        metering = MeteringServiceStub(opened)
        await make_meters(metering)
        yield Weir(tmp_path, port, pool, metering)


async def test_an_alert_is_made_listed_and_deleted_and_its_triggers_stay(weir: Weir) -> None:
    assert (await weir("alerts", "list"))[1] == "No alerts yet.\n"
    words = ("--subscription", "sub-0", "--meter", "tokens", "--threshold", "warn=80", "--threshold", "100")
    made = await weir.json("alerts", "create", "quota", *words, "--every", "50", "--time-zone", "Europe/Paris")
    assert made["alert"]["thresholds"] == [{"code": "warn", "value": "80"}, {"code": "", "value": "100"}]
    await ingest(weir.metering, [event("t", tokens="1200.5")])
    alerter = Alerter(weir.pool, lambda: NOW)
    while await alerter.alert():
        pass
    listed = (await weir("alerts", "list", "--subscription", "sub-0"))[1]
    assert "80, 100, every 50" in listed
    assert "1,200.5" in listed
    found = (await weir.json("alerts", "triggers", "quota"))["triggers"]
    assert [each["threshold"]["value"] for each in found[:3]] == ["80", "100", "150"]
    assert (await weir.json("alerts", "delete", "quota"))["alert"]["delete_time"]
    assert (await weir("alerts", "list"))[1] == "No alerts yet.\n"
    assert "warn 80" in (await weir("alerts", "triggers"))[1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--threshold", "many"), "[DECIMAL_MALFORMED]"),
        (("--threshold", "1", "--filter", "model"), "--filter: 'model' is not PROPERTY=VALUE"),
        (("--threshold", "1", "--filter", "model=a,b"), "[DIMENSION_UNKNOWN]"),
    ],
)
async def test_an_alert_that_makes_no_sense_is_one_line(weir: Weir, words: tuple[str, ...], expected: str) -> None:
    code, out, err = await weir("alerts", "create", "quota", "--subscription", "s", "--meter", "tokens", *words)
    assert (code, out, err.count("\n")) == (2 if "--filter:" in expected else 1, "", 1)
    assert err.rstrip().endswith(expected)


async def test_a_meter_measures_otherwise_from_a_time_on_and_keeps_what_is_not_told(weir: Weir) -> None:
    assert "tokens" in (await weir("meters", "list"))[1]
    words = ("--property", "credits", "--expression", "event.properties.tokens * 2", "--rounding", "ceil:1")
    made = (await weir.json("meters", "change", "tokens", *words, "--from", "2023-12-01"))["version"]
    [first, second] = (await weir.json("meters", "versions", "tokens"))["versions"]
    assert made == second
    assert second["definition"] == first["definition"] | {
        "value_property": "credits",
        "expression": "event.properties.tokens * 2",
        "rounding": {"function": "FUNCTION_CEIL", "precision": 1},
    }
    words = ("--filter", "model=a,b", "--dimension", "model", "--rounding", "", "--expression", "")
    assert (await weir("meters", "change", "tokens", *words, "--from", "2024-01-01T06:00:00Z"))[1] == (
        "tokens measures by version 3 from 2024-01-01T06:00:00Z on.\n"
    )
    shown = (await weir("meters", "versions", "tokens"))[1]
    assert "the beginning" in shown
    assert "model=a,b" in shown
    third = (await weir.json("meters", "versions", "tokens"))["versions"][2]["definition"]
    assert (third["value_property"], third["expression"], "rounding" in third) == ("credits", "", False)


async def test_an_expression_is_tried_on_a_sample(weir: Weir) -> None:
    assert (await weir("meters", "evaluate", "event.properties.n * 1.5", "n=3"))[1] == "4.5\n"
    code, out, err = await weir("meters", "evaluate", "event.properties.n *", "n=3")
    assert (code, out, err.count("\n")) == (1, "", 1)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--rounding", "up"), "--rounding: 'up' is not round, ceil or floor, such as ceil:2"),
        (("--filter", "model"), "--filter: 'model' is not a name and a value such as model=large"),
        (("--from", "soon"), "--from: "),
        (("--property", "x", "--from", "2023-11-01"), "[EFFECTIVE_TIME_TOO_EARLY]"),
    ],
)
async def test_a_version_that_makes_no_sense_is_one_line(weir: Weir, words: tuple[str, ...], expected: str) -> None:
    code, out, err = await weir("meters", "change", "tokens", *words)
    assert (code != 0, out, err.count("\n")) == (True, "", 1)
    assert expected in err


async def test_dead_letters_are_listed_shown_and_replayed(weir: Weir) -> None:
    assert (await weir("dead-letters", "list"))[1] == "No dead letters.\n"
    ids = [new_id("dl", NOW) for _ in range(3)]
    refusal = Refusal("timestamp", "FIELD_MISSING", "timestamp is required")
    letters = [(each, Record(f"topic/0/{n}", b'{"when": "[soon]"}'), refusal) for n, each in enumerate(ids)]
    async with weir.pool.acquire() as conn:
        await insert_dead_letters(conn, "acme", "orders", letters, NOW)
    assert {each["id"] for each in (await weir.json("dead-letters", "list"))["dead_letters"]} == set(ids)
    shown = (await weir("dead-letters", "show", ids[1]))[1]
    assert "FIELD_MISSING: timestamp is required" in shown
    assert '{"when": "[soon]"}' in shown
    assert (await weir.json("dead-letters", "replay", ids[1]))["requested_count"] == "1"
    assert (await weir("dead-letters", "replay", "--connector", "orders"))[1] == "2 to be mapped again.\n"
    assert (await weir.json("dead-letters", "list", "--state", "waiting"))["dead_letters"] == []
    code, out, err = await weir("dead-letters", "show", "dl_none")
    assert (code, out, err) == (1, "", "weir: there is no dead letter dl_none\n")


async def test_usage_is_followed_until_it_is_interrupted(weir: Weir) -> None:
    asked = ("usage", "sub-0", "--meter", "tokens", *NOVEMBER, "--to", "2023-12-01")
    following = await weir.start(*asked, "--follow", "--json")
    assert following.stdout is not None
    quantities = []
    for number in range(3):
        line = json.loads(await following.stdout.readline())
        quantities.append(line["usages"][0]["quantity"])
        await ingest(weir.metering, [event(f"t-{number}", tokens="5")])
    assert quantities == ["0", "5", "10"]
    following.terminate()
    assert (await following.communicate())[1] == b""
    assert following.returncode == 130
    table = await weir.start(*asked, "--follow")
    assert table.stdout is not None
    shown = b"".join([await table.stdout.readline() for _ in range(4)])
    table.terminate()
    await table.communicate()
    assert b"sub-0, 2023-11-01 to 2023-12-01" in shown
    assert b"15" in shown


async def test_following_what_is_not_there_is_one_line(weir: Weir) -> None:
    code, out, err = await weir("usage", "sub-0", "--meter", "none", *NOVEMBER, "--follow")
    assert (code, out) == (1, "")
    assert err.endswith("[METER_NOT_FOUND]\n")


async def test_following_goes_on_when_its_server_is_replaced(
    weir: Weir, database: Database, keys: Keys, tmp_path: Path
) -> None:
    settings = Settings(database.dsns["metering"], keys.public_pem, "127.0.0.1:0")
    async with running(settings, lambda: NOW) as port:
        endpoint = Endpoint("acme", keys.api_key(), dict.fromkeys(SERVICES, f"127.0.0.1:{port}"))
        write_endpoint(tmp_path, endpoint)
        following = await weir.start("usage", "sub-0", "--meter", "tokens", *NOVEMBER, "--follow", "--json")
        assert following.stdout is not None
        assert json.loads(await following.stdout.readline())["usages"][0]["quantity"] == "0"
    await ingest(weir.metering, [event("t", tokens="5")])
    async with running(Settings(settings.dsn, settings.public_keys, f"127.0.0.1:{port}"), lambda: NOW):
        assert json.loads(await following.stdout.readline())["usages"][0]["quantity"] == "5"
        following.terminate()
        await following.communicate()
