"""Notices on the wire."""

import re
from datetime import datetime

from google.protobuf.struct_pb2 import Struct

from libs.common.errors import InvalidArgument, NotFound
from libs.common.wire import text_in, timestamp_out
from services.payments.convert.processors import url_in
from services.payments.domain.notice import TYPES, Delivery, Endpoint
from weir.payments.v1 import notices_pb2 as pb

_NOTICE_ID = re.compile(r"ntc_([0-9]{1,18})")


def endpoint_in(message: pb.NoticeEndpoint, present: bool, tenant_id: str, endpoint_id: str, now: datetime) -> Endpoint:
    if not present:
        raise InvalidArgument("FIELD_MISSING", "notice_endpoint is required", field="notice_endpoint")
    for kind in message.types:
        if kind not in TYPES:
            known = ", ".join(sorted(TYPES))
            raise InvalidArgument(
                "NOTICE_TYPE_UNKNOWN", f"{kind[:64]!r} is none of {known}", field="notice_endpoint.types"
            )
    url = url_in(message.url, "notice_endpoint.url")
    return Endpoint(tenant_id, endpoint_id, url, tuple(dict.fromkeys(message.types)), now)


def endpoint_out(endpoint: Endpoint) -> pb.NoticeEndpoint:
    return pb.NoticeEndpoint(
        id=endpoint.id, url=endpoint.url, types=endpoint.types, create_time=timestamp_out(endpoint.create_time)
    )


def serial_in(notice_id: str) -> int:
    """Of a notice's id. Raises NotFound where it is none."""
    found = _NOTICE_ID.fullmatch(text_in(notice_id, "notice_id"))
    if found is None:
        raise NotFound("NOTICE_DELIVERY_NOT_FOUND", f"there is no notice {notice_id}", notice_id=notice_id)
    return int(found[1])


def delivery_out(delivery: Delivery) -> pb.NoticeDelivery:
    data = Struct()
    data.update(dict(delivery.notice.data))
    return pb.NoticeDelivery(
        notice_id=delivery.notice.id,
        type=delivery.notice.type,
        data=data,
        create_time=timestamp_out(delivery.notice.create_time),
        state=pb.NoticeDelivery.State.Value(f"STATE_{delivery.state}"),
        tries=delivery.tries,
        error=delivery.error,
        end_time=timestamp_out(delivery.end_time),
    )
