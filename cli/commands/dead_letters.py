"""`weir dead-letters`."""

from collections.abc import Awaitable
from pathlib import Path

from cli.connection import connected_to, pages
from cli.errors import CliError, WrongUsage
from cli.output import as_dict, console, instant, print_json, print_list, print_table, state
from weir.metering.v1.metering_pb2 import (
    DeadLetter,
    ListDeadLettersRequest,
    ListDeadLettersResponse,
    ReplayDeadLettersRequest,
)

PAGE_SIZE = 500


async def list_dead_letters(data: Path, connector: str, state_name: str, *, as_json: bool) -> None:
    found = await _all(data, connector, _state_number(state_name))
    if as_json:
        print_list("dead_letters", found)
        return
    rows = [
        (
            instant(each.create_time),
            each.connector,
            each.position,
            each.field or "-",
            each.reason,
            state(DeadLetter.State, each.state),
            each.id,
        )
        for each in found
    ]
    columns = ("time", "connector", "position", "field", "reason", "state", "id")
    print_table(columns, rows, nothing="No dead letters.")


async def show_dead_letter(data: Path, letter_id: str, *, as_json: bool) -> None:
    letter = next((each for each in await _all(data) if each.id == letter_id), None)
    if letter is None:
        raise CliError(f"there is no dead letter {letter_id}")
    if as_json:
        print_json({"dead_letter": as_dict(letter)})
        return
    lines = {
        "connector": letter.connector,
        "position": letter.position,
        "state": state(DeadLetter.State, letter.state),
        "field": letter.field or "-",
        "reason": f"{letter.reason}: {letter.message}",
        "made": instant(letter.create_time),
        "replay asked": instant(letter.request_time),
        "replayed": instant(letter.replay_time),
    }
    for name, value in lines.items():
        console.print(f"{name:<13} {value}", markup=False, soft_wrap=True)
    console.print(f"\n{letter.record}", markup=False, soft_wrap=True)


async def replay_dead_letters(data: Path, ids: tuple[str, ...], connector: str, reason: str, *, as_json: bool) -> None:
    if not ids and not connector:
        raise WrongUsage("name the IDs of dead letters, or a --connector")
    request = ReplayDeadLettersRequest(ids=ids, connector=connector, reason=reason)
    async with connected_to(data) as services:
        answer = await services.metering.ReplayDeadLetters(request)
    if as_json:
        print_json(as_dict(answer))
    else:
        console.print(f"{answer.requested_count} to be mapped again.", markup=False)


async def _all(
    data: Path, connector: str = "", number: "DeadLetter.State.ValueType" = DeadLetter.STATE_UNSPECIFIED
) -> list[DeadLetter]:
    request = ListDeadLettersRequest(connector=connector, page_size=PAGE_SIZE, state=number)

    async with connected_to(data) as services:

        def page(token: str) -> Awaitable[ListDeadLettersResponse]:
            request.page_token = token
            return services.metering.ListDeadLetters(request)

        return await pages(page, "dead_letters")


def _state_number(name: str) -> "DeadLetter.State.ValueType":
    words = {state(DeadLetter.State, number): number for number in DeadLetter.State.values() if number}
    if name and name not in words:
        raise WrongUsage(f"--state: {name!r} is none of {', '.join(words)}")
    return words.get(name, DeadLetter.STATE_UNSPECIFIED)
