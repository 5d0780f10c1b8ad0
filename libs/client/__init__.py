"""The Python client for sending usage events. What it has taken survives the outage of either side: docs/client.md."""

from libs.client.recording import RefusedEvent
from libs.client.usage_client import BlockingUsageClient, UsageClient
from weir.metering.v1.metering_pb2 import Event

__all__ = ["BlockingUsageClient", "Event", "RefusedEvent", "UsageClient"]
