"""What a process of the image reads from its environment, as its code says."""

import importlib
from dataclasses import MISSING, dataclass, fields
from types import ModuleType

from libs.common.rpc.server import DRAIN_SECONDS
from libs.common.worker import COMPLETION_WAIT_SECONDS
from services.__main__ import CONNECTOR, ROLES, SERVICES
from services.payments.webhook import DRAIN_SECONDS as WEBHOOK_DRAIN_SECONDS


@dataclass(frozen=True, slots=True)
class Variable:
    """`default` is MISSING where the process does not start without the variable."""

    name: str
    default: object

    @property
    def is_on_loopback(self) -> bool:
        return isinstance(self.default, str) and self.default.startswith("127.0.0.1")


def composition_root(service: str) -> ModuleType:
    return importlib.import_module(f"services.{service}.main")


def roles(service: str) -> set[str]:
    """The processes that the service has."""
    return {role for role in ROLES if role == "migrate" or hasattr(composition_root(service), role)}


def processes() -> list[tuple[str, str]]:
    """Every service and role: those that each deployment has, and connectors, of which it has one for each source."""
    return [*((service, role) for service in SERVICES for role in sorted(roles(service))), CONNECTOR]


def settings(service: str, role: str) -> list[Variable]:
    """What the process reads; `migrate` has no dataclass."""
    if role == "migrate":
        return [Variable(f"WEIR_{service.upper()}_DSN", MISSING)]
    is_connector = (service, role) == CONNECTOR
    module = importlib.import_module("services.metering.connectors.main") if is_connector else composition_root(service)
    cls = module.WorkerSettings if role == "worker" and hasattr(module, "WorkerSettings") else module.Settings
    return [Variable(field.metadata["env"], field.default) for field in fields(cls)]


def known(service: str, role: str) -> set[str]:
    """Every variable that the process may be given."""
    return {variable.name for variable in settings(service, role)}


def required(service: str, role: str) -> set[str]:
    """Every variable that the process must be given where its peers and callers are on other machines."""
    return {
        variable.name
        for variable in settings(service, role)
        if variable.default is MISSING
        or (variable.is_on_loopback and not (role == "worker" and variable.name.endswith("_LISTEN")))
    }


def stopping_seconds(service: str, role: str) -> float:
    """How long the process may take to end after SIGTERM."""
    if role == "worker":
        return COMPLETION_WAIT_SECONDS
    return DRAIN_SECONDS + (WEBHOOK_DRAIN_SECONDS if service == "payments" else 0)


def is_process(arguments: list[str]) -> bool:
    """Whether `python -m services` takes these arguments."""
    service, role = arguments
    return service in SERVICES and role in roles(service)
