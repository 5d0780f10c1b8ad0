"""A connector that is configured wrongly does not start, and says what is wrong in one line."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from libs.common.clock import system_clock
from libs.common.settings import SettingsError
from services.metering.connectors.config import read_config
from services.metering.connectors.sources import open_source
from tests.metering.connectors.world import MAPPING, World, process

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "connectors").glob("*.yaml"))
KAFKA = {"kind": "kafka", "brokers": "127.0.0.1:1", "topics": ["usage"], "group": "weir"}
SQS = {"kind": "sqs", "queue_url": "http://127.0.0.1:1/q"}
FILES = {"kind": "files", "url": "file:///tmp"}
HTTP = {"kind": "http", "listen": "127.0.0.1:0"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_right(path: Path) -> None:
    assert read_config(str(path)).name


def test_there_is_an_example_of_each_kind() -> None:
    assert {read_config(str(path)).kind for path in EXAMPLES} == {"kafka", "sqs", "redis_streams", "files", "http"}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "Usage"}, "name must be"),
        ({"name": ""}, "name is required"),
        ({"tenant": ""}, "tenant is required"),
        ({"source": None}, "source must name"),
        ({"source": {"kind": "ftp"}}, "source.kind is 'ftp'"),
        ({"source": HTTP}, "tenant has no meaning"),
        ({"batch_size": 0}, "batch_size is '0'"),
        ({"colour": "red"}, "colour is not a field"),
        ({"mapping": MAPPING | {"code": ""}}, "mapping.code must be"),
    ],
)
def test_a_wrong_file_is_refused_by_field(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    path = tmp_path / "connector.yaml"
    given = {"name": "usage", "tenant": "acme", "source": KAFKA, "mapping": MAPPING} | changes
    path.write_text(yaml.safe_dump(given))
    with pytest.raises(SettingsError, match=re.escape(complaint)):
        read_config(str(path))


@pytest.mark.parametrize(("text", "complaint"), [("a: [", "is not YAML"), ("- a", "the file must"), (None, "can't be")])
def test_a_file_must_be_yaml(tmp_path: Path, text: str | None, complaint: str) -> None:
    path = tmp_path / "connector.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError, match=complaint):
        read_config(str(path))


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ({**KAFKA, "topics": "usage"}, "source.topics must be a list"),
        ({**KAFKA, "start": "now"}, "source.start is 'now'"),
        ({**KAFKA, "settings": {"enable.auto.commit": "true"}}, "source.settings.enable.auto.commit can't be set"),
        ({**KAFKA, "settings": {"nonsense": "1"}}, "source.settings are refused"),
        ({**SQS, "visibility_seconds": "0"}, "source.visibility_seconds is '0'"),
        ({**SQS, "queue": "q"}, "source.queue is not a field"),
        ({**FILES, "url": "ftp://host/folder"}, "source.url is 'ftp://host/folder'"),
        ({**FILES, "delimiter": ";;"}, "source.delimiter must be one character"),
        ({**FILES, "format": "xml"}, "source.format is 'xml'"),
        ({"kind": "redis_streams", "url": "http://x", "stream": "s", "group": "g"}, "source.url is wrong"),
    ],
)
async def test_a_wrong_source_is_refused_by_field(tmp_path: Path, source: dict[str, Any], complaint: str) -> None:
    path = tmp_path / "connector.yaml"
    path.write_text(yaml.safe_dump({"name": "usage", "tenant": "acme", "source": source, "mapping": MAPPING}))
    unconnected = asyncpg.create_pool("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(SettingsError, match=re.escape(complaint)):
        open_source(read_config(str(path)), unconnected, system_clock)


async def test_a_process_that_cannot_start_says_why(world: World) -> None:
    async with process(world.settings({**HTTP, "listen": "here"}, "cloudevents")) as started:
        assert await started.wait() == 2
    log = (world.folder / "connector.log").read_text()
    assert log == "metering: WEIR_CONNECTOR_CONFIG: source.listen is 'here'; it must be host:port\n"


async def test_neither_a_server_nor_another_source_loads_a_sources_library() -> None:
    code = (
        "import sys, services.metering.main, services.metering.connectors.main\n"
        "import services.metering.connectors.sources.files\n"
        "print(sorted({'boto3', 'confluent_kafka', 'pyarrow'} & sys.modules.keys()))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert (await process.communicate())[0] == b"[]\n"
