"""What the services have, as a catalog file: applying it changes nothing."""

from typing import Any

import yaml

from cli.catalog.difference import Existing, Messages
from cli.catalog.kinds import KINDS
from cli.catalog.messages import Bare, table_of
from weir.pricing.v1.pricing_pb2 import Plan


def catalog_text(existing: Existing) -> str:
    """YAML; elements by code. What there is none of is left out, and plans that are not sold."""
    lists = {
        kind.key: [_element(each) for _, each in sorted(existing[kind].items()) if _is_sold(each)] for kind in KINDS
    }
    if not any(lists.values()):
        return "# The catalog is empty.\n"
    return yaml.dump(
        {key: each for key, each in lists.items() if each},
        Dumper=Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=120,
    )


def _element(messages: Any) -> dict[str, Any]:
    return {name: value for message in messages for name, value in table_of(message).items()}


def _is_sold(messages: Messages) -> bool:
    return not isinstance(messages[0], Plan) or messages[0].HasField("latest_version")


class Dumper(yaml.SafeDumper):
    """Numbers without quotes, all other texts that YAML would take for something else with them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


def _represent_bare(dumper: yaml.SafeDumper, value: Bare) -> yaml.ScalarNode:
    tag = dumper.resolve(yaml.ScalarNode, str(value), (True, False))  # type: ignore[no-untyped-call]
    return dumper.represent_scalar(tag, str(value))


Dumper.add_representer(Bare, _represent_bare)
