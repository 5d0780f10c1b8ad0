"""`weir`: the command line. This file is its root, and the one place where an error becomes a line.

`cli/arguments` says what can be typed and imports next to nothing, so that `--help` and completion are quick;
`cli/commands` does it.
"""

import sys
import traceback
from collections.abc import Sequence

import typer

from cli.arguments import (
    alerts,
    archive,
    billing,
    billing_runs,
    catalog,
    charges,
    collection,
    corrections,
    coupons,
    credit_notes,
    customers,
    dead_letters,
    documents,
    drafts,
    events,
    exports,
    keys,
    ledger,
    legal_entities,
    meters,
    notices,
    payment_reconciliation,
    processors,
    psp,
    reconciliation,
    reports,
    routing,
    scenarios,
    simulation,
    stack,
    subscriptions,
    usage,
)
from cli.errors import CliError
from libs.common.errors import BillingError

root = typer.Typer(
    name="weir",
    help="Self-hosted usage billing: meter, price, invoice, collect.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help comes in half the time
)
PARTS = (
    stack,
    catalog,
    meters,
    exports,
    simulation,
    scenarios,
    events,
    corrections,
    dead_letters,
    usage,
    alerts,
    reconciliation,
    archive,
    legal_entities,
    customers,
    billing,
    drafts,
    billing_runs,
    payment_reconciliation,
    processors,
    psp,
    routing,
    collection,
    notices,
    subscriptions,
    charges,
    credit_notes,
    documents,
    coupons,
    ledger,
    reports,
    keys,
)
for part in PARTS:
    part.add_to(root)


def app() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; whatever goes wrong becomes one line on standard error."""
    try:
        return root(list(arguments) or ["--help"], prog_name="weir", standalone_mode=False) or 0
    except typer.Abort:
        return _fail("not confirmed, nothing was changed", 1)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone; Python would complain about it once more at exit
        return 1
    except typer.TyperException as error:
        return _fail(error.format_message(), error.exit_code)
    except CliError as error:
        return [_fail(line, error.exit_code) for line in str(error).splitlines()][-1]
    except Exception as error:  # noqa: BLE001 nobody wants a traceback from a command
        return _fail(_sentence(error), 1)


def _fail(message: str, exit_code: int) -> int:
    print("weir: " + " | ".join(line.strip() for line in message.splitlines() if line.strip()), file=sys.stderr)
    return exit_code


def _sentence(error: Exception) -> str:
    """What happened, in a line. For an error that nobody has foreseen: what and where, for a bug report."""
    from libs.embedded.errors import EmbeddedServerError

    if isinstance(error, BillingError | EmbeddedServerError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    if (grpc := sys.modules.get("grpc")) and isinstance(error, grpc.aio.AioRpcError):
        return f"the service failed: {error.details()} [{error.code().name}]; its log has more"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"a defect in weir: {type(error).__name__}: {error} ({place.filename}:{place.lineno})"


if __name__ == "__main__":
    app()
