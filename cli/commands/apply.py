"""`weir apply`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer

from cli.catalog.applying import apply_changes, find_changes
from cli.catalog.difference import Change
from cli.catalog.nodes import MAX_BYTES
from cli.catalog.reader import Catalog, read_catalog
from cli.connection import connected_to
from cli.output import console, is_interactive, print_json

MARKS = {"create": "+", "update": "~", "new_version": "~", "unchanged": "="}
STYLES = {"create": "green", "update": "yellow", "new_version": "yellow", "unchanged": "dim"}


async def apply_file(data: Path, file: Path, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    catalog = load(file)
    async with connected_to(data) as services:
        found = await find_changes(services, catalog)
        has_changes = any(change.action != "unchanged" for change in found)
        if not as_json:
            _print_changes(found)
        will_apply = has_changes and not dry_run
        if will_apply and not yes and not as_json and is_interactive():
            typer.confirm("Apply?", default=True, abort=True)
        if will_apply:
            await apply_changes(services, catalog, found)
    if as_json:
        print_json({"applied": will_apply, "dry_run": dry_run, "changes": [asdict(change) for change in found]})
    elif not has_changes:
        console.print("Nothing to change.")
    else:
        console.print("Dry run: nothing was changed." if dry_run else "Applied.")


def load(file: Path) -> Catalog:
    with file.open("rb") as opened:
        return read_catalog(opened.read(MAX_BYTES + 1), str(file))


def _print_changes(found: Sequence[Change]) -> None:
    for change in found:
        is_told = change.action == "new_version" or (change.action, change.kind) == ("create", "override")
        version = f", new version {change.version}" if is_told else ""
        line = f"{MARKS[change.action]} {change.kind} {change.code}{version}"
        console.print(line, style=STYLES[change.action], markup=False)
        for each in change.fields:
            old_to_new = each.new if change.action == "create" else f"{each.old or 'none'} → {each.new or 'none'}"
            console.print(f"    {each.field}: {old_to_new}", markup=False)
