"""Local stand-ins for the payment processors: the unmodified official SDKs work against them by base URL."""
