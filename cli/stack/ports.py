"""Where each program listens on loopback."""

import socket
from dataclasses import dataclass

from libs.embedded.process import HOST, free_port

DEFAULTS = {
    "metering": 7001,
    "pricing": 7002,
    "invoicing": 7003,
    "payments": 7004,
    "webhooks": 7014,
    "sandbox": 12111,
}


@dataclass(frozen=True, slots=True)
class Ports:
    """Port by program; `moved` names those that are not where they usually are."""

    by_name: dict[str, int]
    moved: tuple[str, ...]

    def address(self, name: str) -> str:
        return f"{HOST}:{self.by_name[name]}"


def choose_ports(*, usual: bool) -> Ports:
    """Free ports; with `usual` those that the documentation names, save where somebody listens already."""
    taken = tuple(name for name, port in DEFAULTS.items() if not (usual and _is_free(port)))
    chosen = {name: port for name, port in DEFAULTS.items() if name not in taken}
    for name in taken:
        chosen[name] = next(port for port in iter(free_port, None) if port not in chosen.values())
    return Ports(chosen, taken)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
