"""One Stripe account as one request sees it: its objects, and the events that tell of their changes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sandbox.state import Json, Owner, Query, State
from sandbox.stripe import errors, objects
from sandbox.webhooks import Outbox

PROCESSOR = "stripe"
ALL_EVENTS = "*"
DEFAULT_PAGE, MAX_PAGE = 10, 100


@dataclass(frozen=True, slots=True)
class Account:
    """Use it inside a transaction of the state. `now` is in unix seconds; `request` is what events name as their
    cause: {"id", "idempotency_key"}, both null for what happened by itself."""

    state: State
    outbox: Outbox
    owner: Owner
    now: int
    request: Json

    def find(self, kind: str, object_id: str) -> Json | None:
        document = self.state.get(self.owner, kind, object_id)
        return None if document is None else document.body

    def require(self, kind: str, object_id: str, param: str, *, in_path: bool = False) -> Json:
        """Raises StripeError resource_missing: 404 for an id in the path, 400 for one in a parameter."""
        found = self.find(kind, object_id)
        if found is None:
            raise errors.no_such(kind, object_id, param, in_path=in_path)
        return found

    def private(self, body: Json) -> Json:
        document = self.state.get(self.owner, body["object"], body["id"])
        return {} if document is None else document.private

    def create(self, body: Json, private: Json | None = None) -> None:
        self.state.insert(self.owner, body["object"], body, private or {}, self.now)

    def save(self, body: Json, private: Json | None = None) -> None:
        """Write the object back; `private` stays what it was unless given."""
        self.state.replace(self.owner, body, self.private(body) if private is None else private)

    def delete(self, body: Json) -> None:
        self.state.delete(self.owner, body["id"])

    def emit(self, kind: str, subject: Json, previous: Json | None = None) -> None:
        """Record an event and a delivery for each endpoint that wants it."""
        endpoints = [
            endpoint.id
            for endpoint in self.state.every(self.owner, "webhook_endpoint")
            if endpoint.body["status"] == "enabled"
            and not {kind, ALL_EVENTS}.isdisjoint(endpoint.body["enabled_events"])
        ]
        event = objects.event(kind, subject, previous, self.request, len(endpoints), self.now)
        self.create(event)
        for endpoint in endpoints:
            self.outbox.put(self.owner, endpoint, event["id"], json.dumps(event, ensure_ascii=False), self.now)

    def page(self, kind: str, url: str, params: Json, filters: Mapping[str, Sequence[str]]) -> Json:
        """A list object, newest first, by the usual `limit`, `starting_after`, `ending_before` and `created`."""
        for cursor in ("starting_after", "ending_before"):
            if cursor in params:
                self.require(kind, params[cursor], cursor)
        limit = params.get("limit", DEFAULT_PAGE)
        query = Query(
            filters=filters,
            limit=limit + 1,
            older_than=params.get("starting_after"),
            newer_than=params.get("ending_before"),
            **params.get("created", {}),
        )
        found = [document.body for document in self.state.select(self.owner, kind, query)]
        more = len(found) > limit
        if more:
            del found[0 if query.newer_than else -1]
        return {"object": "list", "url": url, "has_more": more, "data": found}
