"""Objects under a prefix of an S3 bucket, or of a store that speaks S3's protocol."""

import io
from collections.abc import Iterator, Sequence
from typing import IO, Any, cast

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from botocore.response import StreamingBody

from services.metering.connectors.config import Fields
from services.metering.connectors.records import SourceAway
from services.metering.connectors.sources.files import Object

BUFFER_BYTES = 1024 * 1024


def bucket(name: str, prefix: str, options: Fields) -> "Bucket":
    """Options: region, endpoint_url. Credentials come as the AWS SDK finds them."""
    region, endpoint_url = options.text("region", "") or None, options.text("endpoint_url", "") or None
    try:
        return Bucket(boto3.client("s3", region_name=region, endpoint_url=endpoint_url), name, prefix)
    except (BotoCoreError, ValueError) as error:
        raise options.wrong("endpoint_url", f"or another option is wrong: {error}") from None


class Bucket:
    def __init__(self, client: Any, name: str, prefix: str) -> None:
        self._client = client
        self._name = name
        self._prefix = prefix

    def pages(self) -> Iterator[Sequence[Object]]:
        listing = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=self._prefix)
        try:
            for page in listing:
                yield [Object(each["Key"], f"{each['ETag']}-{each['Size']}") for each in page.get("Contents", ())]
        except (BotoCoreError, ClientError) as error:
            raise SourceAway(str(error)) from error

    def open(self, each: Object) -> IO[bytes]:
        etag = each.version.rpartition("-")[0]
        try:
            body = self._client.get_object(Bucket=self._name, Key=each.name, IfMatch=etag)["Body"]
        except (BotoCoreError, ClientError) as error:
            raise SourceAway(str(error)) from error
        return io.BufferedReader(_Body(body), BUFFER_BYTES)


class _Body(io.RawIOBase):
    """What arrives of an object. Raises SourceAway where the connection breaks off."""

    def __init__(self, body: StreamingBody) -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            return cast("int", self._body.readinto(buffer))
        except BotoCoreError as error:
            raise SourceAway(str(error)) from error

    def close(self) -> None:
        self._body.close()
        super().close()
