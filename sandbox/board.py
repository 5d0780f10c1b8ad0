"""The page at `/`: what happened, what waits, and buttons for what people, banks and processors may do about it."""

import html
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from sandbox.faults import FaultKind, Faults
from sandbox.state import Json, State
from sandbox.webhooks import Deliverer

SHOWN = 100
RECENT_EVENTS = """
SELECT d.created, d.processor, d.account,
       coalesce(json_extract(d.body, '$.type'),
                json_extract(d.body, '$.resource_type') || '.' || json_extract(d.body, '$.action')), d.id,
       (SELECT group_concat(state || ' ' || outcome, ', ') FROM delivery WHERE event = d.id)
FROM document AS d WHERE d.kind = 'event' ORDER BY d.seq DESC LIMIT 100
"""
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Weir sandbox</title>
<style>
body {{ font: 14px system-ui; margin: 2em; color: #222 }}
h2 {{ margin: 1.5em 0 .5em }}
table {{ border-collapse: collapse }}
td, th {{ padding: .25em 1.2em .25em 0; text-align: left; border-bottom: 1px solid #eee; vertical-align: top }}
td:first-child {{ white-space: nowrap }}
button, select, input {{ font: inherit; margin-right: .3em }}
#said {{ color: #a00; margin-left: 1em }}
</style>
<h1>Weir sandbox</h1>
<p>{actions}<span id="said" role="status"></span></p>
<form id="fault"><select name="kind" aria-label="fault">{faults}</select>
<input name="path" value="*" aria-label="path" size="24">
<input name="times" type="number" value="1" min="1" aria-label="times">
<button>Have the next requests fail</button> {pending}</form>
<h2>What waits, and what may be taken back</h2>{waiting}
<h2>The last events, newest first</h2>{events}
<p>The control API behind the buttons is described in sandbox/README.md.</p>
<script>
async function post(path, body) {{
  const answer = await fetch(path, {{method: "POST", body: JSON.stringify(body)}});
  if (answer.ok) location.reload();
  else document.getElementById("said").textContent = (await answer.json()).error;
}}
document.addEventListener("click", event => {{
  const button = event.target.closest("button[data-path]");
  if (button) post(button.dataset.path, JSON.parse(button.dataset.body));
}});
document.getElementById("fault").addEventListener("submit", event => {{
  event.preventDefault();
  const given = new FormData(event.target);
  post("/_sandbox/faults", {{kind: given.get("kind"), path: given.get("path"), times: Number(given.get("times"))}});
}});
</script></html>"""


@dataclass(frozen=True, slots=True)
class Action:
    """A button: what it says, and the request to the control API that it makes."""

    label: str
    path: str
    body: Mapping[str, Json | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something at a processor that may become this or that. `amount` is in the smallest unit of the currency."""

    kind: str
    id: str
    amount: int
    currency: str
    status: str
    actions: Sequence[Action]


SETTLE = {"succeeded": "Succeed", "failed": "Fail"}


def settling(path: str, labels: Mapping[str, str] = SETTLE) -> tuple[Action, ...]:
    return tuple(Action(label, path, {"outcome": outcome}) for outcome, label in labels.items())


@dataclass(frozen=True, slots=True)
class Board:
    """`waiting` lists what waits at each processor, newest first."""

    state: State
    deliverer: Deliverer
    faults: Faults
    waiting: Mapping[str, Callable[[], Iterable[Waiting]]]

    def routes(self) -> list[Route]:
        return [Route("/", self.show)]

    async def show(self, request: Request) -> Response:
        held = self.deliverer.paused
        actions = [
            Action("A banking day passes", "/_sandbox/gocardless/next_day"),
            Action("Stripe pays out", "/_sandbox/stripe/payouts"),
            Action("Adyen pays out", "/_sandbox/adyen/payouts"),
            Action("Send webhooks again", "/_sandbox/webhooks/resume")
            if held
            else Action("Hold webhooks back", "/_sandbox/webhooks/pause"),
            Action("Repeat all webhooks", "/_sandbox/webhooks/replay"),
        ]
        rows = [
            (processor, each.kind, each.id, f"{each.amount} {each.currency.upper()}", each.status, each.actions)
            for processor, listed in self.waiting.items()
            for each in list(listed())[:SHOWN]
        ]
        pending = ", ".join(f"{fault.times} × {fault.kind} {fault.path}" for fault in self.faults.pending)
        page = PAGE.format(
            actions=_buttons(actions),
            faults="".join(f"<option>{kind}</option>" for kind in FaultKind),
            pending=html.escape(pending and f"ordered: {pending}"),
            waiting=_table(("processor", "what", "id", "amount", "status", ""), rows),
            events=_table(
                ("time", "processor", "account", "type", "event", "webhooks"),
                [tuple(row) for row in self.state.connection.execute(RECENT_EVENTS)],
            ),
        )
        return HTMLResponse(page)


def _table(names: Sequence[str], rows: Sequence[tuple[object, ...]]) -> str:
    if not rows:
        return "<p>Nothing.</p>"
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(cell: object) -> str:
    return _buttons(cell) if isinstance(cell, tuple) else html.escape("" if cell is None else str(cell))


def _buttons(actions: Iterable[Action]) -> str:
    return " ".join(
        f'<button type="button" data-path="{html.escape(each.path)}"'
        f' data-body="{html.escape(json.dumps(dict(each.body)))}">{html.escape(each.label)}</button>'
        for each in actions
    )
