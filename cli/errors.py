"""What the command line itself can object to. Services object with BillingError."""


class CliError(Exception):
    """Something the user can put right; each line of the text says what."""

    exit_code = 1


class WrongUsage(CliError):
    """The arguments contradict each other or what is here."""

    exit_code = 2
