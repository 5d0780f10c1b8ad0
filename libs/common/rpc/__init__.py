"""gRPC: the server that every service runs, the channel that every client uses, and the errors between them."""

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
