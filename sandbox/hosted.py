"""The processors' own pages, as plain forms: a person picks how it goes, and is sent back. Tests post JSON."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.accounts import Account, NoSuch
from sandbox.control import ControlError, json_object
from sandbox.state import State
from sandbox.webhooks import Clock, Outbox

PATH = "/_sandbox/pages/{page}"
FORM = """<!doctype html><title>Weir sandbox</title><style>body {{ font: 16px system-ui; margin: 3em }}</style>
<h1>{processor}</h1><form method="post"><select name="method">{options}</select> <button>Continue</button></form>"""


@dataclass(frozen=True, slots=True)
class Host:
    """A processor's pages: what can be picked on them, and what becomes of it. `complete` answers with the URL that the
    customer is sent to, and raises NoSuch for a page that is not open.
    """

    methods: Sequence[str]
    complete: Callable[[Account, str, str], str]


@dataclass(frozen=True, slots=True)
class Pages:
    state: State
    outbox: Outbox
    clock: Clock
    committed: Callable[[], None]
    hosts: Mapping[str, Host]

    def routes(self) -> list[Route]:
        return [Route(PATH, self.show, methods=["GET"]), Route(PATH, self.complete, methods=["POST"])]

    async def show(self, request: Request) -> Response:
        processor, _ = self._find(request.path_params["page"])
        options = "".join(f"<option>{html.escape(name)}</option>" for name in self.hosts[processor].methods)
        return HTMLResponse(FORM.format(processor=processor, options=options))

    async def complete(self, request: Request) -> Response:
        """{"method": ...}, as JSON or a form."""
        by_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        given = dict(parse_qsl((await request.body()).decode())) if by_form else await json_object(request)
        page_id, method = request.path_params["page"], given.get("method")
        processor, account = self._find(page_id)
        host = self.hosts[processor]
        if method not in host.methods:
            raise ControlError(f"method is one of {', '.join(host.methods)}")
        with self.state.transaction():
            return_url = host.complete(account, page_id, str(method))
        self.committed()
        if by_form and return_url:
            return RedirectResponse(return_url, 303)
        return JSONResponse({"return_url": return_url})

    def _find(self, page_id: str) -> tuple[str, Account]:
        for processor in self.hosts:
            if (owner := self.state.owner_of(processor, page_id)) is not None:
                return processor, Account(self.state, self.outbox, owner, self.clock())
        raise NoSuch(f"there is no page {page_id}")
