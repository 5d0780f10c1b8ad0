"""What the services have, as a catalog file: applying it changes nothing."""

from typing import Any

import yaml

from cli.catalog.difference import Existing
from cli.catalog.kinds import KINDS
from cli.catalog.messages import Bare, table_of


def catalog_text(existing: Existing) -> str:
    """YAML; elements by code. Kinds without any are left out."""
    lists = {
        kind.key: [_element(messages) for _, messages in sorted(existing[kind].items())]
        for kind in KINDS
        if existing[kind]
    }
    if not lists:
        return "# The catalog is empty.\n"
    return yaml.dump(lists, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _element(messages: Any) -> dict[str, Any]:
    return {name: value for message in messages for name, value in table_of(message).items()}


class _Dumper(yaml.SafeDumper):
    """Numbers without quotes, all other texts that YAML would take for something else with them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


def _represent_bare(dumper: yaml.SafeDumper, value: Bare) -> yaml.ScalarNode:
    tag = dumper.resolve(yaml.ScalarNode, str(value), (True, False))  # type: ignore[no-untyped-call]
    return dumper.represent_scalar(tag, str(value))


_Dumper.add_representer(Bare, _represent_bare)
