"""Sources: a module each, imported only by a connector that reads from it, with the library that it needs."""

from contextlib import AbstractAsyncContextManager

from libs.common.clock import Clock
from libs.common.postgres import Pool
from libs.common.settings import SettingsError
from services.metering.connectors.config import Config
from services.metering.connectors.records import Source


def open_source(config: Config, pool: Pool, clock: Clock) -> AbstractAsyncContextManager[Source]:
    """Raises SettingsError for wrong options, and where the source's library is not installed."""
    try:
        match config.kind:
            case "kafka":
                from services.metering.connectors.sources import kafka

                return kafka.opened(config)
            case "sqs":
                from services.metering.connectors.sources import sqs

                return sqs.opened(config)
            case "redis_streams":
                from services.metering.connectors.sources import redis_streams

                return redis_streams.opened(config)
            case "files":
                from services.metering.connectors.sources import files

                return files.opened(config, pool, clock)
    except ModuleNotFoundError as error:
        raise SettingsError(f"source.kind {config.kind} needs {error.name}: install weir[connectors]") from None
    raise ValueError(f"{config.kind} is no source that is read")
