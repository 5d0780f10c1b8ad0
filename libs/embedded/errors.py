class EmbeddedServerError(Exception):
    """An embedded server cannot be started or has ended too soon; the text says why and, where it helps, its log."""
