"""gRPC: the server that every service runs, the channel that every client uses, and the errors between them."""

MAX_MESSAGE_BYTES = 64 * 1024 * 1024

REQUEST_ID = "x-request-id"
"""Metadata that names a call in the logs of every service it reaches. A server makes one up where there is none."""
