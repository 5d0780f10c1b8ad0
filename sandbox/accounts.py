"""One account at a processor as one request sees it: its documents, and where its webhooks go."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.state import Document, Json, Owner, State
from sandbox.webhooks import Outbox

ENDPOINT = "webhook_endpoint"


class NoSuch(Exception):
    """What the control API is asked about is not there, or not in the state for it."""


@dataclass(frozen=True, slots=True)
class Account:
    """Use it inside a transaction of the state. `now` is in unix seconds."""

    state: State
    outbox: Outbox
    owner: Owner
    now: float

    def find(self, kind: str, document_id: str) -> Json | None:
        document = self.state.get(self.owner, kind, document_id)
        return None if document is None else document.body

    def private(self, kind: str, document_id: str) -> Json:
        document = self.state.get(self.owner, kind, document_id)
        return {} if document is None else document.private

    def every(self, kind: str) -> list[Document]:
        return self.state.every(self.owner, kind)

    def create(self, kind: str, body: Json, private: Json | None = None) -> None:
        self.state.insert(self.owner, kind, body, private or {}, int(self.now))

    def save(self, kind: str, body: Json, private: Json | None = None) -> None:
        """Write the document back; `private` stays what it was unless given."""
        self.state.replace(self.owner, body, self.private(kind, body["id"]) if private is None else private)

    def deliver(self, event_id: str, body: Callable[[str], Json]) -> None:
        """Have a webhook sent to each endpoint; `body` is made with the endpoint's secret."""
        for endpoint in self.every(ENDPOINT):
            text = json.dumps(body(endpoint.private["secret"]), ensure_ascii=False)
            self.outbox.put(self.owner, endpoint.id, event_id, text, self.now)

    def connect(self, endpoint_id: str, url: str, secret: str) -> str:
        """What a merchant sets up on the processor's site: where webhooks go. Returns their secret: `secret`, or what
        it has been before.
        """
        for endpoint in self.every(ENDPOINT):
            self.save(ENDPOINT, endpoint.body | {"url": url})
            return str(endpoint.private["secret"])
        self.create(ENDPOINT, {"id": endpoint_id, "url": url, "status": "enabled"}, {"secret": secret})
        return secret
