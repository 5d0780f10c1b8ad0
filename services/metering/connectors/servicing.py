"""The RPCs about dead letters."""

from libs.common.clock import Clock
from libs.common.errors import InvalidArgument
from libs.common.paging import page_in
from libs.common.postgres import Pool
from libs.common.wire import text_in, timestamp_out
from services.metering.connectors import store
from services.metering.connectors.store import State
from weir.metering.v1 import metering_pb2

MAX_IDS = 10_000

_STATES = {
    metering_pb2.DeadLetter.STATE_WAITING: State.WAITING,
    metering_pb2.DeadLetter.STATE_REQUESTED: State.REQUESTED,
    metering_pb2.DeadLetter.STATE_REPLAYED: State.REPLAYED,
}
_STATES_OUT = {state: number for number, state in _STATES.items()}


async def list_dead_letters(
    pool: Pool, tenant_id: str, request: metering_pb2.ListDeadLettersRequest
) -> metering_pb2.ListDeadLettersResponse:
    page = page_in(request.page_size, request.page_token)
    connector = text_in(request.connector, "connector", required=False)
    if request.state and request.state not in _STATES:
        raise InvalidArgument("ENUM_VALUE_UNKNOWN", f"state is {request.state}", field="state")
    state = _STATES.get(request.state)
    async with pool.acquire() as conn:
        found = await store.list_dead_letters(conn, tenant_id, connector, state, page)
    letters, token = page.cut(found, lambda letter: letter.id)
    return metering_pb2.ListDeadLettersResponse(dead_letters=map(_letter_out, letters), next_page_token=token)


async def replay_dead_letters(
    pool: Pool, clock: Clock, tenant_id: str, request: metering_pb2.ReplayDeadLettersRequest
) -> metering_pb2.ReplayDeadLettersResponse:
    ids = [text_in(each, f"ids[{index}]") for index, each in enumerate(request.ids)]
    connector = text_in(request.connector, "connector", required=False)
    reason = text_in(request.reason, "reason", required=False)
    if len(ids) > MAX_IDS:
        raise InvalidArgument("IDS_TOO_MANY", f"{len(ids)} ids in one request, {MAX_IDS} at most", field="ids")
    if not ids and not connector:
        raise InvalidArgument("FIELD_MISSING", "ids or connector is required", field="ids")
    async with pool.acquire() as conn:
        count = await store.request_replays(conn, tenant_id, ids, connector, reason, clock())
    return metering_pb2.ReplayDeadLettersResponse(requested_count=count)


def _letter_out(letter: store.DeadLetter) -> metering_pb2.DeadLetter:
    return metering_pb2.DeadLetter(
        id=letter.id,
        connector=letter.connector,
        position=letter.position,
        record=letter.record,
        field=letter.refusal.field,
        reason=letter.refusal.reason,
        message=letter.refusal.message,
        state=_STATES_OUT[letter.state],
        create_time=timestamp_out(letter.create_time),
        request_time=timestamp_out(letter.request_time),
        replay_time=timestamp_out(letter.replay_time),
    )
